"""GPUs watched from outside the driver: hangs, events from the driver and from the kernel's log, whose programs run."""

import os
import threading
from pathlib import Path

import pytest

from actors.facts import EngineFacts
from actors.metrics.amd import AmdGpus
from actors.metrics.cgroup import Groups
from actors.metrics.gpu import Gpus
from actors.metrics.gpu_watch import DEAF_S, HUNG_S, GpuLook, GpuWatch
from actors.metrics.gpus_look import GpusLook, rooms
from actors.metrics.kernel_log import KernelLog, address_of
from actors.metrics.procfs import Kept
from actors.metrics.xid import CLASSES, XIDS, meaning
from tests.bed.processes import wait_until

FIRST, SECOND = (f"GPU-00000000-0000-0000-0000-{number:012d}" for number in range(2))


class Watched:
    """A watch with its two threads; time is the test's, and so is the thread that reads the kernel's log."""

    def __init__(self, version, amd, log=Path("/nothing")):
        self.now_s, self.events, self.ends = 0.0, threading.Semaphore(0), threading.Event()
        self.watch = GpuWatch(Gpus(version), amd, lambda: self.now_s, self.events.release, kernel_log=log)
        self.threads = [threading.Thread(target=run) for run in (self._look_on, self.watch.listen)]
        for thread in self.threads:
            thread.start()

    def _look_on(self):
        while self.watch.look() is not None and not self.ends.wait(0.01):
            pass
        self.watch.close()

    def until(self, condition):
        def look():
            found = self.watch.latest()
            return found if condition(found) else None

        return wait_until(look, timeout_s=10, what="the figures")

    def close(self):
        self.ends.set()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def watched(machine, version, tmp_path):
    made = Watched(version, AmdGpus(tmp_path))
    made.until(lambda look: len(look.gpus) == 2)
    yield made
    machine.system(hang=0)
    machine.gpu("all", hang=0)
    made.close()


def test_a_driver_that_hangs_is_seen_from_outside_and_nothing_old_is_shown(machine, watched):
    assert watched.watch.latest().driver["hung"] == 0
    machine.gpu(1, hang=1)

    def later(look):
        """A second passes with each question: only a look that hangs is under way at more than ten of them."""
        watched.now_s += 1
        return look.driver["hung"]

    assert watched.until(later).gpus == {}
    assert watched.now_s > HUNG_S
    machine.gpu(1, hang=0)
    assert len(watched.until(lambda look: not look.driver["hung"]).gpus) == 2


def test_an_event_comes_at_once_and_is_counted_by_its_class(machine, watched):
    machine.xid(1, 79)
    assert watched.events.acquire(timeout=5)
    machine.xid(1, 31)
    assert watched.events.acquire(timeout=5)
    figures = watched.watch.latest().gpus
    assert [figures[SECOND][f"xid_{name}_total"] for name in CLASSES] == [1, 0, 1]
    assert (figures[SECOND]["xid_code"], figures[SECOND]["xid_text"]) == (31, XIDS[31][1])
    assert [figures[FIRST][f"xid_{name}_total"] for name in CLASSES] == [0, 0, 0]
    assert "xid_code" not in figures[FIRST]


def test_a_wait_that_fails_at_once_is_no_endless_loop(machine, version, tmp_path):
    """What follows a failed wait is a pause of the runtime's, and nothing turns before it is over."""
    pauses, waits = [], []

    class Gate(threading.Event):
        def wait(self, timeout_s=None):
            pauses.append((timeout_s, len(waits)))
            if timeout_s == DEAF_S and len(pauses) > 3:
                self.set()
            return self.is_set()

    watch = GpuWatch(Gpus(version), AmdGpus(tmp_path), lambda: 0.0, lambda: None, switch=Gate)
    watch._gpus.start()
    watch._ready.set()
    pauses.clear()
    real = watch._gpus.wait_event
    watch._gpus.wait_event = lambda timeout_s: (waits.append(timeout_s), real(timeout_s))[1]
    machine.system(**{"fail.nvmlEventSetWait_v2": 999})
    watch.listen()
    watch._gpus.stop()
    assert len(waits) >= 3
    assert pauses[1:] == [(DEAF_S, number) for number in range(1, len(waits) + 1)], "one pause after each wait"


def test_events_of_the_others_are_heard_after_a_gpu_is_lost_and_its_own_when_it_is_back(machine, version):
    gpus = Gpus(version)
    gpus.start()
    gpus.sample(0.0)
    machine.gpu(0, lost=1)
    machine.system(**{"fail.nvmlEventSetWait_v2": 15})  # GPU_IS_LOST: what a set with a lost GPU says for ever
    assert gpus.wait_event(0.1) is None
    assert gpus.deaf
    machine.system(**{"fail.nvmlEventSetWait_v2": 0})
    lost_set = gpus._events
    assert gpus.wait_event(0.0) is None
    assert not gpus.deaf
    assert gpus._events is not lost_set
    machine.xid(0, 79)
    machine.xid(1, 31)
    assert gpus.wait_event(5.0) == (SECOND, 31), "of the lost one nothing is registered"
    assert gpus.sample(1.0)[FIRST]["lost"] == 1
    machine.gpu(0, lost=0)
    assert gpus.sample(100.0)[FIRST]["lost"] == 0
    assert gpus.wait_event(0.0) is None
    machine.xid(0, 13)
    assert gpus.wait_event(5.0) == (FIRST, 13)
    gpus.stop()


