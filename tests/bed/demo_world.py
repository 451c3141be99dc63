"""The programs of the demo: one master, one agent, and the operator's commands against them."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.bed import ports
from tests.bed.demo_report import StepFailedError
from tests.bed.processes import Program, wait_until

BIN = Path(sys.executable).parent
COMMAND_S = 60.0
"""How long one command of the operator may take when it does not wait for the agent."""


class World:
    """Everything the demo starts, in one folder; `close` ends all of it."""

    def __init__(self, folder: Path, docker_host: str) -> None:
        self.folder = folder
        self.master_dir = folder / "master"
        self.config_file = folder / "agent.yaml"
        self.run_dir = folder / "run"
        self.port = ports.free_port()
        self.environment = dict(os.environ) | {"DOCKER_HOST": docker_host}
        self.docker_host = docker_host
        self.agent_program: list[str | Path] = [BIN / "mosalamaagent"]
        """What the daemon is started with; a benchmark puts an installed copy here."""
        self.serve_options: tuple[str | Path, ...] = ()
        """More words of `mosalama-master serve`."""
        self.master: Program | None = None
        self.agent: Program | None = None
        self.agent_id = ""
        self.label = ""
        """Marks the containers of this agent."""

    def start_master(self) -> None:
        """`mosalama-master serve`, waited for until its port answers."""
        listen = f"127.0.0.1:{self.port}"
        self.master = Program(
            "master",
            [BIN / "mosalama-master", "serve", "--dir", self.master_dir, "--listen", listen, *self.serve_options],
            log=self.folder / "master.log",
            env=self.environment,
        )
        self.master.wait_for_port(self.port)

    def start_agent(self) -> None:
        """`mosalamaagent run`, waited for until its control socket is there."""
        self.agent = Program(
            "agent",
            [*self.agent_program, "run", "--config", self.config_file],
            log=self.folder / "agent.log",
            env=self.environment,
            grace_s=30.0,
        )
        self.agent.wait_until(self._agent_answers, timeout_s=30.0, what="the control socket answers")

    def _agent_answers(self) -> bool:
        try:
            self.agent_command("status")
        except StepFailedError:
            return False
        return True

    def write_config(self, settings: dict[str, Any]) -> None:
        """The agent's configuration file."""
        self.config_file.write_text(yaml.safe_dump(settings, sort_keys=False))

    def operator(self, *words: str | Path, timeout_s: float = COMMAND_S) -> Any:
        """One `mosalama-master` command with `--json`: its answer."""
        arguments = [str(word) for word in words]
        return self._command(
            [str(BIN / "mosalama-master"), *arguments, "--dir", str(self.master_dir), "--json"], timeout_s
        )

    def operator_live(self, *words: str | Path, timeout_s: float = COMMAND_S) -> None:
        """One `mosalama-master` command as a person sees it: its progress goes to the terminal."""
        argv = [str(BIN / "mosalama-master"), *[str(word) for word in words], "--dir", str(self.master_dir)]
        done = subprocess.run(argv, env=self.environment, timeout=timeout_s, check=False)
        if done.returncode:
            raise StepFailedError(f"{' '.join(argv[:4])} ended with {done.returncode}")

    def agent_command(self, *words: str) -> Any:
        """One `mosalamaagent` command with `--json`: its answer."""
        return self._command(
            [str(BIN / "mosalamaagent"), *words, "--config", str(self.config_file), "--json"], COMMAND_S
        )

    def agent_words(self, *words: str, ends: tuple[int, ...] = (0,)) -> str:
        """What one `mosalamaagent` command says to a person; `ends`: exit codes that are no failure."""
        argv = [str(BIN / "mosalamaagent"), *words, "--config", str(self.config_file)]
        done = subprocess.run(
            argv, env=self.environment, timeout=COMMAND_S, check=False, capture_output=True, text=True
        )
        if done.returncode not in ends:
            raise StepFailedError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()[-1_500:]}")
        return done.stdout

    def _command(self, argv: list[str], timeout_s: float) -> Any:
        done = subprocess.run(
            argv, env=self.environment, timeout=timeout_s, check=False, capture_output=True, text=True
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-1_500:]
            raise StepFailedError(f"{Path(argv[0]).name} {' '.join(argv[1:4])} ended with {done.returncode}: {said}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def engine(self, name: str) -> dict[str, Any] | None:
        """What the agent says of one engine now."""
        found = self.agent_command("engines")["engines"]
        return next((engine for engine in found if engine["name"] == name), None)

    def wait_engine(self, name: str, condition: Any, what: str, timeout_s: float) -> dict[str, Any]:
        """The first facts of the engine for which `condition` holds."""

        def look() -> dict[str, Any] | None:
            facts = self.engine(name)
            return facts if facts is not None and condition(facts) else None

        return wait_until(look, timeout_s=timeout_s, what=what)

    def chat(self, endpoint: str, prompt: str, *, tokens: int = 24, timeout_s: float = 30.0) -> str:
        """One chat completion; the text that came back."""
        body = {
            "model": "demo",
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": tokens,
            "temperature": 0,
        }
        request = urllib.request.Request(
            f"{endpoint}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return str(json.load(answer)["choices"][0]["message"]["content"])

    def close(self) -> None:
        """End the agent, then the master; their containers are removed by the demo itself."""
        for program in (self.agent, self.master):
            if program is not None:
                program.stop()

    def kill_agent(self) -> None:
        """SIGKILL to the daemon: no handler runs, nothing is flushed."""
        assert self.agent is not None
        self.agent.signal(signal.SIGKILL)
        self.agent.wait()
        self.agent.stop()
