"""What the hub's answers mean. Pure: everything in them is input, and checked before it counts."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from protocol.messages.model_source import ModelSource

from .errors import DownloadError, SourceError, TransferError
from .manifest import RemoteFile, UnsizedFile
from .records import COMMIT

SHA256 = re.compile(r"[0-9a-f]{64}\Z")
SIZE_MAX_BYTES = 1 << 50
ACCESS = "ask for access on the hub, and set downloads.hub_token_file or name a credential"


def commit(value: Any, source: ModelSource) -> str:
    """The commit that a revision is now."""
    found = value.get("sha") if isinstance(value, dict) else None
    if not isinstance(found, str) or not COMMIT.match(found):
        raise SourceError("E_SOURCE", f"the hub gave no commit for {source.uri}", "", "name another revision")
    return found


def entries(value: Any, source: ModelSource) -> list[dict[str, Any]]:
    """One page of the list of files; folders are left out."""
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise SourceError("E_SOURCE", f"the hub gave no list of files for {source.uri}", "", "check downloads.hub_url")
    return [entry for entry in value if entry.get("type") == "file" and isinstance(entry.get("path"), str)]


def remote_file(entry: Mapping[str, Any], bases: tuple[str, ...], source: ModelSource) -> RemoteFile | UnsizedFile:
    """One file of the list. `bases`: `HUB/ORG/REPO/resolve/COMMIT` of each mirror."""
    name = entry["path"]
    lfs = entry.get("lfs")
    urls = tuple(f"{base}/{quote(name, errors='surrogatepass')}" for base in bases)
    if isinstance(lfs, dict):
        digest = str(lfs.get("oid", "")).removeprefix("sha256:")
        if not SHA256.match(digest):
            raise _unproven(name, source)
        if lfs.get("size") is None:
            return UnsizedFile(name, digest, urls)
        return RemoteFile(name, _size(lfs.get("size"), name, source), "sha256", digest, urls)
    digest = str(entry.get("oid", ""))
    if not re.match(r"[0-9a-f]{40}\Z", digest):
        raise _unproven(name, source)
    return RemoteFile(name, _size(entry.get("size"), name, source), "git-sha1", digest, urls)


def _unproven(name: str, source: ModelSource) -> SourceError:
    what = f"the hub gave no hash for {name[:80]!r} of {source.uri}"
    return SourceError("E_SOURCE", what, "nothing would prove what arrives", "take another mirror, or exclude the file")


def _size(value: Any, name: str, source: ModelSource) -> int:
    if type(value) is not int or not 0 <= value <= SIZE_MAX_BYTES:
        raise SourceError("E_SOURCE", f"the hub gave no size for {name[:80]!r} of {source.uri}", "", "exclude the file")
    return value


def refusal(status: int, headers: Mapping[str, str], source: ModelSource, *, token: bool) -> DownloadError:
    """Why the hub said no, by its own word for it (X-Error-Code) where it gives one."""
    word = headers.get("x-error-code", "")
    answered = f"the hub answered {status}" + (f" {word[:40]}" if word else "")
    if word == "GatedRepo":
        return SourceError("E_SOURCE.gated", f"{source.uri} is gated", answered, ACCESS)
    if word == "RevisionNotFound":
        do = "name a branch, a tag or a commit that exists"
        return SourceError("E_SOURCE.revision", f"{source.uri} has no revision {source.revision}", answered, do)
    if word == "RepoNotFound" and (token or status == 404):
        do = "check the name; if it is private, the token may not see it" if token else "check the name"
        return SourceError("E_SOURCE.unknown", f"{source.uri} does not exist", answered, do)
    if status in {401, 403}:
        why = f"{answered}; the token may not see it" if token else f"{answered}, and no token was sent"
        return SourceError("E_SOURCE.private", f"{source.uri} is private, gated or unknown", why, ACCESS)
    if status in {404, 410, 400, 422}:
        why = f"no such repository or revision; {answered}"
        return SourceError("E_SOURCE.unknown", f"{source.uri} does not exist", why, "check the name and the revision")
    return TransferError("E_NETWORK", answered, f"for {source.uri}", "try later", retry=True)
