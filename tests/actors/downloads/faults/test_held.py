"""A name server, a host and a TLS peer that never answer: who does not want to wait any more does not have to."""

import socket
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest

from actors.downloads import control, sources
from actors.downloads.address import checked
from actors.downloads.bodies import engine
from actors.downloads.bodies.api import Cancelled
from actors.downloads.dialling import by_turns, connect, patient
from actors.downloads.errors import DownloadError, TransferError
from config.downloads import DownloadsSettings
from protocol.messages.model_source import ModelSource

LONG_S = 45.0
"""Less than the test may take, and far more than a wait that can be ended."""


@pytest.fixture
def hangs(monkeypatch):
    """A name server that answers nobody until the test is over; how often it was asked."""
    over, asked = threading.Event(), threading.Semaphore(0)

    def look_up(_host, _port):
        asked.release()
        over.wait(LONG_S)
        raise OSError("no answer")

    def bounded(unwanted, _look_up=None):
        return patient(unwanted, look_up)

    monkeypatch.setattr(engine, "patient", bounded)
    monkeypatch.setattr(control, "patient", bounded)
    yield asked
    over.set()


@contextmanager
def full(callers):
    """A port that takes no connection, since so many callers wait there already."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(callers):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(server.getsockname())
        yield server.getsockname()


@pytest.fixture(params=["http", "https"])
def deaf(request):
    """The address of a host that takes a connection and says nothing; or, full, does not even take one."""
    with full(callers=4 if request.param == "http" else 0) as (_, port):
        yield f"{request.param}://127.0.0.1:{port}/model.bin"


def cancelled_while(bench, file, held):
    """Bring it, and cancel when `held` says that somebody waits; the transfer ends, and nobody is blamed."""
    ended = []

    def run():
        try:
            bench.bring(
                file, settings=bench.settings(read_timeout_s=LONG_S, allow_private_hosts=["127.0.0.1", "hub.test"])
            )
        except (Cancelled, DownloadError) as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    held()
    bench.control.cancel()
    thread.join(LONG_S / 2)
    assert not thread.is_alive()
    assert [type(error) for error in ended] == [Cancelled]


def test_a_transfer_that_waits_for_a_name_can_be_cancelled(bench, hangs):
    cancelled_while(bench, bench.file("http://hub.test/model.bin"), lambda: hangs.acquire(timeout=LONG_S))


def test_a_transfer_that_waits_for_a_connection_or_its_handshake_can_be_cancelled(bench, deaf):
    cancelled_while(bench, bench.file(deaf), lambda: bench.moved.wait(LONG_S))


def test_a_question_to_a_hub_whose_name_is_awaited_can_be_called_back(tmp_path, hangs):
    settings = DownloadsSettings(models_dir=tmp_path, hub_url="https://hub.test")

    def read(_count):
        assert hangs.acquire(timeout=LONG_S)
        raise Cancelled

    began = time.monotonic()
    with pytest.raises(Cancelled):
        sources.resolve(settings, ModelSource(uri="hf://org/repo"), lambda _uri: True, read)
    assert time.monotonic() - began < LONG_S / 2, "the resolver was not waited for"


def test_a_name_server_that_does_not_answer_is_given_up(monkeypatch, hangs):
    monkeypatch.setattr("actors.downloads.dialling.LOOK_UP_MAX_S", 0.1)
    with pytest.raises(TransferError, match="no name server answered"):
        checked("https://hub.test/x", (), engine.patient(lambda: False))


def test_an_address_needs_no_name_server(hangs):
    assert engine.patient(lambda: False)("127.0.0.1", 1) == ("127.0.0.1",)
    assert not hangs.acquire(blocking=False)


def test_what_a_resolver_raises_is_told_to_who_asked():
    def look_up(_host, _port):
        raise UnicodeError("label too long")

    with pytest.raises(TransferError, match="cannot be found: label too long"):
        checked("https://hub.test/x", (), patient(lambda: False, look_up))


def test_a_port_that_refuses_is_no_answer_and_the_next_address_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refuses, answers = closed.getsockname(), server.getsockname()
        with connect([refuses, answers], 5.0) as made:
            assert made.getpeername() == answers
        with pytest.raises(TransferError, match="does not answer"):
            connect([refuses], 5.0)


def test_an_address_that_leads_nowhere_does_not_hold_the_next_one():
    with full(callers=4) as nowhere, socket.create_server(("127.0.0.1", 0)) as server:
        made = connect([nowhere, nowhere, server.getsockname()], 10 * LONG_S)
        assert made.getpeername() == server.getsockname()
        made.close()


def test_all_that_lead_nowhere_are_given_up_with_the_reason():
    with full(callers=4) as nowhere, pytest.raises(TransferError, match="no answer within"):
        connect([nowhere, nowhere], 0.3)


@pytest.mark.parametrize(
    ("given", "turns"),
    [
        ("", ""),
        ("4", "4"),
        ("6 6 4 4", "6 4 6 4"),
        ("4 6 6 6", "4 6 6 6"),
        ("6 6 6", "6 6 6"),
    ],
)
def test_families_take_turns_and_each_keeps_its_order(given, turns):
    text = {"4": "192.0.2.{}", "6": "2001:db8::{}"}
    addresses = [(text[family].format(at), 443) for at, family in enumerate(given.split())]
    found = by_turns(addresses)
    assert ["6" if ":" in host else "4" for host, _ in found] == turns.split()
    assert sorted(found) == sorted(addresses)
    assert [one for one in found if ":" in one[0]] == [one for one in addresses if ":" in one[0]]
