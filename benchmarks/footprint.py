"""Memory and processor time of the idle daemon with one real engine managed, and how fast the command answers."""

from __future__ import annotations

import compileall
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import NotMeasuredError, Result, Samples, repeat, say, seconds
from benchmarks.procfs import cpu_seconds, pss_mib, rss_mib, tree

if TYPE_CHECKING:
    from rich.console import Console

    from tests.bed.demo_steps import Parts
    from tests.bed.demo_world import World

NAME = "footprint"
SETTLE_S = 20.0
"""After the last step of the set-up: what it needed is given back, the first reports are out."""
WINDOW_S = 60.0
WINDOWS = 5
VERSION_ROUNDS = 15
COMMAND = Path(sys.executable).parent / "mosalamaagent"


def run() -> list[Result]:
    """Five windows of a minute; the daemon, its master and its engine are real processes at default intervals."""
    version = repeat(_version_s, rounds=VERSION_ROUNDS, warmup=3)
    with ExitStack() as stack:
        pid = _idle_daemon(stack)
        say(f"settling for {SETTLE_S:g} s")
        time.sleep(SETTLE_S)
        pss, rss, cpu = _windows(pid)
    return [
        Result("idle_pss_mib", "MiB", "lower", pss.median, target=64.0),
        Result("idle_rss_mib", "MiB", "lower", rss.median),
        Result("idle_cpu_percent", "percent of a core", "lower", cpu.median, target=0.5),
        Result("version_s", "s", "lower", version.median, target=0.25),
    ]


def _version_s() -> float:
    argv = [str(COMMAND), "--version"]
    return seconds(lambda: subprocess.run(argv, check=True, capture_output=True, timeout=30))


def _windows(pid: int) -> tuple[Samples, Samples, Samples]:
    """(PSS in MiB, RSS in MiB, percent of a core) of the daemon and its children, one value a window.

    PSS counts a page shared with another process in part, and the master of this run shares some; RSS counts it
    whole: the truth on a machine without the master lies between.
    """
    pss, rss, cpu = [], [], []
    for number in range(1, WINDOWS + 1):
        say(f"window {number} of {WINDOWS}, {WINDOW_S:g} s")
        before, start = cpu_seconds(tree(pid)), time.monotonic()
        time.sleep(WINDOW_S)
        family = tree(pid)
        cpu.append(100 * (cpu_seconds(family) - before) / (time.monotonic() - start))
        pss.append(pss_mib(family))
        rss.append(rss_mib(family))
    return Samples(tuple(pss)), Samples(tuple(rss)), Samples(tuple(cpu))


def _idle_daemon(stack: ExitStack) -> int:
    """The process id of a daemon that enrolled, pulled a model and serves one engine, at its default settings."""
    from tests.bed import demo_steps as steps
    from tests.bed.demo_report import Report, StepFailedError
    from tests.bed.demo_world import World
    from tests.bed.docker_engine import DockerEngine
    from tests.bed.errors import BedError

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="footprint-")))
    try:
        world = World(folder, stack.enter_context(DockerEngine()).host)
        stack.callback(steps.remove_containers, world)
        parts = steps.bring_parts(stack, world, Namespace(engine="llamacpp", image=None, model=None))
        stack.callback(world.close)
        world.agent_program = _installed(folder / "installed")
        report = Report(_quiet())
        steps.start_master(world, parts, report)
        steps.enroll_agent(world, parts, report)
        _with_default_log(world, parts)
        for step in (steps.pull_model, steps.start_engine):
            say(step(world, parts, report))
    except (BedError, StepFailedError, TimeoutError) as error:
        raise NotMeasuredError("the idle daemon", str(error), "make demo shows the same steps one by one") from error
    assert world.agent is not None
    return world.agent.pid


def _installed(folder: Path) -> list[str | Path]:
    """The daemon as a machine has it: only what it requires to run, compiled as the installation does."""
    from tests.bed import installed

    folder.mkdir()
    installed.install(folder)
    (packages,) = folder.glob(".venv/lib/*/site-packages")
    compileall.compile_dir(packages, quiet=2)
    code = f"import sys; sys.path.insert(0, {str(packages)!r}); from actors.cli.main import main; sys.exit(main())"
    interpreter = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return [interpreter, "-I", "-S", "-c", code]


def _with_default_log(world: World, parts: Parts) -> None:
    """The demo logs in detail; what is measured does not."""
    from tests.bed import demo_steps as steps

    settings = steps.agent_settings(world, parts, world.folder / "join.token")
    del settings["log"]
    world.write_config(settings)
    assert world.agent is not None
    world.agent.stop()
    world.start_agent()


def _quiet() -> Console:
    from rich.console import Console

    return Console(stderr=True, quiet=True)
