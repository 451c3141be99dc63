"""The log at a real rsyslog, at stand-ins for OTLP and Loki, and at targets that are dead, slow or refuse."""

import datetime as dt
import ipaddress
import json
import random
import shutil
import threading

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from actors.forwarding.actor import ForwardActor, Forwarder
from actors.forwarding.encoders import Source
from actors.forwarding.senders import ForwardError, HttpSender, StreamSender
from actors.log.buffer import Line, LineBuffer
from actors.log.setup import configure
from actors.supervision.spec import ChildSpec, SupervisorSpec
from actors.supervision.system import System
from config.log import ForwardSettings, LogSettings
from tests.bed.observers import Rsyslog
from tests.bed.places import short_folder
from tests.bed.ports import free_port
from tests.bed.processes import wait_until
from tests.fakes.log_targets import LogTarget

SOURCE = Source("node-1", 42, "1.0")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Authority, certificate and key of 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "log")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, private = folder / "cert.pem", folder / "key.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file, private


class Bench:
    """The log as the daemon has it, and the actor that forwards it."""

    def __init__(self, *targets):
        self.folder = short_folder()
        self.settings = LogSettings(forward=targets)
        self.log = configure(self.settings, self.folder)
        self.system = System(SupervisorSpec(children=(ChildSpec("forwarding", self._make),)))
        self.system.start()
        self.say = structlog.get_logger()

    def _make(self):
        return ForwardActor(targets=self.settings.forward, buffers=self.log.buffers, source=SOURCE)

    def close(self):
        self.system.stop()
        self.log.close()
        structlog.reset_defaults()
        shutil.rmtree(self.folder)


@pytest.fixture
def bench():
    made = []

    def make(*targets):
        made.append(Bench(*targets))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("tls", [False, True])
def test_a_real_rsyslog_takes_every_line_apart(bench, certificate, tls):
    file, key = certificate
    with Rsyslog(file, file, key) if tls else Rsyslog() as server:
        scheme = "tls" if tls else "tcp"
        target = ForwardSettings(
            kind="syslog", address=f"{scheme}://127.0.0.1:{server.port}", ca_file=file if tls else None
        )
        one = bench(target)
        one.say.info("command.received", command_id="00ff", actor="link", text="umlaut \u00e4")
        one.say.debug("not for there")
        one.say.error("engine failed", engine="chat", token="hf_abcdefghijklmnop")

        def both():
            found = {
                row["msgid"]: row for row in server.received() if row["msgid"] in {"command.received", "engine_failed"}
            }
            return found if len(found) == 2 else None

        rows = wait_until(both, timeout_s=20, what="both lines")
        first = rows["command.received"]
        assert (first["pri"], first["hostname"], first["app-name"], first["procid"]) == (
            "30",
            "node-1",
            "mosalamaagent",
            "42",
        )
        assert first["protocol-version"] == "1"
        assert first["structured-data"] == '[mosalama@32473 actor="link" command_id="00ff"]'
        assert json.loads(first["msg"].lstrip("\ufeff"))["text"] == "umlaut \u00e4"
        assert rows["engine_failed"]["syslogseverity"] == "3"
        assert not any("hf_abc" in str(row) for row in server.received())
        assert not any(row["msgid"] == "not_for_there" for row in server.received())


@pytest.mark.parametrize(("kind", "path"), [("otlp", "/v1/logs"), ("loki", "/loki/api/v1/push")])
def test_lines_reach_otlp_and_loki_compressed_and_with_their_token(bench, certificate, tmp_path, kind, path):
    token = tmp_path / "token"
    token.write_text("planted\n")
    with LogTarget(certificate) as target:
        settings = ForwardSettings(kind=kind, address=target.address + path, ca_file=certificate[0], token_file=token)
        one = bench(settings)
        one.say.info("spoke", actor="link")
        where, headers, body = wait_until(
            lambda: next((row for row in target.bodies if "spoke" in str(row[2])), None), timeout_s=15, what="the line"
        )
        assert (where, headers["Authorization"], headers["Content-Encoding"]) == (path, "Bearer planted", "gzip")
        assert set(body) == {"resourceLogs" if kind == "otlp" else "streams"}


