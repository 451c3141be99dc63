"""Control traffic: small questions over HTTP, to checked addresses only. aiohttp's one home in this room.

Names are resolved and judged before; the session's resolver knows the answers and nothing else. Answers are bounded.
"""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from config.downloads import DownloadsSettings

from .address import Address, checked, origin_of, redirected, split
from .dialling import patient
from .errors import SourceError, TransferError
from .proof import Read, unread

CONTROL_S = 60.0
LOOK_UP_S = 0.5
"""A server that does not answer holds nobody who does not want to wait any more for longer."""
ANSWER_MAX_BYTES = 32 << 20
REDIRECTS_MAX = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said; header names in lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    following: str | None = None
    """The next page of a list, when it names one."""

    def json(self) -> Any:
        """The value; SourceError when it is none, as when a portal answers with a page."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            kind = self.headers.get("content-type", "something else")
            what = f"{origin_of(self.url)} did not answer as a hub does"
            do = "check downloads.hub_url, and whether a proxy or a sign-in page is in between"
            raise SourceError("E_SOURCE", what, f"it sent {kind[:80]}", do) from error


class _Known(AbstractResolver):
    """Answers from what was checked."""

    def __init__(self) -> None:
        self.hosts: dict[str, tuple[Address, ...]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The checked addresses of a host."""
        known = self.hosts.get(host.rstrip(".").lower())
        if known is None:
            raise OSError(f"{host} was not checked")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address, _ in known
            if family in {socket.AF_UNSPEC, socket.AF_INET6 if ":" in address else socket.AF_INET}
        ]

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Control:
    """One conversation with the control side of sources; `headers` go to `origin` only."""

    settings: DownloadsSettings
    session: aiohttp.ClientSession
    known: _Known
    headers: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""
    over: threading.Event = field(default_factory=threading.Event)
    """Nobody waits for an answer any more."""

    async def get(self, url: str) -> Answer:
        """The whole answer, after redirects; TransferError when there is none within the time."""
        return await self._ask("GET", url, {}, body=True)

    async def head(self, url: str, extra: Mapping[str, str] | None = None, *, method: str = "HEAD") -> Answer:
        """The same without its body, which may be a whole model."""
        return await self._ask(method, url, extra or {}, body=False)

    async def _ask(self, method: str, url: str, extra: Mapping[str, str], *, body: bool) -> Answer:
        for _ in range(REDIRECTS_MAX + 1):
            answer = await self._once(method, url, extra, body=body)
            if answer.status not in REDIRECTS:
                return answer
            url = redirected(url, answer.headers.get("location", ""))
        raise SourceError("E_SOURCE", f"{origin_of(url)} redirects in circles", "", "check the source")

    async def _once(self, method: str, url: str, extra: Mapping[str, str], *, body: bool) -> Answer:
        _, host, _ = split(url)
        addresses = await asyncio.to_thread(checked, url, self.settings.allow_private_hosts, patient(self.over.is_set))
        self.known.hosts[host] = addresses
        headers = {**extra, **(self.headers if origin_of(url) == self.origin else {})}
        try:
            async with self.session.request(method, url, headers=headers, allow_redirects=False) as response:
                content = await _bounded(response.content) if body else b""
                following = str(response.links["next"].get("url")) if "next" in response.links else None
                names = {name.lower(): value for name, value in response.headers.items()}
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            why = str(error)[:300] or type(error).__name__
            raise TransferError(
                "E_NETWORK", f"{origin_of(url)} did not answer", why, "try later", retry=True
            ) from error
        if len(content) > ANSWER_MAX_BYTES:
            raise SourceError("E_TOO_LARGE", f"{origin_of(url)} answered without end", "", "check the source")
        return Answer(url, response.status, names, content, following and urljoin(url, following))


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    """At most one byte more than is allowed."""
    body = bytearray()
    while len(body) <= ANSWER_MAX_BYTES and (block := await content.read(ANSWER_MAX_BYTES + 1 - len(body))):
        body += block
    return bytes(body)


def converse(
    settings: DownloadsSettings,
    headers: Mapping[str, str],
    origin: str,
    talk: Callable[[Control], Coroutine[Any, Any, Result]],
    read: Read = unread,
) -> Result:
    """Run one conversation; blocking, for a task thread. `read` is asked twice a second, and may raise to end it."""

    async def run() -> Result:
        known = _Known()
        connector = aiohttp.TCPConnector(resolver=known, use_dns_cache=False, limit=4)
        limit = aiohttp.ClientTimeout(total=CONTROL_S)
        agent = {"User-Agent": "mosalamaagent", "Accept-Encoding": "identity"}
        async with aiohttp.ClientSession(
            connector=connector, timeout=limit, headers=agent, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            control = Control(settings, session, known, headers, origin)
            talking = asyncio.ensure_future(talk(control))
            try:
                while not (await asyncio.wait({talking}, timeout=LOOK_UP_S))[0]:
                    read(0)
            finally:
                control.over.set()
                talking.cancel()
                await asyncio.wait({talking})
            return talking.result()

    return asyncio.run(run())
