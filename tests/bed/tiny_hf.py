"""A tiny model repository as on a hub: a Llama in the Hugging Face layout with random weights.

Same arguments, same bytes. Weights are bfloat16 in two safetensors shards with an index, so that a download
has large and small files; the sizes (4 heads of 64) are the smallest that vLLM's CPU attention takes.
Usage without Python code: python -m tests.bed.tiny_hf FOLDER
"""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

HIDDEN, FF, HEADS, KV_HEADS, HEAD, LAYERS, CONTEXT = 256, 512, 4, 2, 64, 2, 512
LORA_RANK = 8
LORA_TARGETS = {
    "q_proj": (HEADS * HEAD, HIDDEN),
    "k_proj": (KV_HEADS * HEAD, HIDDEN),
    "v_proj": (KV_HEADS * HEAD, HIDDEN),
    "o_proj": (HIDDEN, HEADS * HEAD),
}
"""Rows and columns of the projections that an adapter changes."""
SPECIAL = ("<unk>", "<s>", "</s>")
SEED = 11
CHAT_TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


def write(folder: Path, *, seed: int = SEED) -> Path:
    """Write the repository's files into `folder` (made if absent); the folder. About 2.6 MB."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {piece: index for index, piece in enumerate((*SPECIAL, *byte_letters()))}
    _text(folder / "config.json", _config(len(vocabulary)))
    _text(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2})
    _text(folder / "tokenizer.json", _tokenizer(vocabulary))
    _text(folder / "tokenizer_config.json", _tokenizer_config())
    (folder / "README.md").write_text("# Tiny random Llama\n\nRandom weights, for tests.\n", encoding="utf-8")
    _write_shards(folder, dict(_weights(len(vocabulary), seed)))
    for path in folder.iterdir():
        path.chmod(0o644)  # an engine's user reads it
    return folder


def write_lora(folder: Path, *, seed: int = SEED) -> Path:
    """Write an adapter of that model (its attention, rank 8) into `folder`, as PEFT keeps one; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _text(folder / "adapter_config.json", _lora_config())
    _write_safetensors(folder / "adapter_model.safetensors", dict(_lora_weights(seed)))
    for path in folder.iterdir():
        path.chmod(0o644)
    return folder


def byte_letters() -> list[str]:
    """The 256 visible letters that byte-level tokenizers write for the 256 byte values, in order of value."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(256, 512))
    return [chr(value) if value in plain else chr(next(others)) for value in range(256)]


def _config(tokens: int) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": tokens,
        "hidden_size": HIDDEN,
        "intermediate_size": FF,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD,
        "max_position_embeddings": CONTEXT,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def _tokenizer(vocabulary: dict[str, int]) -> dict[str, object]:
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index, "content": text, **special} for index, text in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {"type": "BPE", "unk_token": "<unk>", "vocab": vocabulary, "merges": []},
    }


def _tokenizer_config() -> dict[str, object]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "chat_template": CHAT_TEMPLATE,
        "model_max_length": CONTEXT,
    }


def _weights(tokens: int, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """(name, float32 values) of every tensor, in the layers' order."""
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return random.standard_normal((rows, columns), dtype=np.float32) * np.float32(columns**-0.5)

    yield "model.embed_tokens.weight", matrix(tokens, HIDDEN)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", np.ones(HIDDEN, dtype=np.float32)
        yield prefix + "self_attn.q_proj.weight", matrix(HEADS * HEAD, HIDDEN)
        yield prefix + "self_attn.k_proj.weight", matrix(KV_HEADS * HEAD, HIDDEN)
        yield prefix + "self_attn.v_proj.weight", matrix(KV_HEADS * HEAD, HIDDEN)
        yield prefix + "self_attn.o_proj.weight", matrix(HIDDEN, HEADS * HEAD)
        yield prefix + "post_attention_layernorm.weight", np.ones(HIDDEN, dtype=np.float32)
        yield prefix + "mlp.gate_proj.weight", matrix(FF, HIDDEN)
        yield prefix + "mlp.up_proj.weight", matrix(FF, HIDDEN)
        yield prefix + "mlp.down_proj.weight", matrix(HIDDEN, FF)
    yield "model.norm.weight", np.ones(HIDDEN, dtype=np.float32)
    yield "lm_head.weight", matrix(tokens, HIDDEN)


def _lora_config() -> dict[str, object]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": LORA_RANK,
        "lora_alpha": 64,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": list(LORA_TARGETS),
    }


def _lora_weights(seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """(name, float32 values): of each projection the way into the rank and the way out, strong enough to be heard."""
    random = np.random.default_rng(seed)
    for layer in range(LAYERS):
        for name, (rows, columns) in LORA_TARGETS.items():
            prefix = f"base_model.model.model.layers.{layer}.self_attn.{name}."
            yield prefix + "lora_A.weight", random.standard_normal((LORA_RANK, columns), dtype=np.float32)
            yield prefix + "lora_B.weight", random.standard_normal((rows, LORA_RANK), dtype=np.float32)


def _write_shards(folder: Path, weights: dict[str, np.ndarray]) -> None:
    names = list(weights)
    halves = (names[: len(names) // 2], names[len(names) // 2 :])
    index: dict[str, str] = {}
    for number, half in enumerate(halves, start=1):
        file = f"model-{number:05d}-of-00002.safetensors"
        _write_safetensors(folder / file, {name: weights[name] for name in half})
        index |= dict.fromkeys(half, file)
    size = 2 * sum(values.size for values in weights.values())
    _text(folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": index})


def _write_safetensors(path: Path, weights: dict[str, np.ndarray]) -> None:
    """Eight bytes of header length, a JSON header, then the values: the published layout."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    bodies, offset = [], 0
    for name, values in weights.items():
        body = _bfloat16(values)
        header[name] = {
            "dtype": "BF16",
            "shape": list(values.shape),
            "data_offsets": [offset, offset + len(body)],
        }
        bodies.append(body)
        offset += len(body)
    words = json.dumps(header, separators=(",", ":")).encode()
    words += b" " * (-len(words) % 8)
    path.write_bytes(struct.pack("<Q", len(words)) + words + b"".join(bodies))


def _bfloat16(values: np.ndarray) -> bytes:
    """The upper half of each float32: exact for 1.0, cut off elsewhere; random weights do not mind."""
    return (values.view(np.uint32) >> 16).astype("<u2").tobytes()


def _text(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
