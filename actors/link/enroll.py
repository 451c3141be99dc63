"""Enrollment over HTTPS: one request, one answer, safe to repeat. The token's secret never travels."""

import json
import secrets
from urllib.parse import urlsplit

import aiohttp

from config.link import LinkSettings
from protocol.enrollment import NONCE_BYTES, Enrolled, make_request, open_answer
from protocol.errors import ProtocolError
from protocol.keys import KeyPair
from protocol.messages.reports import Inventory
from protocol.tokens import JoinToken, assertion, parse_join_token

from .errors import EnrollError, NotReachedError
from .transport import tls_context

PATH = "/v1/enrol"
TOKEN_PATH = "/v1/token"  # noqa: S105  # a path
ANSWER_MAX_BYTES = 65_536


def read_token(settings: LinkSettings) -> JoinToken:
    """The join token of the configured file."""
    file = settings.token_file
    if file is None:
        raise EnrollError("this machine is not enrolled and link.token_file names no join token", slow=True)
    try:
        return parse_join_token(file.read_text(encoding="ascii"))
    except OSError as error:
        raise EnrollError(f"{file}: cannot be read ({error.strerror})", slow=True) from error
    except (UnicodeDecodeError, ProtocolError) as error:
        raise EnrollError(
            f"{file}: not a join token; make one with: mosalama-master token create", slow=True
        ) from error


async def renew_access(master: str, settings: LinkSettings, key: KeyPair, agent_id: str, now_s: int) -> str:
    """A new access token, for an assertion of the agent's own key."""
    proof = assertion(key, agent_id, f"{urlsplit(master).netloc}{TOKEN_PATH}", now_s, secrets.token_hex(8))
    status, body = await _post(master + TOKEN_PATH, settings, b"", {"Authorization": f"Bearer {proof}"})
    try:
        token = json.loads(body)["access_token"] if status == 200 else None
    except (ValueError, KeyError, TypeError):
        token = None
    if not isinstance(token, str):
        raise EnrollError(f"{master} gave no access token: {status}")
    return token


async def _post(url: str, settings: LinkSettings, data: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    limit = aiohttp.ClientTimeout(total=settings.connect_timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, trust_env=False) as session,
            session.post(url, data=data, headers=headers, ssl=tls_context(settings), allow_redirects=False) as response,
        ):
            return response.status, await response.content.read(ANSWER_MAX_BYTES)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NotReachedError(f"{url}: {str(error)[:200] or type(error).__name__}") from error


async def enroll(master: str, settings: LinkSettings, key: KeyPair, inventory: Inventory, now_ms: int) -> Enrolled:
    """What the master gives this machine, once everything in it holds."""
    token = read_token(settings)
    request = make_request(token, key, inventory, secrets.token_bytes(NONCE_BYTES), now_ms)
    status, body = await _post(master + PATH, settings, request, {})
    if status != 200:
        said = body[:200].decode(errors="replace")
        raise EnrollError(f"{master} refused this machine: {status} {said}", slow=status in {400, 403})
    try:
        return open_answer(body, token, request, now_ms=now_ms)
    except ProtocolError as error:
        raise EnrollError(f"{master} answered what cannot be believed: {error}", slow=True) from error
