"""A hub that takes a question and never answers: who does not want to wait any more does not have to."""

import socket

import pytest

from actors.downloads import sources
from actors.downloads.bodies.api import Cancelled
from config.downloads import DownloadsSettings
from protocol.messages.model_source import ModelSource


@pytest.fixture
def silent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    ("uri", "given"),
    [("hf://org/repo", {}), ("{}/model.gguf", {"kind": "https", "sha256": "0" * 64})],
    ids=["a hub", "an address"],
)
def test_who_asks_it_can_be_called_back(silent, tmp_path, uri, given):
    settings = DownloadsSettings(models_dir=tmp_path, hub_url=silent, allow_private_hosts=["127.0.0.1"])
    asked = []

    def read(count):
        asked.append(count)
        if len(asked) == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        sources.resolve(settings, ModelSource(uri=uri.format(silent), **given), lambda _uri: True, read)
    assert asked == [0, 0], "nothing was read"
