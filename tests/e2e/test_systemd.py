"""The unit under a real systemd: start, refused reload, kill, hang and stop, while an engine serves."""

import re
import time

import pytest

from tests.bed import installed, serving, systemd_image
from tests.bed.places import ROOT
from tests.bed.systemd_machine import SystemdMachine

UNIT = "mosalamaagent.service"
HIGHEST_EXPOSURE = 1.5
STEPS = ROOT / "systemd" / "mosalamaagent-254.conf"
STEPS_SINCE = 254
CONFIG = "/etc/mosalamaagent/config.yaml"
QUICK_WATCHDOG = "[Service]\nWatchdogSec=3\nRestartSec=200ms\n"
"""For the test only: a hang is seen after 3 s instead of 30."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture(scope="module", params=[None, "trixie"], ids=["systemd-of-this-release", "systemd-257"])
def machine(request, docker_engine, tmp_path_factory):
    mounts = installed.install(tmp_path_factory.mktemp("opt"))
    image = systemd_image.ensure_image(docker_engine.host, request.param)
    with SystemdMachine(docker_engine.host, image, mounts=mounts) as one:
        one.write(f"/etc/systemd/system/{UNIT}.d/quick.conf", QUICK_WATCHDOG)
        if one.version() >= STEPS_SINCE:
            one.write(f"/etc/systemd/system/{UNIT}.d/steps.conf", STEPS.read_text(encoding="utf-8"))
        one.run("systemctl", "daemon-reload")
        yield one


@pytest.fixture
def service(machine):
    """The service, running on a good configuration."""
    machine.write(CONFIG, "log: {level: info}\n", owner="root:mosalamaagent", mode="640")
    machine.run("systemctl", "reset-failed", UNIT)
    started = machine.run("systemctl", "restart", UNIT)
    assert started.code == 0, machine.journal(UNIT)
    return machine


@pytest.fixture(scope="module")
def engine(docker_engine, llama_image, tiny_model):
    """Address of an engine that serves beside the machine, in the same Docker Engine."""
    with serving.engine_container(docker_engine.host, llama_image, tiny_model) as url:
        yield url


def restarts(machine):
    return int(machine.show(UNIT, "NRestarts")["NRestarts"])


def back_while_serving(machine, engine, before, *, timeout_s=60):
    """Wait for the next start of the service; the engine must answer each time it is asked meanwhile."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        assert serving.complete(engine)
        seen = machine.show(UNIT, "ActiveState", "SubState", "NRestarts", "MainPID")
        if seen["SubState"] == "running" and int(seen["NRestarts"]) > before:
            return seen
    pytest.fail(f"not back: {seen}\n{machine.journal(UNIT)[-3000:]}")


def test_the_unit_has_no_fault_that_systemd_knows(machine):
    said = machine.run("systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}")
    assert (said.code, said.text) == (0, "")


def test_the_unit_is_exposed_as_little_as_its_work_allows(machine):
    said = machine.run("systemd-analyze", "security", "--offline=true", f"/etc/systemd/system/{UNIT}")
    level = re.search(r"Overall exposure level.*: ([\d.]+)", said.text)
    assert level, said.text
    assert float(level[1]) <= HIGHEST_EXPOSURE


def test_the_user_and_the_folder_of_the_configuration_are_made_at_boot(machine):
    assert "mosalamaagent" in machine.run("id", "mosalamaagent").text
    assert machine.run("stat", "-c", "%U:%G %a", "/etc/mosalamaagent").text.strip() == "root:mosalamaagent 750"


def test_the_service_is_active_only_once_the_daemon_says_ready(service):
    seen = service.show(UNIT, "ActiveState", "SubState", "Type", "StatusText", "User")
    assert seen["Type"] == "notify"
    assert (seen["ActiveState"], seen["SubState"]) == ("active", "running")
    assert seen["StatusText"]


def test_the_process_has_no_rights_but_its_users_and_dockers(service):
    pid = service.main_pid(UNIT)
    status = dict(line.split(":\t", 1) for line in service.run("cat", f"/proc/{pid}/status").text.splitlines())
    own = service.run("id", "-u", "mosalamaagent").text.strip()
    docker = service.run("stat", "-c", "%g", "/run/docker.sock").text.strip()
    assert status["Uid"].split() == [own] * 4
    assert docker in status["Groups"].split()
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_reload_is_refused_at_once_and_touches_nothing(service):
    pid = service.main_pid(UNIT)
    said = service.run("systemctl", "reload", UNIT)
    assert said.code != 0
    assert "Job type reload is not applicable" in said.text
    assert service.main_pid(UNIT) == pid


def test_a_configuration_that_cannot_be_used_is_said_and_not_tried_again(machine):
    machine.write(CONFIG, "log: {levle: info}\n", owner="root:mosalamaagent", mode="640")
    machine.run("systemctl", "reset-failed", UNIT)
    machine.run("systemctl", "restart", UNIT)
    seen = machine.wait_for(UNIT, {"SubState": "failed", "ExecMainStatus": "78", "NRestarts": "0"})
    assert seen
    journal = machine.journal(UNIT)
    assert f"{CONFIG}" in journal
    assert "levle" in journal


def test_killed_it_is_back_and_the_engine_served_throughout(service, engine):
    before, pid = restarts(service), service.main_pid(UNIT)
    service.run("kill", "-KILL", str(pid))
    seen = back_while_serving(service, engine, before)
    assert int(seen["MainPID"]) != pid
    assert "code=killed, status=9/KILL" in service.journal(UNIT)


def test_hung_it_is_ended_by_the_watchdog_and_is_back_while_the_engine_serves(service, engine):
    before, pid = restarts(service), service.main_pid(UNIT)
    service.run("kill", "-STOP", str(pid))
    seen = back_while_serving(service, engine, before)
    assert int(seen["MainPID"]) != pid
    assert "Watchdog timeout" in service.journal(UNIT)


def test_stopped_it_ends_by_itself_and_the_engine_serves_on(service, engine):
    said = service.run("systemctl", "stop", UNIT)
    assert said.code == 0
    seen = service.show(UNIT, "ActiveState", "Result", "ExecMainStatus")
    assert seen == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
    assert serving.complete(engine)


def test_where_systemd_can_the_delays_between_restarts_grow(machine):
    seen = machine.show(UNIT, "RestartSteps", "RestartMaxDelayUSec")
    expected = {"RestartSteps": "6", "RestartMaxDelayUSec": "1min"} if machine.version() >= STEPS_SINCE else {}
    assert seen == expected
