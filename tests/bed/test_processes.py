import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bed import ports
from tests.bed.errors import BedError
from tests.bed.places import ROOT
from tests.bed.processes import Program, wait_until


def gone(pid):
    return not Path(f"/proc/{pid}").exists()


def test_a_program_is_stopped_with_all_that_it_left_behind(tmp_path):
    script = """
        sleep 300 & echo left $!
        setsid sleep 300 & echo left $!
        trap 'exit 5' TERM
        echo up
        while :; do sleep 0.05; done
    """
    with Program("shell", ["sh", "-c", script], log=tmp_path / "log") as program:
        program.wait_for_line("^up$")
        left = [int(line.split()[1]) for line in program.output().splitlines() if line.startswith("left")]
    assert program.returncode == 5
    assert len(left) == 2
    assert all(gone(pid) for pid in [program.pid, *left])


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace_time(tmp_path):
    with Program(
        "deaf", ["sh", "-c", "trap '' TERM; echo up; sleep 300"], log=tmp_path / "log", grace_s=0.2
    ) as program:
        program.wait_for_line("up")
    assert program.returncode == 128 + signal.SIGKILL


def test_clean_up_runs_also_when_the_program_ends_by_itself(tmp_path):
    mark = tmp_path / "cleaned"
    program = Program("short", ["sh", "-c", "exit 3"], log=tmp_path / "log", cleanup=[["touch", str(mark)]])
    assert program.wait() == 3
    assert mark.exists()
    assert program.stop() == 3


def test_when_the_owner_is_killed_the_program_ends_and_is_cleaned_up(tmp_path):
    log, cleaned = tmp_path / "log", tmp_path / "cleaned"
    owner = f"""
import time
from pathlib import Path
from tests.bed.processes import Program
program = Program("orphan", ["sleep", "300"], log=Path({str(log)!r}), cleanup=[["touch", {str(cleaned)!r}]])
print(program.pid, flush=True)
time.sleep(300)
"""
    with subprocess.Popen([sys.executable, "-c", owner], cwd=ROOT, stdout=subprocess.PIPE) as running:
        pid = int(running.stdout.readline())
        running.kill()
    wait_until(lambda: gone(pid) and cleaned.exists(), timeout_s=20, what="the end of the orphan")


def test_a_program_that_is_not_there_says_so(tmp_path):
    with pytest.raises(BedError, match="No such file or directory: 'nonesuch'"):
        Program("nonesuch", ["nonesuch"], log=tmp_path / "log")


def test_waiting_for_what_does_not_come_tells_the_output(tmp_path):
    program = Program("short", ["sh", "-c", "echo broken; exit 9"], log=tmp_path / "log")
    with program, pytest.raises(BedError, match=r"(?s)it ended with 9.*broken"):
        program.wait_for_line("ready", timeout_s=20)


def test_kill_reaches_the_program_itself(tmp_path):
    with Program("sleeper", ["sleep", "300"], log=tmp_path / "log") as program:
        os.kill(program.pid, 0)
        assert program.kill() == 128 + signal.SIGKILL


def test_a_port_is_waited_for(tmp_path):
    port = ports.free_port()
    with Program(
        "web", [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)], log=tmp_path / "log"
    ) as web:
        web.wait_for_port(port)
        assert ports.answers(port)
    assert not ports.answers(port)


def test_free_ports_are_different():
    assert len(set(ports.free_ports(20))) == 20
