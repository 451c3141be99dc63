"""The one home of the docker package: every call with a deadline, every error with a reason."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import docker
import requests
from docker import errors as docker_errors
from urllib3.exceptions import HTTPError

from config.engines import EnginesSettings

from . import request as labels
from .containers_api import ContainerEvent, Observed, PullProgress
from .errors import DockerDownError, DockerError, ImageError, NotFoundError
from .request import ContainerRequest, docker_body

LINE_MAX_CHARS = 4_000
EVENT_WAIT_S = 2.0
EVENT_ACTIONS = ("die", "oom", "destroy", "start")


class DockerContainers:
    """A Docker Engine behind one socket. One client for each thread: its sessions are not shared."""

    def __init__(self, settings: EnginesSettings) -> None:
        self._settings = settings
        self._local = threading.local()

    @property
    def _client(self) -> Any:
        client = getattr(self._local, "client", None)
        if client is None:
            with _explained("connect to Docker"):
                client = docker.APIClient(
                    base_url=self._settings.docker_host, timeout=int(self._settings.docker_timeout_s), version="1.41"
                )
            self._local.client = client
        return client

    def ping(self) -> None:
        """See Containers. A plain connection first: the package leaks a socket when nobody listens."""
        with _explained("reach Docker"):
            path = self._settings.docker_host.removeprefix("unix://")
            if path != self._settings.docker_host:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                    probe.settimeout(self._settings.docker_timeout_s)
                    probe.connect(path)
        with _explained("ping Docker"):
            self._client.ping()

    def find(self, agent_id: str, engine: str | None = None) -> Sequence[Observed]:
        """See Containers."""
        wanted = [f"{labels.LABEL_AGENT}={agent_id}"]
        if engine is not None:
            wanted.append(f"{labels.LABEL_ENGINE}={engine}")
        with _explained("list containers"):
            listed = self._client.containers(all=True, filters={"label": wanted})
        found = []
        for item in listed:
            with contextlib.suppress(NotFoundError):
                found.append(self.inspect(item["Id"]))
        return found

    def inspect(self, container_id: str) -> Observed:
        """See Containers."""
        with _explained("inspect a container"):
            return _observed(self._client.inspect_container(container_id))

    def image_env(self, image: str) -> Mapping[str, str] | None:
        """See Containers."""
        try:
            with _explained("inspect an image"):
                found = self._client.inspect_image(image)
        except NotFoundError:
            return None
        pairs = (entry.partition("=") for entry in found.get("Config", {}).get("Env") or ())
        return {name: value for name, _, value in pairs}

    def pull(self, image: str, progress: PullProgress, cancelled: Callable[[], bool]) -> None:
        """See Containers."""
        name, _, tag = image.partition("@") if "@" in image else _split_tag(image)
        layers: dict[str, tuple[int, int]] = {}
        moved = time.monotonic()
        try:
            with _explained(f"pull {image}"):
                for line in self._client.pull(name, tag=tag or None, stream=True, decode=True):
                    if "error" in line:
                        raise ImageError(
                            "E_IMAGE", f"{image} cannot be had", str(line["error"])[:500], "check its name"
                        )
                    before = dict(layers)
                    _count(layers, line)
                    if layers != before:
                        moved = time.monotonic()
                        progress(sum(done for done, _ in layers.values()), sum(total for _, total in layers.values()))
                    if cancelled() or time.monotonic() - moved > self._settings.pull_inactivity_s:
                        raise ImageError(
                            "E_IMAGE", f"the pull of {image} was given up", "no progress", "try again later"
                        )
        except NotFoundError as error:
            raise ImageError("E_IMAGE", f"{image} cannot be had", error.why, "check its name and registry") from error

    def create(self, request: ContainerRequest) -> str:
        """See Containers."""
        with _explained(f"create {request.name}"):
            # The body is ours word by word; the package's own builder knows less than the API.
            url = self._client._url("/containers/create")  # noqa: SLF001  # the package's one way to a plain request
            response = self._client._post_json(url, data=docker_body(request), params={"name": request.name})  # noqa: SLF001  # as above
            return str(self._client._result(response, json=True)["Id"])  # noqa: SLF001  # as above

    def start(self, container_id: str) -> None:
        """See Containers."""
        with _explained("start a container"):
            self._client.start(container_id)

    def signal(self, container_id: str, name: str) -> None:
        """See Containers."""
        with contextlib.suppress(NotFoundError), _explained(f"send {name}"):
            try:
                self._client.kill(container_id, name)
            except docker_errors.APIError as error:
                if error.status_code != 409:  # it is not running
                    raise

    def remove(self, container_id: str) -> None:
        """See Containers."""
        with contextlib.suppress(NotFoundError), _explained("remove a container"):
            self._client.remove_container(container_id, force=True, v=True)

    def logs(self, container_id: str, lines: int) -> Sequence[str]:
        """See Containers."""
        with _explained("read a log"):
            raw = self._client.logs(container_id, stdout=True, stderr=True, tail=lines)
        return [line[:LINE_MAX_CHARS] for line in raw.decode(errors="replace").splitlines()]

    def events(self, agent_id: str, cancelled: Callable[[], bool]) -> Iterator[ContainerEvent]:
        """See Containers."""
        filters = {"type": ["container"], "label": [f"{labels.LABEL_AGENT}={agent_id}"], "event": list(EVENT_ACTIONS)}
        since = time.time()
        while not cancelled():
            # A short stream again and again, so that a stop is noticed and a dead Docker too; `since` leaves no gap.
            until = time.time() + EVENT_WAIT_S
            with _explained("watch events"):
                url = self._client._url("/events")  # noqa: SLF001  # as in create
                params = {"filters": json.dumps(filters), "since": f"{since:.9f}", "until": f"{until:.9f}"}
                response = self._client.get(url, params=params, timeout=EVENT_WAIT_S + 10, stream=True)
                response.raise_for_status()
                with contextlib.closing(response):
                    for line in response.iter_lines(chunk_size=1):
                        if line:
                            yield _event(json.loads(line))
            since = until


def _observed(raw: Mapping[str, Any]) -> Observed:
    state, config = raw["State"], raw["Config"]
    marks = config.get("Labels") or {}
    generation = marks.get(labels.LABEL_GENERATION, "0")
    return Observed(
        container_id=raw["Id"],
        name=raw["Name"].lstrip("/"),
        engine=marks.get(labels.LABEL_ENGINE, ""),
        generation=int(generation) if generation.isdigit() else 0,
        spec_hash=marks.get(labels.LABEL_SPEC, ""),
        command_id=marks.get(labels.LABEL_COMMAND, ""),
        running=bool(state.get("Running")),
        exit_code=int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        pid=int(state.get("Pid") or 0),
        port=int(marks.get(labels.LABEL_PORT) or 0),
        image=config.get("Image", ""),
    )


def _event(raw: Mapping[str, Any]) -> ContainerEvent:
    actor = raw.get("Actor", {})
    marks = actor.get("Attributes", {})
    code = marks.get("exitCode")
    return ContainerEvent(
        action=str(raw.get("Action", "")),
        container_id=str(actor.get("ID", "")),
        engine=marks.get(labels.LABEL_ENGINE, ""),
        exit_code=int(code) if code is not None and str(code).isdigit() else None,
    )


def _split_tag(image: str) -> tuple[str, str, str]:
    """Name and tag; a colon before the last slash belongs to a port."""
    head, slash, tail = image.rpartition("/")
    name, colon, tag = tail.partition(":")
    return f"{head}{slash}{name}", colon, tag or "latest"


def _count(layers: dict[str, tuple[int, int]], line: Mapping[str, Any]) -> None:
    detail = line.get("progressDetail") or {}
    if line.get("status") == "Downloading" and detail.get("total"):
        layers[str(line.get("id"))] = (int(detail.get("current") or 0), int(detail["total"]))


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Errors of the package as ours: who is at fault, and what to do."""
    try:
        yield
    except docker_errors.NotFound as error:
        raise NotFoundError("E_NOT_FOUND", what, str(error.explanation or error)[:500]) from error
    except docker_errors.APIError as error:
        raise DockerError("E_DOCKER", what, str(error.explanation or error)[:500], "read Docker's log") from error
    except (docker_errors.DockerException, requests.exceptions.RequestException, HTTPError, OSError) as error:
        raise DockerDownError(
            "E_DOCKER_DOWN", what, str(error)[:500], "is Docker running? systemctl status docker"
        ) from error
