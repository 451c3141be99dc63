"""The rules of the house that no linter knows."""

import ast
import re
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("actors", "protocol", "config")
LINES_MAX = 400
STDLIB = set(__import__("sys").stdlib_module_names)

# Third-party packages that each room may use, with nothing beside them: a new dependency is a decision.
ALLOWED = {
    "protocol": {"msgpack", "nacl", "pydantic", "jwt"},
    "config": {"pydantic", "yaml"},
    "actors.supervision": {"pykka", "structlog", "config"},
    "actors.journal": {"structlog", "protocol", "config"},
    "actors.link": {"structlog", "websockets", "aiohttp", "protocol", "config", "pydantic"},
    "actors.engines": {"structlog", "docker", "requests", "urllib3", "protocol", "config", "pydantic"},
    "actors.downloads": {"structlog", "aiohttp", "protocol", "config", "pydantic"},
    "actors.metrics": {"structlog", "psutil", "pynvml", "protocol", "config", "pydantic"},
    "actors.api": {"structlog", "aiohttp", "protocol", "config", "pydantic"},
    "actors.master": {
        "structlog",
        "aiohttp",
        "websockets",
        "click",
        "rich",
        "cryptography",
        "pydantic",
        "protocol",
        "config",
        "yaml",
        "jwt",
    },
    "actors.cli": {"click", "rich", "config"},
    "actors.log": {"structlog", "config"},
    "actors.forwarding": {"structlog", "config"},
    "actors.tree": {"config"},
    "actors.wiring": {"structlog", "config", "protocol"},
    "actors.paths": set(),
    "actors.daemon": {"structlog", "config", "protocol"},
    "actors.clock": set(),
    "actors.facts": set(),
    "actors.figures": set(),
    "actors.terminal": {"rich"},
}
SHARED = {"actors.terminal"}
"""Of no side: what agent and master both show people goes through it."""


def python_files():
    return sorted(
        path for top in (*ROOMS, "tests", "benchmarks") for path in (ROOT / top).rglob("*.py") if path.is_file()
    )


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph(*ROOMS, include_external_packages=True, cache_dir=None)


def room_of(module):
    parts = module.split(".")
    return parts[0] if parts[0] in ("protocol", "config") else ".".join(parts[:2])


def test_every_room_imports_only_what_its_list_allows(graph):
    wrong = []
    for module in graph.modules:
        if module.split(".")[0] not in ROOMS or module == "actors":
            continue
        allowed = ALLOWED[room_of(module)] | STDLIB | {"actors", room_of(module)}
        wrong += [
            f"{module} imports {imported}"
            for imported in graph.find_modules_directly_imported_by(module)
            if imported.split(".")[0] not in allowed
        ]
    assert not wrong, wrong


def test_no_agent_room_imports_the_master_and_the_master_imports_no_agent_room(graph):
    crossing = [
        (importer, imported)
        for importer in graph.modules
        if importer.startswith("actors.")
        for imported in graph.find_modules_directly_imported_by(importer)
        if imported.startswith("actors.")
        and not {importer, imported} & SHARED
        and importer.startswith("actors.master") != imported.startswith("actors.master")
    ]
    assert not crossing


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_at_most_400_lines(path):
    assert len(path.read_text().splitlines()) <= LINES_MAX


def test_every_module_of_the_rooms_says_what_it_is():
    silent = [
        str(path.relative_to(ROOT))
        for path in python_files()
        if path.relative_to(ROOT).parts[0] in ROOMS and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_no_file_imports_a_room_itself():
    wrong = []
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                wrong += [str(path) for alias in node.names if alias.name in ROOMS]
    assert not wrong


def test_the_top_level_is_what_was_agreed():
    allowed = {*ROOMS, "tests", "benchmarks", "systemd", "docs", "pyproject.toml", "README.md", "LICENSE"}
    allowed |= {"Makefile", "requirements.lock", "requirements-dev.lock"}
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found <= allowed | {"__pycache__"}, found - allowed


READS_ENVIRONMENT = {"actors/cli/options.py", "actors/log/setup.py", "actors/supervision/sd_notify.py"}
"""Settings come through `config`; the two others read what systemd tells its services."""


def test_nothing_is_set_by_the_environment_behind_the_settings():
    reading = {
        str(path.relative_to(ROOT))
        for path in python_files()
        if path.relative_to(ROOT).parts[0] in ROOMS
        and re.search(r"\bos\.(?:environ|getenv)|__import__", path.read_text())
    }
    assert reading <= READS_ENVIRONMENT, reading - READS_ENVIRONMENT


PATH_IN_DOCS = re.compile(r"`((?:actors|protocol|config|tests|benchmarks|systemd|docs)/[\w./\-]*)`")


@pytest.mark.parametrize(
    "page", [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"], ids=lambda path: path.name
)
def test_every_path_that_a_page_names_exists(page):
    missing = [name for name in PATH_IN_DOCS.findall(page.read_text()) if not (ROOT / name).exists()]
    assert not missing


def test_the_locks_hold_no_address():
    for lock in ROOT.glob("*.lock"):
        assert "://" not in lock.read_text()
