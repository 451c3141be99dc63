"""Sources that installed packages bring: entry points of the group `mosalamaagent.sources`, one for each scheme.

    [project.entry-points."mosalamaagent.sources"]
    s3 = "acme_models.s3:Source"

The name is the scheme of its addresses; the object is called without arguments and gives a `Source`. What that resolves
to is checked, fetched, proven and kept like every other version. See docs/models.md.
"""

from dataclasses import replace
from importlib.metadata import entry_points
from typing import Protocol

from config.downloads import DownloadsSettings
from protocol.messages.model_source import ModelSource

from .errors import DownloadError, SourceError
from .manifest import Manifest, RemoteFile, UnsizedFile, check_names
from .records import COMMIT

GROUP = "mosalamaagent.sources"


class Source(Protocol):
    """One kind of source."""

    def resolve(self, settings: DownloadsSettings, source: ModelSource) -> Manifest:
        """What the source consists of now; blocking, in a task thread. DownloadError says what is wrong with it.

        `commit` of the manifest is 40 to 64 hex digits that change whenever a byte does. With `renew`, addresses that
        expire are asked for again.
        """


def resolve(settings: DownloadsSettings, source: ModelSource) -> Manifest:
    """By the package that brings this scheme."""
    scheme = source.uri.partition("://")[0]
    found = entry_points(group=GROUP, name=scheme)
    if not found:
        what, do = f"no source {scheme}:// is installed here", "install its package into the daemon's environment"
        raise SourceError("E_SOURCE", what, f"known: {', '.join(known()) or 'none'}", do)
    try:
        manifest = next(iter(found)).load()().resolve(settings, source)
    except DownloadError:
        raise
    except Exception as error:  # a package that is not ours must not end the transfer's actor
        what = f"the source {scheme}:// failed for {source.uri}"
        raise SourceError(
            "E_SOURCE", what, f"{type(error).__name__}: {error}"[:500], "report it to its author"
        ) from error
    return _checked(manifest, scheme, source)


def known() -> tuple[str, ...]:
    """The schemes that are installed."""
    return tuple(sorted(found.name for found in entry_points(group=GROUP)))


def _checked(manifest: object, scheme: str, source: ModelSource) -> Manifest:
    good = (
        isinstance(manifest, Manifest)
        and manifest.model == source.model
        and COMMIT.match(manifest.commit)
        and all(isinstance(file, RemoteFile) and file.urls and file.size_bytes >= 0 for file in manifest.files)
        and all(isinstance(file, UnsizedFile) and file.urls for file in manifest.unsized)
    )
    if not good or not isinstance(manifest, Manifest):
        what = f"the source {scheme}:// gave no plan for {source.uri}"
        raise SourceError(
            "E_SOURCE", what, "model, commit or files are not what they must be", "report it to its author"
        )
    check_names([*(file.name for file in manifest.files), *(file.name for file in manifest.unsized)])
    return replace(manifest, source=scheme)
