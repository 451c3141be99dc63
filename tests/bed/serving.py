"""One llama.cpp engine container that the test itself started, and whether it serves."""

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.bed import docker_engine
from tests.bed.processes import wait_until

PORT = 8080
READY_S = 60.0
ANSWER_S = 10
ARGUMENTS = ["--model", "/models/model.gguf", "--port", str(PORT), "--metrics", "--offline", "--no-ui"]
ARGUMENTS += ["--ctx-size", "512", "--threads", "1"]


@contextlib.contextmanager
def engine_container(host: str, image: str, model: Path) -> Iterator[str]:
    """A serving engine; its address http://127.0.0.1:PORT. Removed afterwards."""
    with docker_engine.client(host) as client:
        container = client.containers.run(
            image,
            ARGUMENTS,
            detach=True,
            init=True,
            read_only=True,
            cap_drop=["ALL"],
            user="65532:65532",
            ports={f"{PORT}/tcp": ("127.0.0.1", 0)},
            volumes={str(model): {"bind": "/models/model.gguf", "mode": "ro"}},
        )
        try:
            container.reload()
            published = container.ports[f"{PORT}/tcp"] or []
            url = f"http://127.0.0.1:{published[0]['HostPort']}"
            wait_until(lambda: healthy(url), timeout_s=READY_S, what="the engine serves")
            yield url
        finally:
            container.remove(force=True, v=True)


def healthy(url: str) -> bool:
    """Whether the engine says that it serves."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=ANSWER_S) as answer:
        return bool(answer.status == 200)
    return False


def complete(url: str, prompt: str = "the time of day", tokens: int = 8) -> str:
    """The greedy continuation of a prompt. OSError when the engine does not serve."""
    body = json.dumps({"prompt": prompt, "max_tokens": tokens, "temperature": 0}).encode()
    request = urllib.request.Request(f"{url}/v1/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
        text: str = json.load(answer)["choices"][0]["text"]
    return text
