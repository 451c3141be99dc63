"""How much a store may hold, and whether more fits. Pure: bytes in, bytes out."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Space:
    """One moment of a store and of the file system it lies on; all in bytes."""

    used_bytes: int
    """What the store holds: versions and partials, a shared file once."""
    promised_bytes: int
    """Reserved by transfers and not written yet."""
    free_bytes: int
    """Of the file system, for us."""
    floor_bytes: int
    """What must stay free, whatever the quota is."""
    quota_bytes: int | None = None
    """What the store may hold; None: as much as the file system has above the floor."""

    @property
    def capacity_bytes(self) -> int:
        """What the store could hold at most: its quota, or what it has and what the disk could give it."""
        by_disk = max(0, self.used_bytes + self.free_bytes - self.floor_bytes)
        return by_disk if self.quota_bytes is None else min(by_disk, self.quota_bytes)

    @property
    def room_bytes(self) -> int:
        """What may still come; negative when the store has too much."""
        return self.capacity_bytes - self.used_bytes - self.promised_bytes


def missing(space: Space, wanted_bytes: int) -> int:
    """What must go before `wanted_bytes` fit; 0 when they fit."""
    return max(0, wanted_bytes - space.room_bytes)


def above_watermark(space: Space, high_percent: float, low_percent: float) -> int:
    """What must go because the store is over its high watermark: down to the low one, as the kubelet does."""
    held = space.used_bytes + space.promised_bytes
    if held <= space.capacity_bytes * high_percent / 100:
        return 0
    return held - int(space.capacity_bytes * low_percent / 100)


def explained(space: Space, wanted_bytes: int) -> str:
    """Why they do not fit, with every number."""
    quota = "no quota" if space.quota_bytes is None else f"a quota of {space.quota_bytes}"
    return (
        f"{wanted_bytes} bytes are needed and {max(0, space.room_bytes)} may be taken: the store holds "
        f"{space.used_bytes}, running transfers were promised {space.promised_bytes}, {space.free_bytes} are free on "
        f"the disk, {space.floor_bytes} of them stay free, and there is {quota}"
    )
