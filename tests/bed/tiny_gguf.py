"""Tiny random-weight GGUF models for llama.cpp's server: same arguments and gguf version, same bytes.

Usage without Python code: python -m tests.bed.tiny_gguf OUT.gguf [--kind KIND]
"""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

TEXT = """
the of and to in is it that was for on are as with his they at be this from have or by one had not but
what all were when we there can an your which their said if do will each about how up out them then she
many some so these would other into has more her two like him see time could no make than first been its
who now people my made over did down only way find use may water long little very after words called just
where most know get through back much before go good new write our used me man too any day same right
look think also around another came come work three word must because does part even place well such here
take why things help put years different away again off went old number great tell men say small every
found still between name should home big give air line set own under read last never us left end along
while might next sound below saw something thought both few those always looked show large often together
asked house world going want school important until form food keep children feet land side without boy
once animals life enough took four head above kind began almost live page got earth need far hand high
year mother light parts country father let night picture being study second eyes soon times story boys
since white days ever paper hard near sentence better best across during today others however sure means
knew try told young miles sun ways thing whole hear example heard several change answer room sea against
top turned learn point city play toward five using himself
"""
WORDS = TEXT.split()

CHAT_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant :{% endif %}"
)
FEWEST_LETTERS = 4
LORA_RANK = 4
GARBAGE_BYTES = 65536
KINDS = ("model", "slow", "lora", "bad-arch", "truncated", "garbage")
"""slow: 580 MB, tens of tokens a second on one core; lora: an adapter for `model`; bad-arch: an architecture
that no engine knows; truncated: cut in half; garbage: no GGUF at all."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a llama-architecture model. `embd` divides by `heads`, `heads` by `kv_heads`."""

    layers: int = 2
    embd: int = 64
    ff: int = 192
    heads: int = 4
    kv_heads: int = 2
    context: int = 4096
    seed: int = 7
    name: str = "tiny-random-llama"


TINY = Shape()
SLOW = Shape(layers=12, embd=1024, ff=2816, heads=8, kv_heads=4, name="slow-random-llama")

Token = tuple[bytes, float, gguf.TokenType]


def write(path: Path, kind: str = "model", shape: Shape | None = None) -> Path:
    """Write one file of a kind in KINDS; the path. It appears whole or not at all."""
    shape = shape or (SLOW if kind == "slow" else TINY)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    if kind == "garbage":
        part.write_bytes(np.random.default_rng(shape.seed).bytes(GARBAGE_BYTES))
    elif kind == "lora":
        _write_lora(part, shape)
    elif kind in KINDS:
        _write_model(part, shape)
        _damage(part, kind)
    else:
        raise ValueError(f"there is no kind {kind!r}; there are: {', '.join(KINDS)}")
    part.chmod(0o644)  # the container's user reads it
    part.rename(path)
    return path


def _damage(path: Path, kind: str) -> None:
    if kind == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif kind == "bad-arch":  # of the same length, so that no offset moves
        with path.open("r+b") as file:
            head = file.read(256)
            at = head.index(b"general.architecture") + len(b"general.architecture") + 4 + 8
            assert head[at : at + 5] == b"llama", head
            file.seek(at)
            file.write(b"nosuc")


def vocabulary() -> list[Token]:
    """(text, score, type) of every token: <unk> <s> </s>, the 256 bytes, then pieces; a multiple of 32."""
    kinds = gguf.TokenType
    rows: list[Token] = [
        (b"<unk>", 0.0, kinds.UNKNOWN),
        (b"<s>", 0.0, kinds.CONTROL),
        (b"</s>", 0.0, kinds.CONTROL),
    ]
    rows += [(b"<0x%02X>" % byte, 0.0, kinds.BYTE) for byte in range(256)]
    rows += [(piece.encode(), -float(i) - 1.0, kinds.NORMAL) for i, piece in enumerate(_pieces())]
    while len(rows) % 32:
        rows.append((b"<extra_%d>" % len(rows), -1e4, kinds.UNUSED))
    return rows


