"""One file at an address, with its hash: how big is it, if anybody says so?"""

from collections.abc import Mapping

from config.downloads import DownloadsSettings
from protocol.messages.model_source import ModelSource

from .address import origin_of
from .control import Control, converse
from .errors import SourceError, TransferError
from .manifest import Manifest, UnsizedFile, check_names
from .meaning import commit_of, file_name
from .proof import Read, unread


def resolve(
    settings: DownloadsSettings, source: ModelSource, headers: Mapping[str, str], read: Read = unread
) -> Manifest:
    """The manifest of an address whose SHA-256 is given; blocking, for a task thread."""
    assert source.sha256 is not None, "a message without it is not valid"
    name, origin = file_name(source.uri), origin_of(source.uri)
    check_names([name])
    size = converse(settings, headers, origin, lambda control: _size(control, source.uri), read)
    file = UnsizedFile(name, source.sha256, (source.uri,))
    commit = commit_of([(name, source.sha256)])
    plan = Manifest("https", source.model, commit, commit, (), headers, origin, unsized=(file,))
    return plan if size is None else plan.sized(file.sized(size))


BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


async def _size(control: Control, url: str) -> int | None:
    """By the length of the whole, else by asking for its first byte: some servers know no HEAD, or sign GET only.

    None when neither says it, as of a body that is made while it is sent.
    """
    answer = await control.head(url)
    if answer.status == 200 and (size := _length(answer.headers)) is not None:
        return size
    answer = await control.head(url, {"Range": "bytes=0-0"}, method="GET")
    total = answer.headers.get("content-range", "").rpartition("/")[2]
    if answer.status == 206 and total.isdigit():
        return int(total)
    if answer.status in {200, 206}:
        return _length(answer.headers) if answer.status == 200 else None
    why = f"the server answered {answer.status}"
    if answer.status in BUSY:
        raise TransferError("E_NETWORK", f"{url} cannot be had now", why, "try later", retry=True)
    raise SourceError("E_SOURCE", f"{url} cannot be had", why, "check the address, or name a credential")


def _length(headers: Mapping[str, str]) -> int | None:
    """Of a body that comes as it is; what is packed for the way has another size there than here."""
    length = headers.get("content-length", "")
    return int(length) if length.isdigit() and "content-encoding" not in headers else None
