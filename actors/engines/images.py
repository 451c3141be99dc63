"""Images by name, and what a pull says on its way. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import DockerError, ImageError, PullError

MIB = 1 << 20
WAYS = (
    ("no space left", "disk_full", "free disk space for Docker, or move its data root"),
    ("toomanyrequests", "rate_limited", "the registry slows this machine down; it is tried again"),
    ("429", "rate_limited", "the registry slows this machine down; it is tried again"),
    ("timeout", "registry_slow", "is the registry well, and the way to it?"),
    ("not wanted any more", "cancelled", ""),
    ("too many requests", "rate_limited", "the registry slows this machine down; it is tried again"),
    ("500 ", "registry_failed", "is the registry well?"),
    ("502 ", "registry_failed", "is the registry well?"),
    ("503 ", "registry_failed", "is the registry well?"),
    ("received unexpected http status: 5", "registry_failed", "is the registry well?"),
    ("connection re", "registry_failed", "is the registry there?"),
    ("eof", "registry_failed", "is the registry well?"),
    ("no such host", "registry_failed", "is the registry's name right, and the name service well?"),
    ("filesystem layer verification failed", "digest_mismatch", "what came is not what was asked for; it is refused"),
)
"""Words of Docker, in lower case -> what a later try may mend."""
HOPELESS = (
    ("unauthorized", "this machine may not read it: give it the registry's credentials"),
    ("authentication required", "this machine may not read it: give it the registry's credentials"),
    ("denied", "this machine may not read it: give it the registry's credentials"),
    ("does not match", "what the registry has is not what was asked for; take another digest"),
    ("digest", "what the registry has is not what was asked for; take another digest"),
    ("manifest", "check its name and its digest"),
    ("not found", "check its name and its registry"),
)


@dataclass(slots=True)
class Layer:
    """Bytes of one layer: come, unpacked, and in all when that is known."""

    come: int = 0
    unpacked: int = 0
    total: int = 0


def split_tag(image: str) -> tuple[str, str, str]:
    """Name and tag; a colon before the last slash belongs to a port."""
    head, slash, tail = image.rpartition("/")
    name, colon, tag = tail.partition(":")
    return f"{head}{slash}{name}", colon, tag or "latest"


def count(layers: dict[str, Layer], line: Mapping[str, Any]) -> bool:
    """Note what a line of a pull says; whether anything moved. Unpacking is movement, too."""
    status, detail = line.get("status"), line.get("progressDetail") or {}
    name, current = str(line.get("id")), int(detail.get("current") or 0)
    if status not in {"Downloading", "Extracting"}:
        return status is not None  # verifying, waiting, complete: each is said once
    layer = layers.setdefault(name, Layer())
    before = (layer.come, layer.unpacked)
    layer.total = max(layer.total, int(detail.get("total") or 0))
    if status == "Downloading":
        layer.come = max(layer.come, current)
    else:
        layer.unpacked = max(layer.unpacked, current)
    return before != (layer.come, layer.unpacked)


def bytes_of(layers: Mapping[str, Layer]) -> tuple[int, int]:
    """Bytes that came, and bytes known so far."""
    return sum(one.come for one in layers.values()), sum(one.total for one in layers.values())


def too_big(layers: Mapping[str, Layer], room_bytes: int | None) -> str:
    """Why what is known of an image cannot fit into the room that there was before its first byte; empty when it may.

    Unpacked it takes more than it takes on its way, so this is the least that it needs.
    """
    _, total = bytes_of(layers)
    if room_bytes is None or total <= room_bytes:
        return ""
    room = f"Docker's disk has room for {room_bytes / MIB:,.0f} MiB"
    return f"no space left for it: at least {total / MIB:,.0f} MiB are to come, and {room}"


def failure(image: str, why: str) -> DockerError:
    """What Docker said of a pull, as ours: PullError where a later try may do it, ImageError where none will."""
    text, what = why.lower(), f"{image} cannot be had"
    for words, name, do in WAYS:
        if words in text:
            return PullError("E_IMAGE", what, f"{name}: {why[:500]}", do)
    for words, do in HOPELESS:
        if words in text:
            return ImageError("E_IMAGE", what, why[:500], do)
    return PullError("E_IMAGE", what, why[:500], "read Docker's log")
