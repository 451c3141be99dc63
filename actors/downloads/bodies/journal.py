"""What is known of a partial file, beside it: an append-only file of short lines, each with its own checksum.

    S BYTES                of a block: a journal of other blocks says nothing
    W INDEX FILLED TAG     the first FILLED bytes of block INDEX were written; they came from the origin TAG
    P INDEX DIGEST         the hash of the file from its first byte to the end of block INDEX, as it was in memory
    B BOOT                 the lines that follow are of this boot of the machine
    D OFFSET               what the lines before that byte of the journal say is on the disk for good

A process that is killed loses nothing that it wrote, so lines of the running boot count. After another boot only what
the last D covers counts. A damaged line is passed over: it costs its block. P costs no extra hashing (it is the
running hash at that point), proves the whole prefix, and says which block is damaged.
"""

import os
import threading
import zlib
from dataclasses import dataclass, field
from pathlib import Path

DIGEST_CHARS = 32
JOURNAL_MAX_BYTES = 256 << 20
COMPACT_BYTES = 4 << 20


@dataclass(slots=True)
class Known:
    """What a journal says."""

    filled: dict[int, int] = field(default_factory=dict)
    """Bytes from the start of each block that were written."""
    tags: dict[int, str] = field(default_factory=dict)
    proofs: dict[int, str] = field(default_factory=dict)
    lines: int = 0
    """Lines that were good."""
    block_bytes: int | None = None
    """What its indices count; None when no line says it."""


def seal(text: str) -> bytes:
    """One line with its checksum."""
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


def opened(line: bytes) -> str | None:
    """The text of a line; None when it is damaged."""
    checksum, _, text = line.partition(b" ")
    try:
        if len(checksum) == 8 and int(checksum, 16) == zlib.crc32(text):
            return text.decode()
    except ValueError:
        pass
    return None


def understand(data: bytes, boot: str) -> Known:
    """What the lines mean on a machine whose boot is `boot`. Pure; never fails."""
    lines = _lines(data)
    durable = max((_number(text[2:]) for _, text in lines if text.startswith("D ")), default=0)
    known, running = Known(lines=len(lines)), ""
    for at, text in lines:
        kind, *words = text.split(" ")
        if kind == "B" and len(words) == 1:
            running = words[0]
        elif kind == "S" and len(words) == 1:
            known.block_bytes = _number(words[0])
        elif at < durable or running == boot:
            _learn(known, kind, words)
    return known


def _lines(data: bytes) -> list[tuple[int, str]]:
    """The good ones, each with the place where it begins."""
    found, at = [], 0
    for line in data.split(b"\n"):
        text = opened(line)
        if text is not None:
            found.append((at, text))
        at += len(line) + 1
    return found


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _learn(known: Known, kind: str, words: list[str]) -> None:
    try:
        match kind, words:
            case "W", [index, filled, tag]:
                known.filled[int(index)] = max(int(filled), 0)
                known.tags[int(index)] = tag
            case "P", [index, digest]:
                known.proofs[int(index)] = digest
            case _:
                pass
    except ValueError:
        pass


def boot_id() -> str:
    """Of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class Journal:
    """Lines are appended by any thread, in one write each time."""

    def __init__(self, path: Path, boot: str, block_bytes: int) -> None:
        self._path, self._proven, self._lock = path, b"", threading.Lock()
        self._head = seal(f"S {block_bytes}") + seal(f"B {boot}")
        self._fd = self._open()
        data = os.pread(self._fd, JOURNAL_MAX_BYTES, 0)
        self.known = understand(data, boot)
        if self.known.block_bytes not in {None, block_bytes}:  # of another release: what is on disk is left to the hash
            self.known = Known()
            self.forget()
        elif len(data) > COMPACT_BYTES:
            self._compact()
        else:  # a line that a crash cut in the middle must not swallow the next one
            os.write(self._fd, (b"" if not data or data.endswith(b"\n") else b"\n") + self._head)

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def _compact(self) -> None:
        """One line for each thing that is known, in the place of many; the whole new file or the whole old one."""
        known, temporary = self.known, self._path.with_suffix(".new")
        lines = [self._head]
        lines += [seal(f"W {index} {filled} {known.tags.get(index, '-')}") for index, filled in known.filled.items()]
        lines += [seal(f"P {index} {digest}") for index, digest in known.proofs.items()]
        with temporary.open("wb") as out:
            out.write(b"".join(lines))
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(self._path)
        os.close(self._fd)
        self._fd = self._open()

    def written(self, index: int, filled: int, tag: str) -> None:
        """After the bytes were written."""
        self._say(seal(f"W {index} {filled} {tag}"))

    def proven(self, index: int, digest: str) -> None:
        """The running hash at the end of a block. Written with the next line: a kill may lose it, no byte with it."""
        with self._lock:
            self._proven += seal(f"P {index} {digest[:DIGEST_CHARS]}")

    def _say(self, lines: bytes) -> None:
        with self._lock:
            lines, self._proven = self._proven + lines, b""
            if lines:
                os.write(self._fd, lines)

    def mark(self) -> int:
        """The end of what is said so far: for `durable`, taken before the partial file is synchronised."""
        self._say(b"")
        return os.fstat(self._fd).st_size

    def durable(self, mark: int) -> None:
        """After the partial file was synchronised: what was said before `mark` holds over a loss of power."""
        self._say(seal(f"D {mark}"))
        os.fdatasync(self._fd)

    def forget(self) -> None:
        """Nothing is known any more."""
        with self._lock:
            self._proven = b""
            os.ftruncate(self._fd, 0)
            os.write(self._fd, self._head)

    def close(self, *, remove: bool = False) -> None:
        """Let go; `remove` when the file is complete."""
        if self._fd >= 0:
            if not remove:
                self._say(b"")
            os.close(self._fd)
            self._fd = -1
        if remove:
            self._path.unlink(missing_ok=True)
