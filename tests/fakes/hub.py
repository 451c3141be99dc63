"""A hub that speaks the Hugging Face API from a folder: `python -m tests.fakes.hub --root DIR`.

DIR/ORG/REPO/FILE. Large files (by name or size) are listed as LFS with their SHA-256, the others with their git SHA-1.
Downloads are redirected to `/cdn/...`, which answers ranges, as the real one does. Prints its address as one line.
"""

import argparse
import hashlib
import http.server
import json
import threading
import urllib.parse
from pathlib import Path

LFS_BYTES = 10 << 20
LFS_ENDINGS = (".safetensors", ".gguf", ".bin")
BLOCK = 1 << 20


class Hub:
    """Serves `root` on 127.0.0.1 until closed; `token` makes every repository private."""

    def __init__(self, root: Path, *, port: int = 0, token: str | None = None) -> None:
        self.root, self.token = root, token
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub.answer(self)

            do_HEAD = do_GET  # noqa: N815  # the name that the base class calls

            def log_message(self, *_args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="hub")
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    # -- the API ---------------------------------------------------------------------------------------------

    def commit(self, repo: Path) -> str:
        state = hashlib.sha1()
        for file in self.files(repo):
            state.update(f"{file.relative_to(repo)} {file.stat().st_size} {file.stat().st_mtime_ns}\n".encode())
        return state.hexdigest()

    def files(self, repo: Path) -> list[Path]:
        return sorted(path for path in repo.rglob("*") if path.is_file())

    def answer(self, request):
        path = urllib.parse.unquote(urllib.parse.urlsplit(request.path).path)
        parts = [part for part in path.split("/") if part]
        if ".." in parts:
            return self.say(request, 400, {"error": "bad path"})
        if self.token and parts[:1] != ["cdn"] and request.headers.get("Authorization") != f"Bearer {self.token}":
            return self.refuse(request, 401, "RepoNotFound", "Invalid username or password.")
        if parts[:2] == ["api", "models"] and len(parts) >= 4:
            return self.api(request, self.root / parts[2] / parts[3], parts[4:])
        if len(parts) >= 5 and parts[2] == "resolve":
            return self.resolve(request, self.root / parts[0] / parts[1], parts[3], "/".join(parts[4:]))
        if parts[:1] == ["cdn"] and len(parts) >= 4:
            # On one host the client follows the redirect while it asks for the headers: they are here too.
            headers = {"X-Repo-Commit": self.commit(self.root / parts[1] / parts[2])}
            return self.body(request, self.root / "/".join(parts[1:]), headers | self.etag("/".join(parts[1:])))
        return self.say(request, 404, {"error": "not found"})

    def api(self, request, repo, rest):
        if not repo.is_dir():
            return self.refuse(request, 404, "RepoNotFound", "Repository not found")
        commit = self.commit(repo)
        if rest and rest[-1] not in {"main", commit}:
            return self.refuse(request, 404, "RevisionNotFound", "Invalid rev id")
        if rest[:1] == ["tree"]:
            return self.say(request, 200, [self.entry(repo, file) for file in self.files(repo)])
        siblings = [{"rfilename": str(file.relative_to(repo))} for file in self.files(repo)]
        return self.say(request, 200, {"id": "/".join(repo.parts[-2:]), "sha": commit, "siblings": siblings})

    def entry(self, repo, file):
        data = file.read_bytes()
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        entry = {"type": "file", "path": str(file.relative_to(repo)), "size": len(data), "oid": oid}
        if self.is_lfs(file):
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        return entry

    def etag(self, name):
        file = self.root / name
        return {"ETag": f'"{hashlib.sha256(file.read_bytes()).hexdigest()}"'} if file.is_file() else {}

    def is_lfs(self, file):
        return file.name.endswith(LFS_ENDINGS) or file.stat().st_size > LFS_BYTES

    def resolve(self, request, repo, revision, name):
        file = repo / name
        if not file.is_file():
            return self.refuse(request, 404, "EntryNotFound", "Entry not found")
        commit = self.commit(repo)
        data = file.read_bytes()
        digest = hashlib.sha256(data).hexdigest() if self.is_lfs(file) else None
        etag = digest or hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        headers = {"X-Repo-Commit": commit, "ETag": f'"{etag}"'}
        if not self.is_lfs(file):
            return self.body(request, file, headers)
        headers |= {"X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{digest}"'}
        quoted = urllib.parse.quote(str(file.relative_to(self.root)))
        request.send_response(302)
        for key, value in (headers | {"Location": f"{self.url}/cdn/{quoted}", "Content-Length": "0"}).items():
            request.send_header(key, value)
        request.end_headers()
        return None

    # -- bytes -----------------------------------------------------------------------------------------------

    def refuse(self, request, status, word, text):
        """As the real one: its own word for why is in a header."""
        return self.say(request, status, {"error": text}, {"X-Error-Code": word, "X-Error-Message": text})

    def say(self, request, status, value, headers=None):
        body = json.dumps(value).encode()
        request.send_response(status)
        for name, content in (headers or {}).items():
            request.send_header(name, content)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    def body(self, request, file, headers=None):
        if not file.is_file():
            return self.say(request, 404, {"error": "not found"})
        size = file.stat().st_size
        begin, end, status = 0, size - 1, 200
        wanted = request.headers.get("Range", "")
        if wanted.startswith("bytes="):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            begin, end, status = int(first), min(int(last or size - 1), size - 1), 206
            if begin >= size:
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{size}")
                request.send_header("Content-Length", "0")
                request.end_headers()
                return None
        request.send_response(status)
        for key, value in (headers or {}).items():
            request.send_header(key, value)
        if status == 206:
            request.send_header("Content-Range", f"bytes {begin}-{end}/{size}")
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Length", str(end - begin + 1))
        request.end_headers()
        if request.command == "HEAD":
            return None
        with file.open("rb") as source:
            source.seek(begin)
            left = end - begin + 1
            while left and (block := source.read(min(BLOCK, left))):
                request.wfile.write(block)
                left -= len(block)
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token")
    arguments = parser.parse_args()
    hub = Hub(arguments.root, port=arguments.port, token=arguments.token)
    print(f"hub at {hub.url}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