def _pieces() -> list[str]:
    """Letters, then words with all their prefixes: neighbours merge only where their join is a piece."""
    pieces = dict.fromkeys("\u2581" + "".join(map(chr, range(33, 127))))
    for word in WORDS:
        pieces.update(dict.fromkeys(word[:length] for length in range(2, len(word) + 1)))
        pieces.update(dict.fromkeys("\u2581" + word[:length] for length in range(1, len(word) + 1)))
    return list(pieces)


def _write_model(path: Path, shape: Shape) -> None:
    tokens = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    _add_sizes(writer, shape, len(tokens))
    _add_tokenizer(writer, tokens)
    _add_weights(writer, shape, tokens)
    _finish(writer)


def _add_sizes(writer: gguf.GGUFWriter, shape: Shape, tokens: int) -> None:
    writer.add_name(shape.name)
    writer.add_description("random weights, for tests")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.embd)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ff)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.embd // shape.heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(tokens)


def _add_tokenizer(writer: gguf.GGUFWriter, tokens: list[Token]) -> None:
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([text for text, _, _ in tokens])
    writer.add_token_scores([score for _, score, _ in tokens])
    writer.add_token_types([int(kind) for _, _, kind in tokens])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)
    writer.add_chat_template(CHAT_TEMPLATE)


def _add_weights(writer: gguf.GGUFWriter, shape: Shape, tokens: list[Token]) -> None:
    random = np.random.default_rng(shape.seed)
    width, kv = shape.embd, shape.embd // shape.heads * shape.kv_heads

    def matrix(name: str, rows: int, columns: int, scale: float) -> None:
        writer.add_tensor(name, random.standard_normal((rows, columns), dtype=np.float32) * np.float32(scale))

    matrix("token_embd.weight", len(tokens), width, 1.0)
    writer.add_tensor("output.weight", _output_rows(random, tokens, width))
    writer.add_tensor("output_norm.weight", np.ones(width, dtype=np.float32))
    for layer in range(shape.layers):
        prefix = f"blk.{layer}."
        writer.add_tensor(prefix + "attn_norm.weight", np.ones(width, dtype=np.float32))
        matrix(prefix + "attn_q.weight", width, width, width**-0.5)
        matrix(prefix + "attn_k.weight", kv, width, width**-0.5)
        matrix(prefix + "attn_v.weight", kv, width, width**-0.5)
        matrix(prefix + "attn_output.weight", width, width, width**-0.5)
        writer.add_tensor(prefix + "ffn_norm.weight", np.ones(width, dtype=np.float32))
        matrix(prefix + "ffn_gate.weight", shape.ff, width, width**-0.5)
        matrix(prefix + "ffn_up.weight", shape.ff, width, width**-0.5)
        matrix(prefix + "ffn_down.weight", width, shape.ff, shape.ff**-0.5)


def _output_rows(random: np.random.Generator, tokens: list[Token], width: int) -> np.ndarray:
    """Rows of special, byte and short tokens are zero: what comes out is words, end-of-text hardly ever."""
    rows = random.standard_normal((len(tokens), width), dtype=np.float32) * np.float32(0.6)
    for index, (text, _, kind) in enumerate(tokens):
        if kind != gguf.TokenType.NORMAL or len(text) < FEWEST_LETTERS:
            rows[index] = 0.0
    return rows


def _write_lora(path: Path, shape: Shape) -> None:
    random = np.random.default_rng(shape.seed + 1)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_name(f"{shape.name}-lora")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    for layer in range(shape.layers):
        for side, size in (("lora_a", (LORA_RANK, shape.embd)), ("lora_b", (shape.embd, LORA_RANK))):
            values = random.standard_normal(size, dtype=np.float32) * np.float32(0.5)
            writer.add_tensor(f"blk.{layer}.attn_q.weight.{side}", values)
    _finish(writer)


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.bed.tiny_gguf", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kind", default="model", choices=KINDS)
    options = parser.parse_args()
    path = write(options.out, options.kind)
    print(f"{path}: {path.stat().st_size} bytes, kind {options.kind}")


if __name__ == "__main__":
    main()
