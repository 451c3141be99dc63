"""The access token: used for the upgrade, renewed at two thirds of its life, never needed.

Without one that holds, the agent comes with an assertion of its own key: a master that was away for a day, or a token
that was lost, keeps nobody out.
"""

import asyncio
from collections.abc import Callable

import structlog

from config.link import LinkSettings
from protocol.errors import ProtocolError
from protocol.keys import KeyPair
from protocol.tokens import token_facts

from .enroll import renew_access
from .errors import LinkError
from .identity import IdentityFiles

LOOK_S = 3_600.0
"""The longest sleep: a clock that is set meanwhile is seen."""
RETRY_S = 300.0


def due_in_s(token: str | None, key: KeyPair, now_s: float) -> float:
    """Seconds until the token should be renewed: at two thirds of its life; 0 when there is none of this key."""
    try:
        facts = token_facts(token or "")
    except ProtocolError:
        return 0.0
    if facts.kid != key.kid or now_s < facts.begins_s - 60:
        return 0.0
    return max(0.0, facts.begins_s + (facts.ends_s - facts.begins_s) * 2 / 3 - now_s)


def usable(token: str | None, key: KeyPair, now_s: float) -> str | None:
    """The token, if it is of this key and good for some seconds more."""
    try:
        facts = token_facts(token or "")
    except ProtocolError:
        return None
    return token if facts.kid == key.kid and facts.begins_s <= now_s < facts.ends_s - 10 else None


async def keep_fresh(
    master: str,
    settings: LinkSettings,
    files: IdentityFiles,
    key: KeyPair,
    agent_id: str,
    now_ms: Callable[[], int],
) -> None:
    """While a session stands: ask for the next token in time. A refusal is no reason to end the session."""
    log = structlog.get_logger().bind(actor="link")
    while True:
        due_s = due_in_s(files.access(), key, now_ms() / 1000)
        if due_s > 0:
            await asyncio.sleep(min(due_s, LOOK_S))
            continue
        try:
            files.save_access(await renew_access(master, settings, key, agent_id, now_ms() // 1000))
            log.info("access.renewed")
        except LinkError as error:
            log.warning("access.not_renewed", why=error.why)
            await asyncio.sleep(RETRY_S)
