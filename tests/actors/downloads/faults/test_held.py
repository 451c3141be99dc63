"""A name server, a host and a TLS peer that never answer: who does not want to wait any more does not have to."""

import socket
import threading
import time

import pytest

from actors.downloads import control, sources
from actors.downloads.address import checked
from actors.downloads.bodies import engine
from actors.downloads.bodies.api import Cancelled
from actors.downloads.dialling import connect, patient
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


@pytest.fixture(params=["http", "https"])
def deaf(request):
    """The address of a host that takes a connection and says nothing; or, full, does not even take one."""
    server = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = []
    if request.param == "http":
        for _ in range(4):  # what the kernel takes by itself
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(server.getsockname())
    yield f"{request.param}://127.0.0.1:{server.getsockname()[1]}/model.bin"
    for one in (server, *waiting):
        one.close()


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
