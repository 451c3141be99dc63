"""The watchdog is honest (case 96): systemd hears of life only while the tree lives."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from actors.supervision.heartbeat import Heartbeat
from actors.supervision.messages import StopChild
from actors.supervision.sd_notify import Notifier
from actors.supervision.spec import Backoff, Hang, Limit
from tests.actors.supervision.harness import crash

TOP = Path(__file__).parents[4]
NAMES = ["path", "abstract"]


@pytest.fixture(params=NAMES)
def systemd(request, tmp_path):
    """The receiving end of NOTIFY_SOCKET; and its name as systemd would pass it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@mosalama-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name[1:] if name.startswith("@") else name)
        receiver.settimeout(20.0)
        yield receiver, name


def heard(receiver):
    return receiver.recv(4096).decode().splitlines()


def silent(receiver):
    receiver.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        return receiver.recv(4096) == b""
    receiver.settimeout(20.0)
    return True


def test_c96_what_is_sent(systemd):
    receiver, name = systemd
    notifier = Notifier({"NOTIFY_SOCKET": name})
    assert notifier.ready("läuft · 3 Maschinen\nbereit")
    assert heard(receiver) == ["READY=1", "STATUS=läuft · 3 Maschinen bereit"]
    assert notifier.status("nur das")
    assert heard(receiver) == ["STATUS=nur das"]
    assert notifier.reloading(12.5)
    assert heard(receiver) == ["RELOADING=1", "MONOTONIC_USEC=12500000"]
    assert notifier.extend_timeout(2.5)
    assert heard(receiver) == ["EXTEND_TIMEOUT_USEC=2500000"]
    assert notifier.stopping("Ende")
    assert heard(receiver) == ["STOPPING=1", "STATUS=Ende"]
    assert notifier.ping()
    assert heard(receiver) == ["WATCHDOG=1"]
    assert notifier.dropped == 0


def test_c96_a_dead_socket_is_counted_and_raises_nothing(tmp_path):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert not notifier.ready()
    assert notifier.dropped == 1
    assert not Notifier({}).ready()
    assert Notifier({}).dropped == 0


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 10.0),
        ({"WATCHDOG_USEC": "30000000"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_c96_how_often(environ, seconds):
    assert Notifier(environ).ping_every_s == seconds


def test_c96_blocked_root_means_no_ping(world, systemd):
    receiver, name = systemd
    gate = world.gate()
    system = world.start(world.child("a"))
    heartbeat = Heartbeat(system, Notifier({"NOTIFY_SOCKET": name}))
    assert heartbeat.beat()
    assert heard(receiver) == ["WATCHDOG=1"]
    core = system.services.supervisors["/root"]
    original = core.handle

    def blocked(event, now):
        gate.wait()
        return original(event, now)

    core.handle = blocked
    system.handle("/root").tell(StopChild("a"))
    world.until(lambda: gate.arrived, "the root is blocked")
    assert not heartbeat.beat()
    assert heartbeat.missed == 1
    assert silent(receiver)
    core.handle = original
    gate.open()
    world.until(heartbeat.beat, "the root answers again")
    assert heard(receiver) == ["WATCHDOG=1"]


def test_c96_critical_overdue_or_down_means_no_ping(world):
    slow = Backoff(min_s=60.0, max_s=60.0, immediate_first=False)
    hang = Hang(default_s=0.05, grace_s=60.0)
    system = world.start(
        world.child("busy", critical=True, hang=hang),
        world.child("plain", backoff=slow, limit=Limit(1, 3600.0)),
        world.child("vital", critical=True, backoff=slow, limit=Limit(1, 3600.0)),
    )
    assert system.healthy()
    system.handle("/root/plain").tell(crash)
    world.until(lambda: world.state(system, "/root/plain") == "backoff", "plain waits")
    assert system.healthy()
    gate = world.gate()
    system.handle("/root/busy").tell(lambda actor: gate.wait())
    world.until(lambda: not system.healthy(), "the critical one is overdue")
    gate.open()
    world.until(system.healthy, "it came back")
    system.handle("/root/vital").tell(crash)
    world.until(lambda: world.state(system, "/root/vital") == "backoff", "vital waits")
    assert not system.healthy()


@pytest.mark.threads
def test_c96_ready_only_after_critical_children(world, systemd):

    receiver, name = systemd
    gate = world.gate()
    system = world.system(world.child("a"), world.child("vital", lambda actor: gate.wait(), critical=True))

    def daemon():
        system.start()
        Notifier({"NOTIFY_SOCKET": name}).ready()

    thread = threading.Thread(target=daemon, daemon=True)
    thread.start()
    world.until(lambda: gate.arrived, "vital is starting")
    assert silent(receiver)
    gate.open()
    assert heard(receiver) == ["READY=1"]
    thread.join(20.0)


DAEMON = """
    import faulthandler
    from actors.supervision.actor import Actor
    from actors.supervision.heartbeat import Heartbeat
    from actors.supervision.sd_notify import Notifier
    from actors.supervision.spec import ChildSpec, SupervisorSpec
    from actors.supervision.system import System

    faulthandler.enable()
    system = System(SupervisorSpec(children=(ChildSpec("a", Actor),)))
    system.start()
    Notifier().ready()
    Heartbeat(system, Notifier()).start()
    system.wait_for_exit()
"""


def test_c96_a_stopped_process_is_aborted_by_its_supervisor(tmp_path):
    """A harness like systemd: it aborts whoever sends no ping within the limit, and the stacks are written."""
    limit_s = 1.5
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(30.0)
        environ = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": str(int(limit_s * 1e6))}
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(DAEMON)], cwd=TOP, env=environ, stderr=subprocess.PIPE, text=True
        ) as process:
            assert heard(receiver) == ["READY=1"]
            assert [heard(receiver) for _ in range(3)] == [["WATCHDOG=1"]] * 3
            process.send_signal(signal.SIGSTOP)
            receiver.settimeout(limit_s)
            with contextlib.suppress(TimeoutError):
                while True:
                    heard(receiver)
            process.send_signal(signal.SIGABRT)
            process.send_signal(signal.SIGCONT)
            assert process.wait(20) == -signal.SIGABRT
            assert "Current thread" in process.stderr.read()
