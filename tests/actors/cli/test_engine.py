"""What the commands about one engine say, and the doctor's findings: pure."""

from actors.api.doctor import Seen, examine
from actors.cli.explain import explain

GAVE_UP = {
    "name": "chat",
    "kind": "llamacpp",
    "generation": 3,
    "state": "gave_up",
    "why": "exit 137 (SIGKILL): it used more memory than it may",
    "restarts": 2,
    "next_try_at": 1_000.0,
    "endpoint": None,
}
DEATH = {
    "at": 10.0,
    "what": "exit 137 (SIGKILL)",
    "why": "it used more memory than it may",
    "do": "raise memory_bytes",
    "last": ["loading", "the last word"],
}


def test_an_engine_that_was_given_up_is_explained():
    events = [
        {"at": 5.0, "kind": "engine.died", "subject": "engine/chat", "text": "one"},
        {"at": 6.0, "kind": "engine.died", "subject": "engine/other", "text": "two"},
    ]
    text = "\n".join(explain("chat", GAVE_UP, [DEATH], events, "", 940.0))
    assert "does not run: it was tried often enough" in text
    assert "in 60 s" in text
    assert "What to do about the latest: raise memory_bytes" in text
    assert "| the last word" in text
    assert "one" in text
    assert "two" not in text


def test_an_unknown_engine_and_a_docker_that_is_away_are_said():
    assert "There is no engine chat" in explain("chat", None, [], [], "", 0.0)[0]
    text = "\n".join(explain("chat", GAVE_UP | {"state": "ready", "ready_since": 1.0}, [], [], "no answer", 0.0))
    assert "Docker does not answer (no answer). Nothing is touched" in text


def test_the_doctor_finds_what_is_bad_and_says_what_to_do():
    tree = {"path": "/root", "state": "running", "children": [{"path": "/root/aux/api", "state": "gave_up"}]}
    seen = Seen(
        status={"link": {"state": "waiting", "last_error": "refused"}},
        tree=tree,
        engines=[GAVE_UP],
        alerts=[{"rule": "docker_down", "severity": "critical", "text": "away", "do": "start it"}],
        snapshot={"disks": {"/": {"total_bytes": 100, "free_bytes": 2}}},
        docker="no answer",
    )
    levels = {finding.check: finding.level for finding in examine(seen)}
    assert levels == {
        "daemon": "bad",
        "docker": "bad",
        "master": "warning",
        "disk": "bad",
        "engine chat": "bad",
        "alert docker_down": "bad",
    }
    assert all(finding.do for finding in examine(seen) if finding.level == "bad")


def test_the_doctor_says_what_is_well_too():
    seen = Seen({"link": {"state": "connected", "master": "m"}}, {"path": "/root", "state": "running"}, [], [], {}, "")
    assert [finding.level for finding in examine(seen)] == ["good", "good", "good"]
