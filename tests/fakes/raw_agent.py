"""An agent that says whatever a test wants to a real master over real TLS."""

import http.client
import json
import random
import secrets
import ssl
import time

from websockets.exceptions import ConnectionClosed

from protocol.agent_session import AgentFacts, AgentSession
from protocol.enrollment import make_request, open_answer
from protocol.handshake import FEATURES
from protocol.keys import KeyPair
from protocol.messages.reports import Inventory
from protocol.tokens import assertion, parse_join_token
from tests.fakes.framed import framed
from tests.fakes.plain_websocket import connect

WAIT_S = 20.0


def now_ms():
    return int(time.time() * 1000)


class Door:
    """A running master as a machine sees it: a port and an authority."""

    def __init__(self, port, ca_file, certificate=None):
        self.port = port
        self.host = f"127.0.0.1:{port}"
        self.context = ssl.create_default_context(cafile=str(ca_file))
        if certificate is not None:
            self.context.load_cert_chain(*certificate)

    def post(self, path, body, headers=None, *, method="POST"):
        """Status and body."""
        connection = http.client.HTTPSConnection(self.host, context=self.context, timeout=WAIT_S)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def enrol(self, token_text, *, key=None, values=None):
        """Status, and what the master gave or why not."""
        token, key = parse_join_token(token_text), key or KeyPair.from_seed(secrets.token_bytes(32))
        request = make_request(token, key, Inventory(values=values or {}), secrets.token_bytes(32), now_ms())
        status, body = self.post("/v1/enrol", request)
        if status != 200:
            return status, json.loads(body)
        return status, RawAgent(self, key, open_answer(body, token, request, now_ms=now_ms()))


class RawAgent:
    """An enrolled machine."""

    def __init__(self, door, key, enrolled):
        self.door, self.key, self.enrolled = door, key, enrolled
        self.instance = secrets.token_hex(8)
        self.skew_ms = 0
        self.certificate = b""
        self.features = FEATURES

    @property
    def agent_id(self):
        return self.enrolled.agent_id

    def now_ms(self):
        return now_ms() + self.skew_ms

    def token(self, path="/v1/link", key=None):
        """A fresh assertion."""
        return assertion(
            key or self.key, self.agent_id, f"{self.door.host}{path}", now_ms() // 1000, secrets.token_hex(8)
        )

    def socket(self, token=None):
        """An upgraded WebSocket, before any frame."""
        headers = {"Authorization": f"Bearer {token or self.token()}"}
        return connect(f"wss://{self.door.host}/v1/link", self.door.context, headers, WAIT_S)

    def hello(self, received=0, key=None):
        """A session that is begun, and its first frame."""
        enrolled = self.enrolled
        facts = AgentFacts("boot", self.instance, self.certificate, received, features=self.features)
        session = AgentSession(enrolled.agent_id, key or self.key, enrolled.keyset, enrolled.roots, facts)
        return session, session.hello(random.randbytes(32), self.now_ms())

    def talk(self, token=None):
        """A session that stands."""
        socket = self.socket(token)
        talk = Talk(self, socket)
        try:
            talk.shake()
        except BaseException:
            socket.close()
            raise
        return talk


class Talk:
    """One session of a raw agent; also a context manager."""

    def __init__(self, agent, socket):
        self.agent, self.socket = agent, socket
        self.session = None
        self.frames = []
        self.came = []

    def shake(self):
        self.session, hello = self.agent.hello()
        self.socket.send(hello)
        challenge = self.socket.recv(WAIT_S)
        events = self.session.receive(challenge, self.agent.now_ms())
        auth = next(event.frame for event in events if hasattr(event, "frame"))
        self.socket.send(auth)
        self.frames = [hello, challenge, auth]

    def message(self, message, **changes):
        known = {"at_ms": now_ms(), "message_id": secrets.token_bytes(16), "ack": 0}
        return framed(self.session, message, **(known | changes))

    def send(self, *messages, **changes):
        for message in messages:
            self.socket.send(self.message(message, **changes))

    def events(self, wanted, limit=200):
        """The first event (or message) of this kind that the master sends."""
        for _ in range(limit):
            if not self.came:
                self.came = self.session.receive(self.socket.recv(WAIT_S), self.agent.now_ms())
            event = self.came.pop(0)
            if isinstance(event, wanted) or isinstance(getattr(event, "message", None), wanted):
                return event
        raise AssertionError(f"no {wanted} came")

    def closed(self):
        """Code and reason with which the master closes."""
        return closed(self.socket)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def closed(socket):
    """Code and reason with which the other side closes."""
    try:
        while True:
            socket.recv(WAIT_S)
    except ConnectionClosed as error:
        return (error.rcvd.code, error.rcvd.reason) if error.rcvd else (None, "")


def ended(talk, code, reason=None):
    """The master closes this session so."""
    found = talk.closed()
    assert found[0] == code, found
    if reason is not None:
        assert found[1] == reason


def flipped(frame, at):
    """The same frame with one bit changed."""
    changed = bytearray(frame)
    changed[at] ^= 1
    return bytes(changed)
