"""Whether everything about the agent is well: one row for each check. Pure, from what the daemon says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["good", "warning", "bad"]
FREE_LEAST = 0.05
SERVING = frozenset({"ready"})
ON_THE_WAY = frozenset({"starting", "loading", "draining", "stopped"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One check."""

    check: str
    level: Level
    found: str
    do: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the daemon says; each as its address gives it."""

    status: Mapping[str, Any]
    tree: Mapping[str, Any]
    engines: Sequence[Mapping[str, Any]]
    alerts: Sequence[Mapping[str, Any]]
    snapshot: Mapping[str, Any]
    docker: str


def examine(seen: Seen) -> list[Finding]:
    """Every check, the good ones too."""
    return [
        *_tree(seen.tree),
        _docker(seen.docker),
        _link(seen.status.get("link") or {}),
        *_disks(seen.snapshot.get("disks") or {}),
        *_engines(seen.engines),
        *_alerts(seen.alerts),
    ]


def _tree(tree: Mapping[str, Any]) -> Iterator[Finding]:
    bad = [node for node in _nodes(tree) if str(node["state"]).lower() in {"gave_up", "failed", "wedged"}]
    if not bad:
        yield Finding("daemon", "good", "every part of it runs")
    for node in bad:
        found = f"{node['path']} {node['state']}: {node.get('last_reason') or 'no reason is known'}"
        yield Finding("daemon", "bad", found, "read: journalctl -u mosalamaagent; it is begun anew with the daemon")


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("children", ()):
        yield from _nodes(child)


def _docker(why: str) -> Finding:
    if not why:
        return Finding("docker", "good", "it answers")
    return Finding("docker", "bad", f"{why}; what serves goes on serving", "systemctl status docker")


def _link(link: Mapping[str, Any]) -> Finding:
    state = str(link.get("state", "unknown"))
    if state == "connected":
        return Finding("master", "good", f"connected to {link.get('master')}")
    why = f"{state}: {link.get('last_error') or 'no error is known'}"
    return Finding("master", "warning", f"{why}; engines serve without it", "check the address, the network, the clock")


def _disks(disks: Mapping[str, Any]) -> Iterator[Finding]:
    for path, figures in disks.items():
        total, free = figures.get("total_bytes"), figures.get("free_bytes")
        if not total or free is None:
            continue
        share = free / total
        found = f"{path}: {share:.0%} are free ({free / 2**30:.1f} GiB)"
        do = "" if share >= FREE_LEAST else "remove models (mosalamaagent models), or grow the disk"
        yield Finding("disk", "good" if share >= FREE_LEAST else "bad", found, do)


def _engines(engines: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for engine in engines:
        name, state = engine["name"], str(engine["state"])
        level: Level = "good" if state in SERVING else "warning" if state in ON_THE_WAY else "bad"
        why = f"{state}: {engine['why']}" if engine.get("why") else state
        do = "" if level == "good" else f"mosalamaagent engine explain {name}"
        yield Finding(f"engine {name}", level, why[:300], do)


def _alerts(alerts: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for alert in alerts:
        level: Level = "bad" if alert.get("severity") in {"critical", "error"} else "warning"
        yield Finding(f"alert {alert['rule']}", level, str(alert["text"])[:300], str(alert.get("do", "")))
