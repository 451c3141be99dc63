"""How many faults somebody may make in a minute before he is not listened to. Pure: time is an argument."""

from collections import OrderedDict, deque
from ipaddress import ip_address

WINDOW_S = 60.0
KEYS_MAX = 4_096
"""Beyond this the one that was quiet longest is forgotten: memory is bounded whoever comes."""


class Budget:
    """`faults` in a window for each key; over it until the window has passed."""

    def __init__(self, faults: int) -> None:
        self._faults = faults
        self._at: OrderedDict[str, deque[float]] = OrderedDict()

    def spend(self, key: str, now_s: float) -> None:
        """One more fault of this key."""
        times = self._at.setdefault(key, deque(maxlen=self._faults))
        times.append(now_s)
        self._at.move_to_end(key)
        if len(self._at) > KEYS_MAX:
            self._at.popitem(last=False)

    def over(self, key: str, now_s: float) -> bool:
        """Whether it has made as many as it may."""
        times = self._at.get(key)
        return times is not None and len(times) == self._faults and now_s - times[0] < WINDOW_S


def neighbourhood(address: str | None) -> str:
    """An IPv4 /24 or an IPv6 /64: what one attacker has at hand."""
    try:
        found = ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    return str(found.packed[: 3 if found.version == 4 else 8].hex())
