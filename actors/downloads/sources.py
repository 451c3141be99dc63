"""From what the master says to a manifest, for every kind of source. Blocking; for a task thread."""

from collections.abc import Callable

from config.downloads import DownloadsSettings
from protocol.messages.model_source import ModelSource

from . import hub, local, plugins, web
from .address import split
from .credentials import headers_for
from .errors import SourceError
from .manifest import Manifest, check_names
from .meaning import commit_of, given_files
from .proof import Read, unread


def resolve(
    settings: DownloadsSettings, source: ModelSource, allowed: Callable[[str], bool], read: Read = unread
) -> Manifest:
    """The manifest of a source; DownloadError says what is wrong with it. `allowed`: the machine's policy.

    `read` is told of bytes that are read for it, and may raise to end.
    """
    if not allowed(source.uri):
        what = f"{source.uri} is not allowed on this machine"
        raise SourceError("E_POLICY.url", what, "its own policy decides", "allow it in policy.sources")
    match source.kind:
        case "hub":
            return hub.resolve(settings, source, headers_for(settings, settings.hub_url, source.credential), read)
        case "https":
            return web.resolve(settings, source, headers_for(settings, source.uri, source.credential), read)
        case "path":
            return local.resolve(source, allowed, read)
        case "manifest":
            return _given(settings, source, allowed)
        case "plugin":
            return plugins.resolve(settings, source)


def _given(settings: DownloadsSettings, source: ModelSource, allowed: Callable[[str], bool]) -> Manifest:
    """The master says it all; whether its mirrors may be asked is still this machine's to say."""
    files, unsized = given_files(source)
    check_names(file.name for file in source.files)
    for file in source.files:
        for url in file.urls:
            split(url)
            if not allowed(url) and not url.startswith(f"{settings.hub_url}/"):
                what = f"{url} is not allowed on this machine"
                raise SourceError("E_POLICY.url", what, "its own policy decides", "allow it in policy.sources")
    commit = commit_of((file.name, file.sha256) for file in source.files)
    return Manifest("manifest", source.model, commit, commit, files, unsized=unsized)
