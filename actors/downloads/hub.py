"""The hub: which commit a revision is, and which files it has.

The API is the Hugging Face Hub's: `/api/models/ORG/REPO/revision/REV` and `/api/models/ORG/REPO/tree/COMMIT`.
"""

from collections.abc import Mapping
from functools import partial
from urllib.parse import quote

from config.downloads import DownloadsSettings
from protocol.messages.model_source import ModelSource

from . import hub_answers
from .address import origin_of
from .control import Answer, Control, converse
from .errors import SourceError, TransferError
from .manifest import FILES_MAX, Manifest, RemoteFile, UnsizedFile, check_names, wanted
from .proof import Read, unread

PAGES_MAX = 2_000


def resolve(
    settings: DownloadsSettings, source: ModelSource, headers: Mapping[str, str], read: Read = unread
) -> Manifest:
    """The manifest of a hub source, from the hub or the first mirror that answers; blocking, for a task thread.

    `headers` carry the token; they go to the hub itself and never to a mirror. `read` is told of each page, and
    may raise to end.
    """
    hubs = (settings.hub_url, *settings.hub_mirrors)
    origin = origin_of(settings.hub_url)
    for hub in hubs:
        try:
            return converse(
                settings, headers, origin, partial(_ask, hub=hub, hubs=hubs, source=source, read=read), read
            )
        except TransferError:
            if hub == hubs[-1]:
                raise
    raise AssertionError("there is at least one hub")


async def _ask(control: Control, hub: str, hubs: tuple[str, ...], source: ModelSource, read: Read) -> Manifest:
    repo = f"{hub}/api/models/{quote(source.model)}"
    info = await _get(control, f"{repo}/revision/{quote(source.revision, safe='')}", source)
    commit = hub_answers.commit(info.json(), source)
    order = (hub, *(other for other in hubs if other != hub))
    bases = tuple(f"{one}/{quote(source.model)}/resolve/{commit}" for one in order)
    files = await _list(control, f"{repo}/tree/{commit}?recursive=true&expand=false", bases, source, read)
    check_names(file.name for file in files)
    if not files:
        what = f"{source.uri} has no such file"
        raise SourceError("E_SOURCE.file", what, "", "check the name of the file and the patterns")
    sized = tuple(file for file in files if isinstance(file, RemoteFile))
    unsized = tuple(file for file in files if isinstance(file, UnsizedFile))
    headers, origin = control.headers, control.origin
    return Manifest("hub", source.model, source.revision, commit, sized, headers, origin, unsized=unsized)


async def _list(
    control: Control, url: str, bases: tuple[str, ...], source: ModelSource, read: Read
) -> tuple[RemoteFile | UnsizedFile, ...]:
    """Every file that is wanted; the hub gives pages and says in a header where the next one is."""
    found: list[RemoteFile | UnsizedFile] = []
    origin = origin_of(url)
    for _ in range(PAGES_MAX):
        page = await _get(control, url, source)
        read(0)
        listed = hub_answers.entries(page.json(), source)
        found += [hub_answers.remote_file(entry, bases, source) for entry in listed if _chosen(source, entry["path"])]
        if len(found) > FILES_MAX:
            break
        if page.following is None:
            return tuple(found)
        if origin_of(page.following) != origin:
            why = "its list goes on at another host"
            raise SourceError(
                "E_POLICY.url", f"the hub cannot be trusted for {source.uri}", why, "check downloads.hub_url"
            )
        url = page.following
    raise SourceError("E_TOO_LARGE", f"{source.uri} has more than {FILES_MAX} files", "", "use include patterns")


def _chosen(source: ModelSource, name: str) -> bool:
    if source.file is not None:
        return name == source.file
    return wanted(name, source.include, source.exclude)


async def _get(control: Control, url: str, source: ModelSource) -> Answer:
    answer = await control.get(url)
    if answer.status != 200:
        token = any(name.lower() == "authorization" for name in control.headers)
        raise hub_answers.refusal(answer.status, answer.headers, source, token=token)
    return answer
