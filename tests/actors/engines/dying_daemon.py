"""A daemon that kills itself with SIGKILL at one step of an engine's start, or of its start after a death.

Run as a process by test_faults.py.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from protocol.messages.commands import EngineStart
from tests.actors.engines.bench import Bench, OneFolder

WAIT_S = 60
AFTER_A_DEATH = "wait_detached"


class DiesAt:
    """Containers, and the end of this process before or after one of its calls."""

    def __init__(self, inner, step):
        self._inner = inner
        self._when, self._name = step.split("_", 1)

    def __getattr__(self, name):
        call = getattr(self._inner, name)
        if name != self._name:
            return call

        def deadly(*args):
            if self._when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            call(*args)
            os.kill(os.getpid(), signal.SIGKILL)

        return deadly


def main():
    told = json.loads(sys.argv[1])
    models = OneFolder(Path(told["model"]), "tiny.gguf")
    bench = Bench(
        Path(told["folder"]),
        told["host"],
        told["image"],
        models,
        told["label"],
        wrap=lambda inner: DiesAt(inner, told["step"]),
    )
    bench.send(1, EngineStart(name="chat", generation=1, spec=bench.spec(cpus=0.5, memory_bytes=128 << 20)))
    if told["step"].endswith(AFTER_A_DEATH):
        ready = bench.wait(lambda facts: facts.state == "ready", "ready")
        bench.containers.signal(ready.container_id, "SIGKILL")
    time.sleep(WAIT_S)  # it never gets so far


if __name__ == "__main__":
    main()
