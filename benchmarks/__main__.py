"""`python -m benchmarks` lists the benchmarks; `python -m benchmarks NAME [--json] [--strict]` runs one."""

import argparse
import contextlib
import importlib
import json
import os
import pkgutil
import sys
from collections.abc import Iterator
from types import ModuleType

from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks.harness import NotMeasuredError, Result, machine

EXIT_MISSED = 1
"""--strict only: everything was measured and a target was missed."""
EXIT_NOT_MEASURED = 2
"""A figure could not be taken, or there is no such benchmark."""


def discover() -> dict[str, ModuleType]:
    """Benchmark modules of this folder by their NAME: those that have a NAME and a run()."""
    modules = (
        importlib.import_module(f"benchmarks.{found.name}")
        for found in pkgutil.iter_modules(benchmarks.__path__)
        if found.name != "__main__"
    )
    return {module.NAME: module for module in modules if hasattr(module, "NAME") and hasattr(module, "run")}


def document(name: str, results: list[Result]) -> dict[str, object]:
    """The JSON object of the answer."""
    return {"name": name, "machine": machine(), "results": [result.row() for result in results]}


def table(name: str, results: list[Result]) -> Table:
    """The same rows for a person; the target stands beside what it bounds."""
    view = Table(title=name, title_justify="left")
    for column in ("metric", "unit", "better", "ours", "peer", "ratio", "target", "met"):
        numeric = column in {"ours", "ratio", "target"}
        view.add_column(column, justify="right" if numeric else "left", no_wrap=True)
    for result in results:
        view.add_row(*_cells(result))
    return view


def _cells(result: Result) -> tuple[str, ...]:
    sign = "≤" if result.better == "lower" else "≥"
    peer = "" if result.peer is None else f"{result.peer:.4g} {result.peer_name}"
    ratio = "" if result.ratio is None else f"{result.ratio:.3g}"
    target = "" if result.target is None else f"{sign} {result.target:g}{' x' if result.peer_name else ''}"
    met = {None: "", True: "[green]yes[/green]", False: "[red]no[/red]"}[result.met]
    return (result.metric, result.unit, result.better, f"{result.ours:.4g}", peer, ratio, target, met)


def _list(found: dict[str, ModuleType]) -> None:
    view = Table(title="python -m benchmarks NAME", title_justify="left")
    view.add_column("name", no_wrap=True)
    view.add_column("what it measures")
    for name, module in sorted(found.items()):
        view.add_row(name, (module.__doc__ or "").strip().splitlines()[0])
    Console().print(view)


@contextlib.contextmanager
def _only_the_answer() -> Iterator[None]:
    """Meanwhile what anybody writes, child processes too, goes to the standard error: the output is the answer's."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def main(arguments: list[str]) -> int:
    """Exit code: 0 measured, 1 a target missed under --strict, 2 not measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", help="which benchmark; without it they are listed")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a target is missed")
    options = parser.parse_args(arguments)
    found = discover()
    if options.name is None:
        _list(found)
        return 0
    if options.name not in found:
        print(
            f"benchmarks: there is no {options.name!r}; there are: {', '.join(sorted(found))}",
            file=sys.stderr,
        )
        return EXIT_NOT_MEASURED
    try:
        with _only_the_answer():
            results: list[Result] = found[options.name].run()
    except NotMeasuredError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return EXIT_NOT_MEASURED
    if options.json:
        print(json.dumps(document(options.name, results)), flush=True)
    else:
        Console(width=None if sys.stdout.isatty() else 140).print(table(options.name, results))
    return EXIT_MISSED if options.strict and any(result.met is False for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
