"""The main job, end to end, on real parts: `make demo`.

Separate processes with real TLS, a real Docker Engine, a real llama.cpp and a real model file; three faults;
then a table. `--once` stops everything and leaves `.demo/summary.json`; the exit code is 0 only if every step held.
"""

import argparse
import signal
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from tests.bed import demo_steps as steps
from tests.bed.demo_engines import ENGINES
from tests.bed.demo_report import Report
from tests.bed.demo_world import World
from tests.bed.docker_engine import DockerEngine
from tests.bed.places import ROOT

SUMMARY = ROOT / ".demo" / "summary.json"


def main() -> int:
    """Run the steps; see the module."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console()
    report = Report(console)
    try:
        with ExitStack() as stack:
            _run(report, stack, arguments)
    except KeyboardInterrupt:
        console.print("interrupted; everything that was started is stopped")
    except Exception:  # the failed step has said what and why; here only the end is put in order
        console.print_exception(max_frames=3)
    finally:
        report.write(SUMMARY)
        console.print(report.table())
        console.print(f"summary: {SUMMARY.relative_to(ROOT)}")
    return 0 if report.ok else 1


def _run(report: Report, stack: ExitStack, arguments: argparse.Namespace) -> None:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-", dir="/tmp")))
    with report.step("test bed: Docker Engine, engine image, model, hub") as step:
        engine = stack.enter_context(DockerEngine())
        world = World(folder, engine.host)
        stack.callback(steps.remove_containers, world)
        parts = steps.bring_parts(stack, world, arguments)
        step.detail = parts.said
    stack.callback(world.close)
    stack.callback(steps.keep_logs, world, ROOT / ".demo")
    for name, action in steps.STEPS:
        with report.step(name) as step:
            step.detail = action(world, parts, report)
    if not arguments.once:
        report.console.print(report.table())
        report.console.print(f"status page: {steps.page(world)}   (Ctrl-C stops everything)")
        threading.Event().wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop by itself after the last step")
    parser.add_argument("--engine", choices=sorted(ENGINES), default="llamacpp", help="which engine serves")
    parser.add_argument("--model", help="hf://ORG/REPO[@REV][:FILE] from the real hub instead of the local one")
    parser.add_argument("--image", help="a server image of that engine instead of the one built from packages")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
