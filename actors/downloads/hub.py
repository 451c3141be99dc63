"""The hub's control traffic: which commit a revision is, and which files it has. aiohttp's one home in this room.

The API is the Hugging Face Hub's: `/api/models/ORG/REPO/revision/REV` and `/api/models/ORG/REPO/tree/COMMIT`.
"""

import asyncio
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

from config.downloads import DownloadsSettings
from protocol.messages.model_source import ModelSource

from .address import check_address, origin_of
from .errors import DownloadError, SourceError, TransferError
from .manifest import Manifest, RemoteFile, check_names, wanted

CONTROL_S = 60.0
PAGES_MAX = 1_000


def resolve(settings: DownloadsSettings, source: ModelSource, token: str | None) -> Manifest:
    """The manifest of a hub source; blocking, for a task thread."""
    return asyncio.run(_resolve(settings, source, token))


async def _resolve(settings: DownloadsSettings, source: ModelSource, token: str | None) -> Manifest:
    check_address(settings.hub_url, settings.allow_private_hosts)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    repo = f"{settings.hub_url}/api/models/{quote(source.model)}"
    limit = aiohttp.ClientTimeout(total=CONTROL_S)
    async with aiohttp.ClientSession(headers=headers, timeout=limit, trust_env=False) as session:
        info = await _get(session, f"{repo}/revision/{quote(source.revision, safe='')}", source)
        commit = str(info[0].get("sha", ""))
        if not commit.isalnum():
            raise SourceError("E_SOURCE", f"the hub gave no commit for {source.uri}", "", "name another revision")
        entries = await _tree(session, f"{repo}/tree/{commit}?recursive=true&expand=false", source)
    files = tuple(
        _file(settings.hub_url, source.model, commit, entry)
        for entry in entries
        if entry.get("type") == "file" and _chosen(source, str(entry.get("path", "")))
    )
    check_names(file.name for file in files)
    if not files:
        raise SourceError("E_SOURCE", f"{source.uri} has no such file", "", "check the name and the patterns")
    return Manifest("hub", source.model, source.revision, commit, files, headers, origin_of(settings.hub_url))


def _chosen(source: ModelSource, name: str) -> bool:
    if source.file is not None:
        return name == source.file
    return wanted(name, source.include, source.exclude)


async def _tree(session: aiohttp.ClientSession, url: str | None, source: ModelSource) -> list[dict[str, Any]]:
    """Every entry; the hub gives pages and says in a header where the next one is."""
    found: list[dict[str, Any]] = []
    for _ in range(PAGES_MAX):
        if url is None:
            return found
        page, following = await _get(session, url, source)
        found += page
        if following is not None and urlsplit(following).netloc != urlsplit(url).netloc:
            raise SourceError(
                "E_POLICY.url", "the hub points to another host for its list", "", "check downloads.hub_url"
            )
        url = following
    raise SourceError("E_TOO_LARGE", f"{source.uri} has too many files", "", "use include patterns")


async def _get(session: aiohttp.ClientSession, url: str, source: ModelSource) -> tuple[Any, str | None]:
    try:
        async with session.get(url, allow_redirects=False) as response:
            if response.status != 200:
                raise _refusal(response.status, source)
            following = response.links["next"].get("url") if "next" in response.links else None
            return await response.json(content_type=None), None if following is None else str(following)
    except DownloadError:
        raise
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise TransferError(
            "E_NETWORK", f"the hub did not answer for {source.uri}", str(error)[:300], "", retry=True
        ) from error


def _refusal(status: int, source: ModelSource) -> DownloadError:
    if status in {401, 403}:
        do = "ask for access on the hub, and set downloads.hub_token_file"
        return SourceError("E_SOURCE", f"{source.uri} is private, gated or unknown", f"the hub answered {status}", do)
    if status == 404:
        return SourceError(
            "E_SOURCE", f"{source.uri} does not exist", "no such repository or revision", "check the name"
        )
    return TransferError("E_NETWORK", f"the hub answered {status} for {source.uri}", "", "try later", retry=True)


def _file(hub: str, model: str, commit: str, entry: dict[str, Any]) -> RemoteFile:
    name = str(entry["path"])
    url = f"{hub}/{quote(model)}/resolve/{commit}/{quote(name)}"
    lfs = entry.get("lfs")
    if isinstance(lfs, dict) and lfs.get("oid"):
        return RemoteFile(name, int(lfs["size"]), "sha256", str(lfs["oid"]).removeprefix("sha256:"), (url,))
    return RemoteFile(name, int(entry["size"]), "git-sha1", str(entry["oid"]), (url,))
