"""The one home of the docker package: every call with a deadline, every error with a reason."""

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import docker
import requests
from docker import auth as docker_auth
from docker import errors as docker_errors
from urllib3.exceptions import HTTPError

from config.engines import EnginesSettings

from . import docker_stream, images
from . import request as labels
from .containers_api import ContainerEvent, Movement, Observed, PullProgress
from .errors import DockerDownError, DockerError, NotFoundError
from .request import ContainerRequest, docker_body

LINE_MAX_CHARS = 4_000
API = "/v1.41"
PING_S = 3.0
"""Deadline of a ping: a Docker that hangs is known after this long, not after the deadline of real work."""
QUIET_S = 5.0
"""Between two pings while no event comes: a dead peer sends nothing, too."""
FIRST_BYTES = 65_536
SINCE_S = 10.0
"""How far back a death may lie whose container is waited for."""
DETACH_TICKS = 4
"""Looks at the clock within the limit of such a wait."""
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
        """See Containers. A plain connection: the package leaks a socket when nobody listens."""
        with _explained("ping Docker"):
            until = time.monotonic() + min(PING_S, self._settings.docker_timeout_s)
            for line in docker_stream.lines(self._settings.docker_host, "GET", f"{API}/version", {}, timeout_s=PING_S):
                if line is not None:
                    return
                if time.monotonic() > until:
                    raise TimeoutError(f"no answer within {PING_S:g} s")

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
        """See Containers. Bytes count, down and unpacked; a long silence is the registry's fault, not Docker's."""
        name, _, tag = image.partition("@") if "@" in image else images.split_tag(image)
        layers: dict[str, images.Layer] = {}
        moved, room = time.monotonic(), self._room()
        query = {"fromImage": name, "tag": tag or "latest"}
        host, call_s, path = self._settings.docker_host, self._settings.docker_timeout_s, f"{API}/images/create"
        with _explained(f"pull {image}"):
            headers = self._credentials(name)
            try:
                for line in docker_stream.lines(host, "POST", path, query, timeout_s=call_s, headers=headers):
                    if cancelled():
                        raise images.failure(image, "it is not wanted any more")
                    if line is not None and "error" in line:
                        raise images.failure(image, str(line["error"]))
                    if line is not None and images.count(layers, line):
                        moved = time.monotonic()
                        progress(*images.bytes_of(layers))
                        too_big = images.too_big(layers, room)
                        if too_big:  # before the disk is full, which every engine here would feel
                            raise images.failure(image, too_big)
                    if time.monotonic() - moved > self._settings.pull_inactivity_s:
                        limit_s = self._settings.pull_inactivity_s
                        raise images.failure(image, f"i/o timeout: no byte came for {limit_s:g} s")
            except docker_stream.StreamError as error:
                raise images.failure(image, error.why) from error

    def _room(self) -> int | None:
        """Free bytes where Docker keeps its images; None when that is not to be seen from here."""
        with _explained("ask Docker for its folder"):
            info = self._client.info()
        apart = any("containerd" in str(word) for pair in info.get("DriverStatus") or () for word in pair)
        if apart or not self._settings.docker_host.startswith("unix://"):
            return None
        try:
            return shutil.disk_usage(info["DockerRootDir"]).free
        except (OSError, KeyError):
            return None

    def _credentials(self, name: str) -> Mapping[str, str]:
        """Of the registry, from the credential store that the docker command uses; none is fine."""
        registry, _ = docker_auth.resolve_repository_name(name)
        header = docker_auth.get_config_header(self._client, registry)
        return {} if header is None else {"X-Registry-Auth": header.decode()}

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

    def wait_detached(self, container_id: str, limit_s: float) -> bool:
        """See Containers. Docker tells what was before, too: `since` is early, and the container's id is its own."""
        filters = {"type": ["network"], "event": ["disconnect"]}
        query = {"since": f"{time.time() - SINCE_S:.3f}", "filters": json.dumps(filters)}
        host, until, tick_s = self._settings.docker_host, time.monotonic() + limit_s, limit_s / DETACH_TICKS
        with contextlib.suppress(DockerError, ValueError), _explained("wait for a container's network"):
            for line in docker_stream.lines(host, "GET", f"{API}/events", query, timeout_s=limit_s, tick_s=tick_s):
                if line is not None and _attributes(line).get("container") == container_id:
                    return True
                if time.monotonic() > until:
                    return False
        return False

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

    def first_logs(self, container_id: str, lines: int) -> Sequence[str]:
        """See Containers."""
        client, raw = self._client, b""
        with _explained("read a log"):
            # The package's own iterator leaves the connection open when it is not read to the end.
            url = client._url("/containers/{0}/logs", container_id)  # noqa: SLF001  # as in create
            response = client._get(url, params={"stdout": 1, "stderr": 1, "tail": "all"}, stream=True)  # noqa: SLF001  # as above
            with contextlib.closing(response):
                client._raise_for_status(response)  # noqa: SLF001  # as above
                for piece in client._multiplexed_response_stream_helper(response):  # noqa: SLF001  # as above
                    raw += piece
                    if len(raw) > FIRST_BYTES or raw.count(b"\n") >= lines:
                        break
        return [line[:LINE_MAX_CHARS] for line in raw.decode(errors="replace").splitlines()[:lines]]

    def movement(self, container_id: str) -> Movement:
        """See Containers."""
        with _explained("read a container's figures"):
            raw = self._client.stats(container_id, stream=False, one_shot=True)
        blocks = (raw.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
        read = sum(int(one.get("value") or 0) for one in blocks if str(one.get("op", "")).lower() == "read")
        return Movement(int((raw.get("memory_stats") or {}).get("usage") or 0), read)

    def events(self, agent_id: str, cancelled: Callable[[], bool]) -> Iterator[ContainerEvent]:
        """See Containers. One open answer; while nothing comes, a ping tells a quiet Docker from one that hangs."""
        filters = {"type": ["container"], "label": [f"{labels.LABEL_AGENT}={agent_id}"], "event": list(EVENT_ACTIONS)}
        heard = time.monotonic()
        query = {"filters": json.dumps(filters)}
        with _explained("watch events"):
            host, call_s = self._settings.docker_host, self._settings.docker_timeout_s
            for line in docker_stream.lines(host, "GET", f"{API}/events", query, timeout_s=call_s):
                if cancelled():
                    return
                if line is not None:
                    heard = time.monotonic()
                    yield _event(line)
                elif time.monotonic() - heard > QUIET_S:
                    self.ping()
                    heard = time.monotonic()
        raise DockerDownError("E_DOCKER_DOWN", "watch events", "Docker ended the stream", "is it restarting?")


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


def _attributes(event: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = event.get("Actor", {}).get("Attributes", {})
    return found


def _event(raw: Mapping[str, Any]) -> ContainerEvent:
    marks = _attributes(raw)
    code = marks.get("exitCode")
    return ContainerEvent(
        action=str(raw.get("Action", "")),
        container_id=str(raw.get("Actor", {}).get("ID", "")),
        engine=marks.get(labels.LABEL_ENGINE, ""),
        exit_code=int(code) if code is not None and str(code).isdigit() else None,
    )


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Errors of the package as ours: who is at fault, and what to do."""
    try:
        yield
    except docker_stream.StreamError as error:
        raise DockerError("E_DOCKER", what, error.why, "read Docker's log") from error
    except docker_errors.NotFound as error:
        raise NotFoundError("E_NOT_FOUND", what, str(error.explanation or error)[:500]) from error
    except docker_errors.APIError as error:
        raise DockerError("E_DOCKER", what, str(error.explanation or error)[:500], "read Docker's log") from error
    except (docker_errors.DockerException, requests.exceptions.RequestException, HTTPError, OSError) as error:
        raise DockerDownError(
            "E_DOCKER_DOWN", what, str(error)[:500], "is Docker running? systemctl status docker"
        ) from error
