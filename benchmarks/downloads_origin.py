"""nginx from Debian on loopback: a large file, and a repository of the hub as plain files. For `downloads`."""

import datetime as dt
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from benchmarks.harness import NotMeasuredError, say
from tests.bed.packages import unpacked

MIB = 1 << 20
BIG_BYTES = 1 << 30
PART_BYTES = 256 * MIB
COMMIT = "c0ffee" * 6 + "c0de"
CONFIG = """
worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/error.log; daemon off;{user}
events {{ worker_connections 512; }}
http {{
  sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type application/octet-stream; access_log off;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  add_header X-Repo-Commit {commit} always;
  map $uri $answer {{ ~^/api/models/org/repo/tree/ /tree.json; ~^/api/models/org/repo /info.json;
                     ~^/org/repo/resolve/[^/]+/(?<name>.*)$ /repo/$name; default $uri; }}
  server {{ listen 127.0.0.1:{plain}; root {folder}/www; rewrite ^ $answer break; }}
  server {{ listen 127.0.0.1:{tls} ssl; ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
           ssl_protocols TLSv1.3; root {folder}/www; }}
}}
"""


class Nginx:
    """Running until `stop`; ports by name: plain, tls."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.www = folder, folder / "www"
        (self.www / "repo").mkdir(parents=True)
        self.files = {"big": self._write("big", BIG_BYTES)}
        say("writing 2 GiB of random bytes")
        for number in range(4):
            name = f"model-{number}.safetensors"
            self.files[f"repo/{name}"] = self._write(f"repo/{name}", PART_BYTES)
        chosen = random.Random(6)
        for number in range(40):
            name = f"repo/small-{number:02}.json"
            self.files[name] = self._write(name, chosen.randrange(1_000, 200_000))
        self._list()
        self.ports = {name: _port() for name in ("plain", "tls")}
        self._certificate()
        # The workers of a nginx that root starts are another user's, who cannot enter a private folder.
        user = " user root;" if os.geteuid() == 0 else ""
        text = CONFIG.format(folder=folder, commit=COMMIT, user=user, **self.ports)
        (folder / "nginx.conf").write_text(text)
        program = unpacked("nginx", "usr/sbin/nginx")
        self.program = subprocess.Popen(
            [program, "-c", folder / "nginx.conf", "-p", folder], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self._await()

    def url(self, port: str, name: str) -> str:
        """Of a file at a port."""
        return f"{'https' if port == 'tls' else 'http'}://127.0.0.1:{self.ports[port]}/{name}"

    def listed(self, port: str, *names: str) -> list[tuple[str, int, str, str]]:
        """(name, size, SHA-256, address) of files, as the child takes them."""
        return [(name, *self.files[name], self.url(port, name)) for name in names]

    def _write(self, name: str, size: int) -> tuple[int, str]:
        state = hashlib.sha256()
        with (self.www / name).open("wb") as out:
            for left in range(size, 0, -8 * MIB):
                block = os.urandom(min(8 * MIB, left))
                state.update(block)
                out.write(block)
        return size, state.hexdigest()

    def _list(self) -> None:
        entries = []
        for name, (size, digest) in self.files.items():
            path = name.removeprefix("repo/")
            if path == name:
                continue
            entry = {"type": "file", "path": path, "size": size, "oid": "0" * 40}
            if size == PART_BYTES:
                entry["lfs"] = {"oid": digest, "size": size, "pointerSize": 134}
            else:
                body = (self.www / name).read_bytes()
                entry["oid"] = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
            entries.append(entry)
        siblings = [{"rfilename": entry["path"]} for entry in entries]
        (self.www / "tree.json").write_text(json.dumps(entries))
        (self.www / "info.json").write_text(json.dumps({"id": "org/repo", "sha": COMMIT, "siblings": siblings}))

    def _certificate(self) -> None:
        from actors.master.certs import make_authority, make_server_certificate

        now = dt.datetime.now(dt.UTC)
        make_authority(self.folder, now)
        make_server_certificate(self.folder, ("127.0.0.1",), now)

    def _await(self) -> None:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.ports["plain"])) == 0:
                    return
            time.sleep(0.05)
        raise NotMeasuredError("downloads", (self.folder / "error.log").read_text()[-500:], "see that nginx starts")

    def stop(self) -> None:
        """End it and remove what it served."""
        self.program.send_signal(signal.SIGTERM)
        self.program.wait(10)
        shutil.rmtree(self.folder)


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
