"""One frame of `top`: lines of text from the daemon's facts, the most important first, cut to the window. Pure."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.text import Text

from actors.terminal import STEERING, tame

from .render import STATE_STYLES, size

MARKS = {
    "good": ("●", "green"),
    "bad": ("✕", "bold red"),
    "warn": ("▲", "yellow"),
    "busy": ("◌", "blue"),
    "idle": ("○", "dim"),
}
BLOCKS = "▁▂▃▄▅▆▇█"
FULL, EMPTY = "━", "─"
ROUGH = {"ready": "good", "gave_up": "bad", "failed": "bad", "backoff": "bad", "starting": "busy", "loading": "busy"}
DASH = "-"
HEADED = 2
"""Lines that a part needs at least: its head and one row."""

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """What is shown: the facts, the past (series -> values, oldest first), the window, and how it is looked at."""

    facts: Facts
    past: Mapping[str, Sequence[float | None]]
    width: int
    height: int | None
    """Lines; None: as many as there are."""
    now: float
    """Seconds since the epoch."""
    trouble: str = ""
    """Why the facts are old."""
    pane: str = "events"
    paused: bool = False


def frame(view: View) -> list[Text]:
    """The lines from the top to the keys at the bottom, none wider than the window, no more than fit."""
    view = replace(view, facts=tame(view.facts, STEERING))
    snapshot = view.facts.get("snapshot") or {}
    top = [*_head(view), Text(), *_host(snapshot.get("host") or {}, view), *_gpus(snapshot.get("gpus") or {}, view)]
    parts = [_alerts(view), _engines(view, snapshot.get("engines") or {}), _transfers(view)]
    parts.append(_tree(view) if view.pane == "tree" else _events(view))
    room = None if view.height is None else max(0, view.height - len(top) - 1)
    lines = top + [line for part in _fitted(parts, room) for line in part]
    if view.height is not None:
        lines = lines[: view.height - 1]
        lines += [Text()] * (view.height - 1 - len(lines))
        lines.append(_keys(view))
    for line in lines:
        line.no_wrap = True
        line.truncate(view.width, overflow="ellipsis")
    return lines


def _fitted(parts: Sequence[list[Text]], room: int | None) -> Iterable[list[Text]]:
    """Parts with an empty line before each; when room is short each gives up rows, the last ones first."""
    left = room
    kept = [part for part in parts if part]
    for number, part in enumerate(kept):
        if left is None:
            yield [Text(), *part]
            continue
        later = sum(min(len(other), HEADED) + 1 for other in kept[number + 1 :])
        rows = min(len(part), max(HEADED, left - later - 1))
        if left < HEADED + 1:
            return
        left -= rows + 1
        yield [Text(), *part[:rows]]


def _head(view: View) -> list[Text]:
    link, agent, status = (view.facts.get(name) or {} for name in ("link", "agent", "status"))
    first = Text()
    first.append(str(agent.get("host") or link.get("agent_id") or "not enrolled"), "bold")
    first.append(f"  MosalamaAgent {agent.get('version', '')}", "dim")
    first.append("  master ", "dim")
    first.append(str(link.get("state", DASH)), STATE_STYLES.get(str(link.get("state")), "yellow"))
    if status.get("started_at"):
        first.append(f"  up {span(view.now - status['started_at'])}", "dim")
    clock = dt.datetime.fromtimestamp(view.now, tz=dt.UTC).astimezone().strftime("%H:%M:%S")
    first.append(clock.rjust(max(len(clock) + 2, view.width - first.cell_len)), "dim")
    if view.trouble:
        return [first, _marked("warn", f"not live: {view.trouble}")]
    return [first, _marked(*verdict(view.facts))]


def verdict(facts: Facts) -> tuple[str, str]:
    """Tone and sentence: first whether the engines serve, then what there is to look at."""
    engines, alerts = facts.get("engines") or (), facts.get("alerts") or ()
    tones = [ROUGH.get(engine["state"], "idle") for engine in engines]
    down = [engine for engine, tone in zip(engines, tones, strict=True) if tone == "bad"]
    ready = tones.count("good")
    if len(down) == 1:
        return "bad", f"{down[0]['name']} is not serving: {down[0].get('why', '')}"
    if down:
        return "bad", f"{len(down)} of {len(engines)} engines are not serving"
    wanted = sum(engine["state"] != "stopped" for engine in engines)
    if not wanted:
        tone, text = "idle", "no engine is serving: stopped by command" if engines else "no engine is wanted here"
    elif not ready:
        tone, text = "busy", f"{_some(wanted, 'engine')} not serving yet"
    else:
        tone, text = "good", f"{ready} of {_some(wanted, 'engine')} serving"
    critical = sum(alert["severity"] == "critical" for alert in alerts)
    if alerts:
        tone = "bad" if critical else "warn"
        text += f"; {_some(critical, 'critical alert') if critical else _some(len(alerts), 'alert')}"
    return tone, text


def _host(host: Facts, view: View) -> list[Text]:
    wide = max(8, (view.width - 58) // 2)
    total, available = host.get("memory.total_bytes"), host.get("memory.available_bytes")
    used = None if total is None or available is None else total - available
    first = _bar("CPU", host.get("cpu.busy"), wide)
    first.append(f"  load {_number(host.get('load1')):<7}", "dim")
    first.append_text(_bar("MEM", None if used is None else used / total, wide))
    first.append(f"  {_size(used)} of {_size(total)}", "dim")
    second = Text().append("NET ", "bold")
    second.append(f"{_rate(host.get('net.received_bytes_per_s'))} in, {_rate(host.get('net.sent_bytes_per_s'))} out   ")
    second.append("DISK ", "bold")
    read, written = host.get("disk.read_bytes_per_s"), host.get("disk.written_bytes_per_s")
    second.append(f"{_rate(read)} read, {_rate(written)} written  ")
    second.append(spark(view.past.get("host.cpu", ()), max(0, min(40, view.width - second.cell_len - 1))), "blue")
    return [first, second]


def _gpus(gpus: Facts, view: View) -> list[Text]:
    lines, wide = [], max(6, (view.width - 62) // 2)
    for number, figures in enumerate(gpus.values()):
        total, used = figures.get("memory_total_bytes"), figures.get("memory_used_bytes")
        line = _bar(f"GPU{number}", figures.get("utilization"), wide)
        line.append("  ")
        line.append_text(_bar("MEM", used / total if total and used is not None else None, wide))
        line.append(
            f" {_size(used)}  {_number(figures.get('temperature_c'))} °C  {_number(figures.get('power_w'))} W", "dim"
        )
        line.append("  heat" if figures.get("throttle_thermal") else "", "yellow")
        lines.append(line)
    return lines


def _alerts(view: View) -> list[Text]:
    tones = {"critical": "bad", "warning": "warn"}
    return [
        _marked(
            tones.get(alert["severity"], "idle"),
            f"{alert['severity']}: {alert['text']}",
            span(view.now - alert["starts_at"]),
        )
        for alert in view.facts.get("alerts") or ()
    ]


def _engines(view: View, figures: Facts) -> list[Text]:
    engines = view.facts.get("engines") or ()
    if not engines:
        return []
    names = min(24, max(8, *(len(engine["name"]) for engine in engines)))
    lines = [
        Text(f"  {'ENGINE':<{names}}  {'STATE':<9}{'TOK/S':>7}{'RUN':>5}{'WAIT':>5}{'TTFT':>8}{'KV':>6}  ", "bold dim")
    ]
    for engine in engines:
        found = figures.get(engine["name"]) or {}
        line = _marked(ROUGH.get(engine["state"], "idle"), f"{engine['name'][:names]:<{names}}  ")
        line.append(f"{engine['state'].replace('_', ' '):<9}", STATE_STYLES.get(engine["state"], ""))
        if engine["state"] == "ready":
            waiting = found.get("waiting")
            line.append(f"{_number(found.get('generated_tokens_per_s')):>7}{_number(found.get('running')):>5}")
            line.append(f"{_number(waiting):>5}", "yellow" if waiting else "")
            line.append(f"{_seconds(found.get('ttft_p95_s')):>8}{_percent(found.get('kv_usage')):>6}  ")
            room = max(0, min(30, view.width - line.cell_len - 1))
            line.append(spark(view.past.get(f"engine.{engine['name']}.tokens", ()), room), "blue")
        else:
            again = engine.get("next_try_at")
            line.append(f" again in {span(again - view.now)}:" if again and again > view.now else "", "yellow")
            line.append(f" {engine.get('why', '')}")
        lines.append(line)
    return lines


def _transfers(view: View) -> list[Text]:
    lines = []
    for transfer in view.facts.get("transfers") or ():
        total = transfer["total_bytes"]
        line = Text().append("↓ ", "blue")
        line.append(f"{transfer['model'][-34:]:<34} ")
        line.append_text(_bar("", transfer["done_bytes"] / total if total else None, 14))
        line.append("" if total else f"  {size(transfer['done_bytes'])}")
        rate, left = transfer.get("rate_bytes_s"), transfer.get("eta_s")
        line.append(f"  {_rate(rate)}" if rate else f"  {transfer['state']}")
        line.append(f"  {span(left)} left" if left is not None else "", "dim")
        lines.append(line)
    return lines


def _events(view: View) -> list[Text]:
    tones = {"warning": "warn", "error": "bad", "critical": "bad"}
    lines = [Text("EVENTS, newest first", "bold dim")]
    for event in reversed(view.facts.get("events") or ()):
        at = dt.datetime.fromtimestamp(event.get("at") or 0, tz=dt.UTC).astimezone().strftime("%H:%M:%S")
        line = Text().append(f"{at} ", "dim")
        line.append_text(_marked(tones.get(event.get("severity", ""), "idle"), event.get("subject") or ""))
        line.append(f" {event.get('text') or event.get('kind')}", "")
        lines.append(line)
    return lines if len(lines) > 1 else []


def _tree(view: View) -> list[Text]:
    lines = [Text("SUPERVISION", "bold dim")]

    def walk(node: Facts, depth: int) -> None:
        running = node.get("state") == "running"
        line = Text("  " * depth)
        line.append_text(_marked("good" if running else "warn", str(node.get("path", "")).rsplit("/", 1)[-1]))
        line.append("" if running else f"  {node.get('state')}", "yellow")
        line.append(f"  {_some(node['restarts_total'], 'restart')}" if node.get("restarts_total") else "", "yellow")
        line.append(f"  {node['last_reason']}" if node.get("last_reason") else "", "dim")
        lines.append(line)
        for child in node.get("children", ()):
            walk(child, depth + 1)

    walk(view.facts.get("tree") or {}, 0)
    return lines


def _keys(view: View) -> Text:
    line = Text()
    other = "events" if view.pane == "tree" else "tree"
    for key, what in (("q", "quit"), ("p", "go on" if view.paused else "pause"), ("t", other)):
        line.append(f" {key} ", "reverse")
        line.append(f" {what}  ", "dim")
    line.append("PAUSED" if view.paused else "", "bold yellow")
    return line


def _marked(tone: str, text: str, more: str = "") -> Text:
    mark, style = MARKS[tone]
    line = Text().append(f"{mark} ", style)
    line.append(text, "bold" if tone == "bad" else "")
    return line.append(f"  {more}" if more else "", "dim")


def _bar(name: str, share: float | None, width: int) -> Text:
    filled = 0 if share is None else round(max(0.0, min(1.0, share)) * width)
    line = Text().append(f"{name} " if name else "", "bold")
    line.append(FULL * filled, "red" if share is not None and share > 0.95 else "blue")
    line.append(EMPTY * (width - filled), "dim")
    return line.append(f" {_percent(share):>5}")


def spark(values: Sequence[float | None], width: int) -> str:
    """The newest values as blocks under their greatest; a gap is a gap."""
    shown = list(values)[-width:] if width else []
    most = max((value for value in shown if value is not None), default=0.0) or 1.0
    return "".join(" " if value is None else BLOCKS[min(7, int(value / most * 7.99))] for value in shown)


def span(seconds: float) -> str:
    """A time for people: 42 s, 5 min, 3 h 20 min, 2 d 4 h."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600} h"


def _some(number: int, one: str) -> str:
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.1f}" if isinstance(value, float) and value < 100 else f"{value:.0f}"


def _percent(share: float | None) -> str:
    return DASH if share is None else f"{share * 100:.0f} %"


def _seconds(value: float | None) -> str:
    return DASH if value is None else f"{value * 1_000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _size(count: float | None) -> str:
    return DASH if count is None else size(count)


def _rate(count: float | None) -> str:
    return DASH if count is None else f"{size(count)}/s"
