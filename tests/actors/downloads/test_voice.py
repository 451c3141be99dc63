"""How far a transfer is, in the log."""

from actors.downloads.bodies.api import Progress
from actors.downloads.transfer.voice import LOG_S, Voice


def test_a_new_state_is_a_line_at_once_and_the_same_one_every_ten_seconds():
    voice = Voice()
    bringing = Progress("transferring", 10, 100, 5.0, 18.0)
    assert voice.line(Progress("resolving", 0, 0), 1.0) == {"state": "resolving", "done_bytes": 0}
    said = {"state": "transferring", "done_bytes": 10, "total_bytes": 100, "rate_bytes_s": 5, "eta_s": 18}
    assert voice.line(bringing, 1.1) == said
    assert voice.line(bringing, 1.0 + LOG_S) is None
    assert voice.line(bringing, 1.1 + LOG_S) == said


def test_what_nobody_knows_is_not_said_and_a_reason_is():
    line = Voice().line(Progress("waiting", 10, 0, 5.0, None, why="the hours"), 1.0)
    assert line == {"state": "waiting", "done_bytes": 10, "rate_bytes_s": 5, "why": "the hours"}
