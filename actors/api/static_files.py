"""The page's own files, read from the package when they are asked for; no copy of them stays in memory."""

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable

from aiohttp import web

from .headers import STATIC_HEADERS

FOLDER = "static"
TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}


def folder() -> Traversable:
    """Where they are: in the checkout or in the installed wheel."""
    return resources.files("actors.api").joinpath(FOLDER)


def names() -> frozenset[str]:
    """Every file that is served; what is not in the package cannot be asked for."""
    return frozenset(file.name for file in folder().iterdir() if suffix(file.name) in TYPES)


def suffix(name: str) -> str:
    """The last suffix with its dot."""
    return "." + name.rpartition(".")[2]


async def serve(request: web.Request) -> web.Response:
    """One file with the hash of its content as its tag; 304 to a browser that has it."""
    name = request.match_info["name"]
    if name not in names():
        raise web.HTTPNotFound
    body = folder().joinpath(name).read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = STATIC_HEADERS | {"ETag": tag}
    if tag in [given.strip() for given in request.headers.get("If-None-Match", "").split(",")]:
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type=TYPES[suffix(name)], charset="utf-8", headers=headers)
