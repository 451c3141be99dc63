"""`mosalamaagent model ...` against a real socket, a real journal and an owner that answers as the manager does."""

import json
import shutil
import time

import pytest
from click.testing import CliRunner

from actors.api.actor import ApiActor
from actors.api.board import Board
from actors.api.desk import Desk
from actors.api.server import Readers
from actors.cli.main import cli
from actors.journal import messages as journal
from actors.journal.actor import JournalActor
from actors.supervision.spec import ChildSpec, SupervisorSpec
from actors.supervision.system import System
from config.api import ApiSettings
from config.journal import JournalSettings
from protocol.messages.reports import Failure
from tests.bed.places import short_folder
from tests.fakes.listener import Listener
from tests.fakes.trust import key

PLAN = ({"version": "hub/o/r/c", "removed": True, "frees_bytes": 5, "why": "space is needed"},)
FIGURES = {"used_bytes": 9, "capacity_bytes": 100, "frees_bytes": 5, "short_bytes": 0, "versions": 1, "dry_run": 1}


class Owner(Listener):
    """Carries out at once what it is told."""

    def __init__(self, handle):
        super().__init__("/owner")
        self._journal = handle

    def tell(self, message):
        super().tell(message)
        command, command_id = message.command, message.command_id
        if command.TYPE == "model.remove":
            failure = Failure(code="E_BUSY", what="not removed", why="it is pinned", do="unpin it")
            self._journal().tell(journal.Outcome(command_id, "failed", failure))
        elif command.TYPE == "model.gc":
            self._journal().tell(journal.Outcome(command_id, "done", None, FIGURES, PLAN))
        elif command.TYPE != "model.verify":
            self._journal().tell(journal.Outcome(command_id, "done", None, {"size_bytes": 2048}))


class Machine:
    def __init__(self, folder):
        self.run_dir, held = folder, []
        self.owner, self.link = Owner(lambda: held[0].handle("/root/journal")), Listener("/link")

        def keeper():
            return JournalActor(
                file=folder / "journal.sqlite",
                settings=JournalSettings(),
                routes={"model": self.owner},
                link=self.link,
                wall=time.time,
            )

        def api():
            desk = Desk(lambda: key("agent"), "label", held[0].handle("/root/journal"), time.time)
            readers = Readers(tree=dict, events=list, healthy=lambda: True, desk=desk)
            return ApiActor(settings=ApiSettings(port=0), run_dir=folder, board=Board(), readers=readers)

        held.append(System(SupervisorSpec(children=(ChildSpec("journal", keeper), ChildSpec("api", api)))))
        self.system = held[0]
        self.system.start()
        deadline = time.monotonic() + 10
        while not (folder / "control.sock").exists() and time.monotonic() < deadline:
            self.system.wait_for_exit(0.02)
        self.config = folder / "config.yaml"
        self.config.write_text(f"paths: {{run_dir: {folder}}}\n")

    def run(self, *words):
        return CliRunner().invoke(cli, ["model", *words, "--config", str(self.config)])

    def events(self):
        found = self.system.handle("/root/journal").call(journal.RecentEvents(), timeout_s=5)
        return [(event.kind, event.subject, event.text) for event in found]

    def close(self):
        self.system.stop()


@pytest.fixture
def machine():
    folder = short_folder()
    made = Machine(folder)
    yield made
    made.close()
    shutil.rmtree(folder)


def test_a_pull_is_kept_signed_and_told_with_who_asked(machine):
    result = machine.run("pull", "hf://org/repo@main:a.gguf", "--include", "*.gguf", "--priority", "9")
    assert (result.exit_code, "2.0 KiB (2048 bytes)" in result.output) == (0, True), result.output
    (execute,) = machine.owner.of(journal.Execute)
    assert (execute.command.source.file, execute.command.source.include, execute.command.priority) == (
        "a.gguf",
        ("*.gguf",),
        9,
    )
    assert len(execute.envelope) > 64, "the ledger's record is a signed envelope"
    kind, subject, text = machine.events()[-1]
    assert (kind, subject) == ("command.local", "model.pull")
    assert text.startswith("user ")


def test_every_kind_of_source_is_told_by_its_form(machine, tmp_path):
    listed = tmp_path / "files.json"
    listed.write_text(json.dumps([{"name": "f", "size_bytes": 1, "sha256": "a" * 64, "urls": ["https://h/f"]}]))
    for words in (
        ("hf://org/repo",),
        ("https://h/f", "--sha256", "a" * 64),
        ("/srv/m",),
        ("acme/m", "--manifest", str(listed)),
        ("s3://bucket/m",),
    ):
        assert machine.run("pull", *words).exit_code == 0, words
    kinds = [execute.command.source.kind for execute in machine.owner.of(journal.Execute)]
    assert kinds == ["hub", "https", "path", "manifest", "plugin"]


def test_what_fails_is_exit_1_with_what_to_do(machine):
    result = machine.run("remove", "org/repo")
    assert result.exit_code == 1
    assert "What to do: unpin it" in result.output


def test_a_collection_is_a_table_and_json_for_programs(machine):
    assert "would go" in machine.run("gc", "--dry-run").output
    output = machine.run("gc", "--dry-run", "--json").output
    answer = json.loads(output[output.index("\n{") :])  # the daemon of this test logs into the same output
    assert (answer["state"], answer["rows"][0]["version"]) == ("done", "hub/o/r/c")


def test_what_goes_on_is_exit_75_and_no_wait_says_the_id(machine):
    assert machine.run("verify", "org/repo", "--timeout", "0.1").exit_code == 75
    assert machine.run("verify", "org/repo", "--no-wait").output.count("accepted: ") == 1


@pytest.mark.parametrize("words", [("pin", "../etc"), ("pull", "hf://nonsense"), ("pull", "https://h/f")])
def test_what_is_not_valid_is_refused_before_it_is_kept(machine, words):
    result = machine.run(*words)
    assert (result.exit_code, "E_SCHEMA" in result.output) == (1, True), result.output
    assert machine.owner.of(journal.Execute) == []


def test_engines_are_the_masters(machine):
    from actors.cli.client import DaemonRefusedError, send

    with pytest.raises(DaemonRefusedError, match="E_UNKNOWN_OP"):
        send(machine.run_dir, "engine.stop", {"name": "chat", "generation": 1})


def test_transfers_are_paused_resumed_cancelled_and_ordered(machine):
    machine.run("pause", "org/repo", "--revision", "main")
    machine.run("resume", "org/repo")
    machine.run("cancel", "org/repo")
    machine.run("priority", "org/repo", "9")
    commands = [execute.command for execute in machine.owner.of(journal.Execute)]
    assert [(one.TYPE, one.revision) for one in commands] == [
        ("model.pause", "main"),
        ("model.pause", None),
        ("model.cancel", None),
        ("model.priority", None),
    ]
    assert [commands[0].paused, commands[1].paused, commands[3].priority] == [True, False, 9]
    assert machine.run("priority", "org/repo", "10").exit_code == 2


def test_a_pin_is_of_the_current_version_unless_another_is_named(machine):
    machine.run("pin", "org/repo")
    machine.run("unpin", "org/repo", "abcdef1")
    machine.run("use", "org/repo", "main")
    commands = [execute.command for execute in machine.owner.of(journal.Execute)]
    assert [(one.TYPE, one.revision) for one in commands] == [
        ("model.pin", "current"),
        ("model.pin", "abcdef1"),
        ("model.use", "main"),
    ]
