"""What no library sends, and floods: rows of the catalogue against a running reference master, over TLS."""

import socket
import ssl
import struct
import time
import warnings

import pytest
from websockets.exceptions import InvalidStatus

from protocol.messages.control import Heartbeat
from tests.bed.processes import wait_until
from tests.fakes.audited import Audited
from tests.fakes.raw_agent import ended, flipped

pytestmark = pytest.mark.timeout(120)


def raw_tls(wild):
    plain = socket.create_connection(("127.0.0.1", wild.world.port), timeout=30)
    return wild.door.context.wrap_socket(plain, server_hostname="127.0.0.1")


def upgraded(wild, agent, *extra):
    """A raw TLS socket behind the upgrade, for what no library sends; and the answer's head."""
    raw = raw_tls(wild)
    lines = [
        "GET /v1/link HTTP/1.1",
        f"Host: {agent.door.host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol: mosalama.v1",
        f"Authorization: Bearer {agent.token()}",
        *extra,
    ]
    raw.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += raw.recv(4_096)
    return raw, answer


def close_code(raw):
    """The code in the close frame that comes, if one does before the end."""
    data = b""
    while True:
        try:
            more = raw.recv(4_096)
        except (ConnectionError, ssl.SSLError):
            more = b""
        if not more:
            return struct.unpack("!H", data[2:4])[0] if len(data) >= 4 and data[0] == 0x88 else None
        data += more
        if len(data) >= 4 and data[0] == 0x88:
            return struct.unpack("!H", data[2:4])[0]


def masked(first, payload, length=None):
    size = len(payload) if length is None else length
    if size < 126:
        head_ = bytes([first, 0x80 | size])
    elif size < 65_536:
        head_ = bytes([first, 0xFE]) + size.to_bytes(2, "big")
    else:
        head_ = bytes([first, 0xFF]) + size.to_bytes(8, "big")
    return head_ + b"\0\0\0\0" + payload


def test_a042_oversize_frame_header_is_closed_by_its_header(wild):
    agent = wild.agent()
    raw, _ = upgraded(wild, agent)
    with raw, Audited(wild, "link", "E_FRAME"):
        raw.sendall(masked(0x82, b"", 1 << 40))
        assert close_code(raw) == 1009


def test_a043_fragment_flood_is_bounded(wild):
    agent = wild.agent()
    before = wild.rss_kib()
    raw, _ = upgraded(wild, agent)
    with raw:
        frames = masked(0x02, b"x") + masked(0x00, b"x") * 200_000
        try:
            raw.sendall(frames)
            code = close_code(raw)
        except (BrokenPipeError, ConnectionError, ssl.SSLError):
            code = 1009
        assert code in {1009, 4400, None}
    wait_until(lambda: wild.rss_kib() - before < 32_768, timeout_s=20, what="memory is bounded")


def test_a044_deflate_is_not_agreed_to(wild):
    agent = wild.agent()
    raw, answer = upgraded(wild, agent, "Sec-WebSocket-Extensions: permessage-deflate")
    with raw:
        assert answer.startswith(b"HTTP/1.1 101")
        assert b"deflate" not in answer.lower()
        raw.sendall(masked(0xC2, b"x" * 16))  # a compressed frame nobody agreed to
        assert close_code(raw) == 1002


def test_a045_unmasked_client_frame_is_no_session(wild):
    """aiohttp reads it; it is cut and refused like every frame that is none of ours."""
    agent = wild.agent()
    raw, _ = upgraded(wild, agent)
    with raw, Audited(wild, "link", "E_FRAME"):
        raw.sendall(b"\x82\x04abcd")
        assert close_code(raw) in {1002, 4400}


def test_a051_tls_1_1_is_refused(wild):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        Audited(wild, "accept", "E_TLS"),
        socket.create_connection(("127.0.0.1", wild.world.port), 20) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(plain).close()


def test_a046_a047_a048_whoever_says_nothing_is_dropped(wild):
    """A silent TCP socket, half a request, and an upgrade without a hello: all at once, all gone in seconds."""
    agent = wild.agent()
    silent = socket.create_connection(("127.0.0.1", wild.world.port), timeout=30)
    slow = raw_tls(wild)
    slow.sendall(b"GET /v1/link HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    mute, _ = upgraded(wild, agent)
    begun = time.monotonic()
    with silent, slow, mute, Audited(wild, "accept", "E_HS_TIMEOUT", 2), Audited(wild, "link", "E_HS_TIMEOUT"):
        assert close_code(mute) == 4408
        for waiting in (silent, slow):
            try:
                assert waiting.recv(16) == b""
            except (ConnectionError, ssl.SSLError):
                pass
    assert time.monotonic() - begun < 25


def test_a049_preauth_flood_pushes_itself_out_and_agents_keep_their_sessions(wild):
    agent = wild.agent()
    before = wild.rss_kib()
    with agent.talk() as talk:
        flood = []
        try:
            for number in range(2_300):
                flood.append(socket.create_connection(("127.0.0.1", wild.world.port), timeout=30))
                if number % 500 == 0:
                    talk.send(Heartbeat(at_ms=1))
                    talk.events(Heartbeat)
            talk.send(Heartbeat(at_ms=2))
            talk.events(Heartbeat)
            wait_until(lambda: wild.refused().get("accept.E_BUSY", 0) >= 200, timeout_s=30, what="the oldest make room")
            assert wild.agent(), "a newcomer finds a place"
        finally:
            for one in flood:
                one.close()
        talk.send(Heartbeat(at_ms=3))
        talk.events(Heartbeat)
    assert wild.rss_kib() - before < 512 * 1_024


def test_a050_sig_cpu_flood_is_closed_at_the_first_and_its_agent_is_not_listened_to(wild):
    agent = wild.agent()
    for _ in range(10):
        with agent.talk() as talk:
            bad = flipped(talk.message(Heartbeat(at_ms=1)), -1)
            for _ in range(50):
                talk.socket.send(bad)
            ended(talk, 4401, "E_SIG")
    with Audited(wild, "upgrade", "E_RATE"), pytest.raises(InvalidStatus) as caught:
        agent.socket()
    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["Retry-After"]