def test_the_library_is_given_back_by_the_thread_that_still_waits_in_it(machine, version, monkeypatch):
    import pynvml

    given = []
    real = pynvml.nvmlShutdown
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: (given.append(threading.current_thread().name), real()))
    gpus = Gpus(version)
    gpus.start()
    inside, heard = threading.Event(), []
    wait = gpus._wait
    gpus._wait = lambda *arguments: (inside.set(), wait(*arguments))[1]
    thread = threading.Thread(target=lambda: heard.append(gpus.wait_event(30.0)), name="listener")
    thread.start()
    assert inside.wait(10)
    gpus.stop()
    assert given == []
    machine.xid(0, 79)
    thread.join(20)
    assert (given, heard) == (["listener"], [(FIRST, 79)])
    assert gpus.wait_event(0.0) is None


def test_a_look_that_fails_hangs_not(machine, version, tmp_path):
    now_s = [0.0]
    watch = GpuWatch(Gpus(version), AmdGpus(tmp_path), lambda: now_s[0], lambda: None)
    assert len(watch.look().gpus) == 2
    watch._gpus.sample = lambda _now_s: 1 / 0
    with pytest.raises(ZeroDivisionError):
        watch.look()
    now_s[0] += 2 * HUNG_S
    assert not watch.hung
    watch.close()


def test_unified_memory_is_the_machines_own(machine, watched):
    machine.gpu(0, unified=1, processes="5:100,6:200")
    watched.now_s += 20
    figures = watched.until(lambda look: look.gpus.get(FIRST, {}).get("unified")).gpus[FIRST]
    watched.now_s += 20
    figures = watched.until(lambda look: look.gpus.get(FIRST, {}).get("memory_used_bytes")).gpus[FIRST]
    assert figures["memory_used_bytes"] == 300
    assert figures["memory_total_bytes"] == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_a_machine_without_gpus_has_no_threads_for_them(monkeypatch, tmp_path):
    import pynvml

    def absent():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", absent)
    made = Watched(tmp_path / "none", AmdGpus(tmp_path))
    for thread in made.threads:
        thread.join(10)
        assert not thread.is_alive()
    assert made.watch.latest() == GpuLook({}, None)


def test_processes_are_told_by_the_engine_whose_container_they_are_in():
    mine = os.getpid()
    kept, engines = Kept(), (EngineFacts("chat", "vllm", "loading", pid=mine),)
    programs = GpusLook(Groups(kept))

    def named(*processes):
        gpus = {"g": {"processes": processes}, "idle": {"processes": ()}, "lost": {"lost": 1}}
        programs.name_programs(gpus, engines)
        return gpus

    gpus = named((mine, 5), (mine, 6), (1, 7), (2**22 - 1, None))
    by_engine = gpus["g"]["memory_by_engine"]
    assert gpus["g"]["processes"] == 4
    assert by_engine["chat"] in {11, 18}, "process 1 may share our group in a container"
    assert by_engine["-"] is None
    assert gpus["idle"] == {"processes": 0, "memory_by_engine": {}}
    assert gpus["lost"] == {"lost": 1}
    assert named((mine, 9))["g"]["memory_by_engine"] == {"chat": 9}, "other programs are asked for anew"
    engines = (EngineFacts("other", "vllm", "loading", pid=mine),)
    assert named((mine, 9))["g"]["memory_by_engine"] == {"other": 9}, "and so they are for other engines"
    kept.close()
    assert rooms(GpuLook(gpus, {"hung": 0})) == {"drivers": {"gpu": {"hung": 0}}, "gpus": gpus}
    assert rooms(GpuLook({}, None)) == {"drivers": {}, "gpus": {}}


def test_every_code_has_a_class_and_an_unknown_one_is_an_applications():
    assert {kind for kind, _ in XIDS.values()} == set(CLASSES)
    assert meaning(79)[0] == "fatal"
    assert meaning(9_999)[0] == "app"


@pytest.fixture
def kernel(machine, version, tmp_path):
    """A watch whose kernel's log is a pipe."""
    log = tmp_path / "kmsg"
    os.mkfifo(log)
    writer = os.open(log, os.O_RDWR)
    made = Watched(version, AmdGpus(tmp_path), log)
    made.until(lambda look: len(look.gpus) == 2)
    yield made, lambda text: os.write(writer, text)
    made.close()
    os.close(writer)


def test_what_only_the_kernels_log_says_is_an_event_too_and_an_echo_is_none(machine, kernel):
    watched, write = kernel
    wait_until(lambda: watched.watch._log, timeout_s=10, what="the log is open")
    write(b"4,1,1,-;NVRM: Xid (PCI:0000:3c:00): 79, pid=1, GPU has fallen off the bus.\n")
    watched.watch.read_log()
    assert watched.events.acquire(timeout=5)
    assert watched.watch.latest().gpus[SECOND]["xid_fatal_total"] == 1
    machine.xid(1, 79)  # the driver's own event of the same fault
    machine.xid(0, 13)
    assert watched.events.acquire(timeout=5)
    write(b"4,2,2,-;NVRM: Xid (PCI:0000:3b:00): 13, pid=1\n4,3,3,-;NVRM: Xid (PCI:0000:ff:00): 13\n")
    write(b"4,4,4,-;NVRM: Xid (PCI:0000:3b:00): 31, pid=1\n")
    watched.watch.read_log()
    assert watched.events.acquire(timeout=5)
    figures = watched.watch.latest().gpus
    assert figures[SECOND]["xid_fatal_total"] == 1
    assert figures[FIRST]["xid_app_total"] == 2


def test_a_bus_address_has_one_form():
    assert address_of("00000000:3B:00.0") == address_of("0000:3b:00") == "0000:3b:00"


def test_a_kernel_log_that_may_not_be_read_is_none(tmp_path):
    log = KernelLog(tmp_path / "absent")
    assert log.xids() == []
    log.close()