def test_a_dead_target_holds_nothing_up_and_hears_what_waited_when_it_is_back(bench):
    port = free_port()
    one = bench(ForwardSettings(kind="syslog", address=f"tcp://127.0.0.1:{port}"))
    for number in range(50):
        one.say.info(f"while dead {number}")
    assert len((one.folder / "mosalamaagent.log").read_text().splitlines()) >= 50
    wait_until(lambda: "forward.failed" in (one.folder / "mosalamaagent.log").read_text(), timeout_s=10, what="a word")
    with Rsyslog(port=port) as server:
        wait_until(
            lambda: len([row for row in server.received() if "while_dead" in row["msgid"]]) == 50,
            timeout_s=30,
            what="what waited",
        )


class Gate:
    """A sender that waits, fails or refuses as it is told."""

    def __init__(self):
        self.bodies, self.fails = [], None

    def send(self, body):
        if self.fails is not None:
            raise self.fails
        self.bodies.append(body)

    def close(self):
        self.bodies.append(b"closed")


class Once:
    """A flag that is set after so many waits."""

    def __init__(self, waits):
        self.waits, self.waited = waits, []

    def is_set(self):
        return len(self.waited) >= self.waits

    def wait(self, seconds):
        self.waited.append(seconds)
        return self.is_set()


def forwarder(gate, buffer):
    target = ForwardSettings(kind="syslog", address="tcp://nowhere:1")
    return Forwarder(target, buffer, SOURCE, gate, random.Random(1))


def test_tries_lie_further_and_further_apart_and_nothing_is_lost_meanwhile():
    gate, buffer = Gate(), LineBuffer(10, 10_000)
    gate.fails = ForwardError("refused")
    buffer.put(Line("info", '{"event":"a"}'))
    flag = Once(8)
    forwarder(gate, buffer).run(flag)
    assert flag.waited[0] <= 1.0
    assert flag.waited[5] >= 16.0
    assert max(flag.waited) <= 60.0
    assert len(buffer) == 1
    assert gate.bodies == [b"closed"]


def test_what_a_target_never_takes_is_given_up_and_what_waits_at_the_end_is_sent():
    gate, buffer = Gate(), LineBuffer(10, 10_000)
    gate.fails = ForwardError("HTTP 400", again=False)
    buffer.put(Line("info", '{"event":"a"}'))
    one = forwarder(gate, buffer)
    assert one.once(5) == 1
    assert len(buffer) == 0
    gate.fails = None
    buffer.put(Line("info", '{"event":"last"}'))
    one.run(Once(0))
    assert b"last" in gate.bodies[0]


def test_a_buffer_is_bounded_and_gives_up_what_matters_least():
    buffer = LineBuffer(3, 1_000)
    for number, level in enumerate(("info", "error", "info", "info", "error")):
        buffer.put(Line(level, str(number)))
    assert [line.text for line in buffer.take(9)] == ["1", "3", "4"]
    assert buffer.dropped == 2
    buffer.put(Line("info", "x" * 900))
    buffer.put(Line("info", "y" * 900))
    assert [line.text[0] for line in buffer.take(9)] == ["y"]


def test_what_comes_back_stands_in_front():
    buffer = LineBuffer(3, 1_000)
    for text in "ab":
        buffer.put(Line("info", text))
    taken = buffer.take(1)
    buffer.put(Line("info", "c"))
    buffer.give_back(taken)
    assert [line.text for line in buffer.take(9)] == ["a", "b", "c"]


def test_a_buffer_is_filled_from_any_thread():
    buffer = LineBuffer(100_000, 1 << 30)
    threads = [threading.Thread(target=lambda: [buffer.put(Line("info", "x")) for _ in range(2_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(buffer.take(100_000)) == 8_000


@pytest.mark.parametrize(("status", "again"), [(400, False), (404, False), (429, True), (500, True), (503, True)])
def test_an_answer_says_whether_to_try_again(status, again):
    with LogTarget() as target:
        target.status = status
        with pytest.raises(ForwardError, match=str(status)) as caught:
            HttpSender(ForwardSettings(kind="loki", address=target.address)).send(b"{}")
        assert caught.value.again is again


def test_a_certificate_that_nobody_signed_is_refused(certificate):
    with LogTarget(certificate) as target, pytest.raises(ForwardError, match=r"(?i)certificate"):
        HttpSender(ForwardSettings(kind="otlp", address=target.address)).send(b"{}")


def test_a_target_that_is_not_there_is_an_error_with_its_reason():
    out = StreamSender(ForwardSettings(kind="syslog", address=f"tcp://127.0.0.1:{free_port()}"))
    with pytest.raises(ForwardError, match="refused"):
        out.send(b"x")


def test_an_address_of_no_known_kind_is_refused():
    with pytest.raises(ValueError, match="begins with none"):
        ForwardSettings(kind="syslog", address="udp://somewhere")
