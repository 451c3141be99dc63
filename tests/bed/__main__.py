"""The test bed without tests: `python -m tests.bed up | down | status | lock-llama | lock-vllm | can-vllm`.

`up` leaves a Docker Engine, a registry with the llama.cpp image and a hub with tiny models running until
`down`, and prints what to set; `hold` does the same in the foreground until Ctrl-C.
"""

import argparse
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bed import llama_image, vllm_image, vllm_lock
from tests.bed.errors import BedError
from tests.bed.places import LOGS, ROOT, folder
from tests.bed.processes import wait_until
from tests.bed.whole import Bed

UP_S = 900.0
"""The first `up` of a machine installs packages."""
DOWN_S = 60.0


def main() -> int:
    """Exit code: 0 done, 1 could not be done, 3 (status) the bed is down."""
    parser = argparse.ArgumentParser(prog="python -m tests.bed", description=__doc__)
    parser.add_argument("command", choices=list(COMMANDS))
    command = parser.parse_args().command
    try:
        return COMMANDS[command]()
    except (BedError, TimeoutError) as error:
        print(f"bed: {error}", file=sys.stderr)
        return 1


def up() -> int:
    """Start a holder in the background, unless one is there, and say what it holds."""
    if _held() is None:
        LOGS.mkdir(parents=True, exist_ok=True)
        log = LOGS / "hold.log"
        with log.open("wb") as said:
            holder = subprocess.Popen(
                [sys.executable, "-m", "tests.bed", "hold"],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        wait_until(lambda: _held() or holder.poll() is not None, timeout_s=UP_S, what="the bed")
        if holder.poll() is not None:
            print(log.read_text(encoding="utf-8"), file=sys.stderr, end="")
            return 1
    return status()


def down() -> int:
    """Stop the holder and all that it holds."""
    state = _held()
    if state is not None:
        os.kill(state["pid"], signal.SIGTERM)
        wait_until(lambda: _held() is None, timeout_s=DOWN_S, what="the bed's end")
    return 0


def status() -> int:
    """What is up, as lines for a shell."""
    state = _held()
    if state is None:
        print("# the bed is down; start it with: python -m tests.bed up")
        return 3
    for name, value in state["environment"].items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def hold() -> int:
    """Bring everything up, write it down, and stay until SIGTERM or Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _leave)
    with contextlib.suppress(KeyboardInterrupt), Bed() as bed:
        environment = {
            "DOCKER_HOST": bed.engine.host,
            "BED_IMAGE": bed.llama_image,
            "BED_IMAGE_BY_DIGEST": bed.llama_digest,
            "BED_REGISTRY": bed.registry.address,
            "BED_HUB": bed.hub.url,
            "BED_MODEL": bed.hub.add_tiny_gguf("bed/tiny-llama"),
            "BED_REPOSITORY": bed.hub.add_tiny_hf("bed/tiny-hf"),
        }
        state = {"pid": os.getpid(), "started": _started(os.getpid()), "environment": environment}
        part = _file().with_suffix(".part")
        part.write_text(json.dumps(state, indent=1), encoding="utf-8")
        part.rename(_file())
        try:
            status()
            sys.stdout.flush()
            while True:
                signal.pause()
        finally:
            _file().unlink(missing_ok=True)
    return 0


def lock_llama() -> int:
    """Pin the newest packages of the llama.cpp image."""
    print(llama_image.lock(), end="")
    return 0


def lock_vllm() -> int:
    """Pin the newest packages of the vLLM image."""
    print(vllm_lock.lock(), end="")
    return 0


def can_vllm() -> int:
    """Whether vLLM's image can be built on this machine; 3 and the reason when it cannot."""
    why = vllm_image.why_not()
    if why:
        print(f"vLLM's image cannot be built here: {why}", file=sys.stderr)
    return 3 if why else 0


def _leave(*_: object) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # stopping is bounded; a second Ctrl-C shall not cut it short
    raise KeyboardInterrupt


def _file() -> Path:
    return folder() / "state.json"


def _held() -> dict[str, Any] | None:
    """What a living holder wrote; None when there is none."""
    with contextlib.suppress(FileNotFoundError):
        state: dict[str, Any] = json.loads(_file().read_text(encoding="utf-8"))
        if _started(state["pid"]) == state["started"]:
            return state
    return None


def _started(pid: int) -> str | None:
    """When a process began, in the kernel's ticks: tells it from a later one with the same id."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    return None


COMMANDS = {"up": up, "down": down, "status": status, "hold": hold}
COMMANDS |= {"lock-llama": lock_llama, "lock-vllm": lock_vllm, "can-vllm": can_vllm}


if __name__ == "__main__":
    sys.exit(main())
