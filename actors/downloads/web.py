"""One file at an address, with its hash: how big is it?"""

from collections.abc import Mapping

from config.downloads import DownloadsSettings
from protocol.messages.model_source import ModelSource

from .address import origin_of
from .control import Control, converse
from .errors import SourceError, TransferError
from .manifest import Manifest, RemoteFile, check_names
from .meaning import commit_of, file_name


def resolve(settings: DownloadsSettings, source: ModelSource, headers: Mapping[str, str]) -> Manifest:
    """The manifest of an address whose SHA-256 is given; blocking, for a task thread."""
    assert source.sha256 is not None, "a message without it is not valid"
    name, origin = file_name(source.uri), origin_of(source.uri)
    check_names([name])
    size = converse(settings, headers, origin, lambda control: _size(control, source.uri))
    file = RemoteFile(name, size, "sha256", source.sha256, (source.uri,))
    commit = commit_of([(name, source.sha256)])
    return Manifest("https", source.model, commit, commit, (file,), headers, origin)


BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


async def _size(control: Control, url: str) -> int:
    """By the length of the whole, else by asking for its first byte: some servers know no HEAD, or sign GET only."""
    answer = await control.head(url)
    length = answer.headers.get("content-length", "")
    if answer.status == 200 and length.isdigit() and "content-encoding" not in answer.headers:
        return int(length)
    answer = await control.head(url, {"Range": "bytes=0-0"}, method="GET")
    total = answer.headers.get("content-range", "").rpartition("/")[2]
    if answer.status == 206 and total.isdigit():
        return int(total)
    why = f"the server answered {answer.status}"
    if answer.status in BUSY:
        raise TransferError("E_NETWORK", f"{url} cannot be had now", why, "try later", retry=True)
    if answer.status not in {200, 206}:
        raise SourceError("E_SOURCE", f"{url} cannot be had", why, "check the address, or name a credential")
    do = "give the file in a manifest with its size, or take a server that tells it"
    raise SourceError("E_SOURCE", f"nobody says how big {url} is", why, do)
