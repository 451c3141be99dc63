"""A copy of the agent as it is installed: its own environment with what it requires to run, nothing else.

The interpreter and the packages are those that run now; only what pyproject.toml requires to run is taken,
so a requirement that is missing there is missing here. Made to be mounted read-only at /opt/mosalamaagent.
"""

import shutil
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.bed.places import ROOT

PLACE = "/opt/mosalamaagent"
INTERPRETER = "/opt/python"
"""Where the interpreter's own folder must be mounted, unless it is the system's."""
OURS = ("actors", "protocol", "config")
SCRIPT = """#!{place}/.venv/bin/python
import sys
from {module} import main
sys.exit(main())
"""


def install(folder: Path) -> dict[Path, tuple[str, str]]:
    """Make the copy in `folder`; the mounts that a container needs: {path: (path inside, "ro")}."""
    system = Path(sys.base_prefix) == Path("/usr")
    home = "/usr/bin" if system else f"{INTERPRETER}/bin"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / ".venv" / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    for one in requirements("mosalamaagent"):
        _copy(one, packages)
    for name in OURS:
        shutil.copytree(ROOT / name, packages / name)
    _programs(folder / ".venv", home, version)
    folder.chmod(0o755)
    mounts = {folder: (PLACE, "ro")}
    return mounts if system else mounts | {Path(sys.base_prefix): (INTERPRETER, "ro")}


def requirements(name: str) -> list[Distribution]:
    """The distribution and all that it needs to run here, without extras."""
    found: dict[str, Distribution] = {}
    wanted = [name]
    while wanted:
        one = distribution(wanted.pop())
        if one.name not in found:
            found[one.name] = one
            asked = [Requirement(line) for line in one.requires or ()]
            wanted += [need.name for need in asked if need.marker is None or need.marker.evaluate({"extra": ""})]
    return list(found.values())


def _copy(one: Distribution, target: Path) -> None:
    """Its files as its record lists them; what lies outside site-packages (programs) is left out."""
    for file in one.files or ():
        source = Path(str(file.locate()))
        if ".." in file.parts or file.suffix == ".pth" or not source.exists():
            continue
        copied = target / file
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, copied)


def _programs(environment: Path, home: str, version: str) -> None:
    programs = environment / "bin"
    programs.mkdir()
    (environment / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n", encoding="utf-8")
    (programs / "python").symlink_to(f"{home}/{version}")
    for name, module in (("mosalamaagent", "actors.cli.main"), ("mosalama-master", "actors.master.main")):
        path = programs / name
        path.write_text(SCRIPT.format(place=PLACE, module=module), encoding="utf-8")
        path.chmod(0o755)
