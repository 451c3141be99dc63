"""What an operator reads: the journal's events and the supervision's in one order."""

from actors.api.happened import merged
from actors.supervision.events import SupervisionEvent
from protocol.messages.reports import Event

DURABLE = [
    Event(event_id=f"{number:032x}", at_ms=at_ms, kind=kind, severity="info", subject="engine/chat", text="")
    for number, (at_ms, kind) in enumerate([(1_000_000, "engine.ready"), (1_020_000, "engine.died")])
]


def event(seq, at, kind, severity, **more):
    return SupervisionEvent(seq, at, "/root/link", kind, severity, 2, **more)


def test_both_are_one_list_in_the_order_of_time():
    events = (
        event(1, 5.0, "down", "error", reason="crash: Boom: on purpose", detail="a traceback"),
        event(2, 5.0, "restarting", "warning", reason="crash: Boom: on purpose", next_try_s=1.5),
        event(3, 5.1, "ready", "info"),
    )
    seen = merged(DURABLE, events, wall_s=1_012.0, now_s=7.0, limit=10)
    assert [one["kind"] for one in seen] == [
        "engine.ready",
        "supervision.down",
        "supervision.restarting",
        "engine.died",
    ]
    restarting = seen[2]
    assert restarting["at"] == 1_010.0
    assert restarting["subject"] == "/root/link#2"
    assert restarting["text"] == "crash: Boom: on purpose; the next try is in 1.5 s"
    assert restarting["fields"] == {"incarnation": 2, "next_try_s": 1.5}


def test_the_newest_are_kept():
    events = tuple(event(number, float(number), "down", "error") for number in range(20))
    seen = merged(DURABLE, events, wall_s=2_000.0, now_s=20.0, limit=5)
    assert [one["event_id"] for one in seen] == [f"supervision-{number}" for number in range(15, 20)]
