"""From what the master says to a manifest, for every kind of source. Blocking; for a task thread."""

import hashlib

from config.downloads import DownloadsSettings
from protocol.messages.model_source import ModelSource

from . import hub
from .errors import SourceError
from .manifest import Manifest, RemoteFile, check_names


def resolve(settings: DownloadsSettings, source: ModelSource) -> Manifest:
    """The manifest of a source; DownloadError says what is wrong with it."""
    if source.kind == "hub":
        return hub.resolve(settings, source, _token(settings))
    if source.kind == "manifest":
        files = tuple(RemoteFile(file.name, file.size_bytes, "sha256", file.sha256, file.urls) for file in source.files)
        check_names(file.name for file in files)
        return Manifest("manifest", source.model, "main", _commit(files), files)
    raise SourceError("E_SOURCE", f"a source of kind {source.kind} cannot be brought yet", "", "use hub or manifest")


def _token(settings: DownloadsSettings) -> str | None:
    if settings.hub_token_file is None:
        return None
    try:
        return settings.hub_token_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            "E_SOURCE", "the hub's token cannot be read", str(error), "check downloads.hub_token_file"
        ) from error


def _commit(files: tuple[RemoteFile, ...]) -> str:
    """A name for exactly these files: the digest of their names and digests."""
    text = "\n".join(f"{file.digest} {file.name}" for file in sorted(files, key=lambda file: file.name))
    return hashlib.sha256(text.encode()).hexdigest()[:40]
