"""Files whose size nobody says come first, one after the other; then all of the version is known. Blocking."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from actors.downloads.bodies.api import Bring, Control, Progress
from actors.downloads.building import size_of
from actors.downloads.manifest import Staging
from actors.downloads.store import ModelStore


def sized(
    staging: Staging, store: ModelStore, bring: Bring, control: Control, progress: Callable[[Progress], None]
) -> Staging:
    """The same staging, with a size for every file; DownloadError. What the store has already is not asked for."""
    for file in staging.manifest.unsized:
        size = size_of(store.versions(), file.sha256)
        if size is None:  # or the same bytes have come under another name
            size = next((one.size_bytes for one in staging.manifest.files if one.digest == file.sha256), None)
        if size is None:
            known = bring.unsized(staging, file, control, progress, partial(store.grow, staging))
        else:
            known = file.sized(size)
        staging = replace(staging, manifest=staging.manifest.sized(known))
    return staging
