"""Whether this machine is ready to serve: each check with its age. A master's absence is a detail. Pure."""

from collections.abc import Mapping
from typing import Any

SNAPSHOT_MAX_S = 60.0
"""A snapshot older than that is none."""


def readiness(
    snapshot: Mapping[str, Any] | None, ages: Mapping[str, float | None], link: Mapping[str, Any], now: float
) -> dict[str, Any]:
    """`ready`, `checks`, `link`. `snapshot` has rooms, `ages` seconds since a fact was told, `now` wall seconds."""
    rooms = snapshot or {}
    checks = {
        "sampled": _check(ages.get("snapshot"), "no figures of this machine yet", most_s=SNAPSHOT_MAX_S),
        "engines": _check(ages.get("engines"), "the engines' manager has not spoken yet"),
        "docker": _docker(rooms, now),
        "gpus": _collector(rooms, "gpu", now, "the GPUs' driver has not answered yet"),
    }
    return {"ready": all(check["ok"] for check in checks.values()), "checks": checks, "link": dict(link)}


def _check(age_s: float | None, why: str, *, most_s: float | None = None) -> dict[str, Any]:
    if age_s is None:
        return {"ok": False, "age_s": None, "why": why}
    late = most_s is not None and age_s > most_s
    return {"ok": not late, "age_s": round(age_s, 3), "why": f"older than {most_s:g} s" if late else ""}


def _docker(rooms: Mapping[str, Any], now: float) -> dict[str, Any]:
    up = (rooms.get("host") or {}).get("docker_up")
    found = _collector(rooms, "docker", now, "Docker was not asked yet")
    if up is False:
        return found | {"ok": False, "why": "the Docker Engine does not answer"}
    return found | {"ok": found["ok"] and up is not None}


def _collector(rooms: Mapping[str, Any], name: str, now: float, why: str) -> dict[str, Any]:
    """It has looked, or there is nothing to look at; how old its look is says whether it still does."""
    health = (rooms.get("collectors") or {}).get(name)
    return _check(None if health is None else max(0.0, now - health["at"]), why)
