"""A master on a real TLS socket that says whatever a test wants; the agent's own link loop is what talks to it."""

import contextlib
import datetime as dt
import queue
import random
import socket
import ssl
import threading

from websockets.exceptions import ConnectionClosed

from actors.link.conversation import Bridge
from actors.link.identity import IdentityFiles, write_durably
from actors.link.loop import LinkLoop
from actors.link.messages import FrameRefused, Got
from actors.master.certs import make_authority, make_server_certificate
from config.link import LinkSettings
from protocol.codec import encode
from protocol.envelope import seal
from protocol.keys import Purpose
from protocol.master_session import KnownAgent, MasterSession
from protocol.messages.reports import Inventory
from tests.fakes.framed import framed
from tests.fakes.listener import Listener
from tests.fakes.plain_websocket import accept
from tests.fakes.trust import AGENT, NOW_MS, ROOTS, document, key, keyset

WAIT_S = 20.0


def make_certificates(folder):
    """An authority and a certificate for loopback."""
    make_authority(folder, dt.datetime.now(dt.UTC))
    make_server_certificate(folder, ("127.0.0.1",), dt.datetime.now(dt.UTC))
    return folder


class Conversation:
    """One connection of the agent; `session` once the handshake is done."""

    def __init__(self, socket, session):
        self.socket, self.session = socket, session
        self.done = threading.Event()
        self.came = []

    @property
    def bind(self):
        return self.session.channel.bind

    def message(self, message, **changes):
        """A frame that is right in everything."""
        known = {"at_ms": NOW_MS, "message_id": b"i" * 16, "ack": 0}
        return framed(self.session, message, **(known | changes))

    def body(self, head, signer="link", purpose=Purpose.TO_AGENT):
        """A frame of this session whose signature holds, whatever is in it."""
        return seal(key(signer), purpose, self.bind, head if isinstance(head, bytes) else encode(head))

    def head(self, **changes):
        parts = {"word": "heartbeat", "sid": self.session.channel.session_id, "seq": 1, "ack": 0, "offset": None}
        parts |= {"at": NOW_MS, "mid": b"i" * 16, "reply": None, "payload": {"at_ms": 1}}
        return list((parts | changes).values())

    def send(self, *frames):
        for frame in frames:
            self.socket.send(frame)

    def received(self, wanted):
        """The next message of this kind that the agent sends."""
        while True:
            if not self.came:
                self.came = self.session.receive(self.socket.recv(WAIT_S))
            found = self.came.pop(0)
            if isinstance(found.message, wanted):
                return found

    def closed(self):
        """The code with which the agent closes."""
        try:
            while True:
                self.socket.recv(WAIT_S)
        except ConnectionClosed as error:
            return error.rcvd.code if error.rcvd else None


class HostileMaster:
    """`handshake(socket, session)` may be replaced; conversations are handed out in order."""

    def __init__(self, folder, *, certificates=None):
        self.folder = folder
        self._conversations = queue.Queue()
        self._closing = threading.Event()
        self._open = []
        self.keyset = (1, document())
        self.link = "link"
        self.received_offset = 0
        self.now_ms = NOW_MS
        self.handshake = self._handshake
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self.context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, name="hostile-master")]
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            if self._closing.is_set():
                plain.close()
                return
            thread = threading.Thread(target=self._serve, args=(plain,), name="hostile-master")
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain):
        try:
            connection = accept(plain, self.context, WAIT_S)
        except Exception:
            plain.close()
            return
        if connection is None:
            return
        version, raw = self.keyset
        session = MasterSession(key(self.link), keyset_version=version, keyset_document=raw)
        conversation = Conversation(connection, session)
        self._open.append(conversation)
        try:
            self.handshake(connection, session)
        except Exception as error:
            conversation.error = error
            connection.close()
        self._conversations.put(conversation)
        conversation.done.wait(WAIT_S)
        connection.close()

    def _handshake(self, socket, session):
        hello = socket.recv(WAIT_S)
        known = KnownAgent(AGENT, (key("agent").public,), self.received_offset)
        challenge = session.answer(
            session.greet(hello), known, nonce=b"m" * 32, session_id=random.randbytes(16), now_ms=self.now_ms
        )
        socket.send(challenge)
        session.finish(socket.recv(WAIT_S))

    def conversation(self):
        """The next connection whose handshake has ended, well or not."""
        return self._conversations.get(timeout=WAIT_S)

    def close(self):
        self._closing.set()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            pass  # wakes the accepting thread
        self._listening.close()
        for conversation in self._open:
            conversation.done.set()
        for thread in self._threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()


class AgentUnderTest:
    """The real link loop with an identity; what it tells is kept."""

    def __init__(self, folder, port, ca_file, *, found=None, wall=lambda: NOW_MS / 1000, **settings):
        write_durably(folder / "agent.key", key("agent").seed)
        self.files = IdentityFiles(folder)
        self.files.save(AGENT, ROOTS, found or keyset())
        self.told = Listener()
        known = {"masters": (f"https://127.0.0.1:{port}",), "ca_file": ca_file}
        known |= {"first_retry_max_s": 0.05, "retry_max_s": 0.1, "refused_retry_s": 1.0, "bulk_socket": False}
        bridge = Bridge(self.told.tell, wall, lambda: Inventory(values={}), self.files, random.Random(1))
        self.loop = LinkLoop(LinkSettings(**(known | settings)), bridge, 0)
        self._thread = threading.Thread(target=self.loop.run, name="link-under-test")
        self._thread.start()

    def refusal(self):
        """What was refused, once."""
        return self.told.wait(FrameRefused, timeout_s=WAIT_S)

    @property
    def did_nothing(self):
        """Whether no command came through."""
        return not self.told.of(Got)

    def close(self):
        self.loop.stop()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
