"""What others watch machines with: node_exporter, Prometheus with promtool, rsyslog; Debian's, unpacked only."""

import contextlib
import json
import os
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

from tests.bed import packages
from tests.bed.places import short_folder
from tests.bed.ports import free_port
from tests.bed.processes import Program

CHECK_S = 30
ASK_S = 5
NODE_EXPORTER = ("prometheus-node-exporter", "usr/bin/prometheus-node-exporter")
PROMETHEUS = ("prometheus", "usr/bin/prometheus")
PROMTOOL = ("prometheus", "usr/bin/promtool")
RSYSLOG = ("rsyslog", "usr/sbin/rsyslogd")
RSYSLOG_NEEDS = ("libestr0", "libfastjson4", "rsyslog-openssl")
SCRAPE = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: {rules}
scrape_configs:
  - job_name: agent
    static_configs: [{{targets: ["{target}"]}}]
"""


def _program(package: str, inside: str) -> Path:
    found = packages.find(Path(inside).name)
    return Path(found) if found else packages.unpacked(package, inside)


def promtool(*words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool; its answer, both streams as text."""
    argv = [str(_program(*PROMTOOL)), *words]
    return subprocess.run(argv, input=text, check=False, capture_output=True, text=True, timeout=CHECK_S)


class _Watcher:
    """A program of a folder of its own."""

    program: Program
    folder: Path

    def stop(self) -> None:
        """End it and remove its folder."""
        self.program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class NodeExporter(_Watcher):
    """A node_exporter on loopback; `page()` is one scrape."""

    def __init__(self, *flags: str) -> None:
        self.folder, self.port = short_folder(), free_port()
        argv = [_program(*NODE_EXPORTER), f"--web.listen-address=127.0.0.1:{self.port}", *flags]
        self.program = Program("node-exporter", argv, cwd=self.folder)
        self.program.wait_for_port(self.port)

    def page(self) -> str:
        """Its metrics page now."""
        return get(f"http://127.0.0.1:{self.port}/metrics").decode()


class Prometheus(_Watcher):
    """A Prometheus that scrapes one target each second; `ask` is one query."""

    def __init__(self, target: str, rules: Path | None = None) -> None:
        self.folder, self.port = short_folder(), free_port()
        config = self.folder / "prometheus.yml"
        config.write_text(SCRAPE.format(target=target, rules=json.dumps([str(rules)] if rules else [])))
        argv = [
            _program(*PROMETHEUS),
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self.program = Program("prometheus", argv, cwd=self.folder)
        self.program.wait_until(self._ready, what="it answers questions")

    def _ready(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(get(f"http://127.0.0.1:{self.port}/-/ready"))
        return False

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The answer of an instant query: a row for each series."""
        address = f"http://127.0.0.1:{self.port}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        found = json.loads(get(address))
        assert found["status"] == "success", found
        rows: list[dict[str, Any]] = found["data"]["result"]
        return rows


class Rsyslog(_Watcher):
    """An rsyslogd that writes what comes over TCP, with TLS where it is given certificates, into `file` as JSON."""

    def __init__(
        self,
        authority: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        port: int | None = None,
    ) -> None:
        self.folder, self.port = short_folder(), port or free_port()
        self.file = self.folder / "received"
        binary = _program(*RSYSLOG)
        roots = [binary.parents[2], *(packages.whole(package) for package in RSYSLOG_NEEDS)]
        modules = [str(path) for root in roots for path in root.glob("usr/lib/*/rsyslog")]
        libraries = [
            str(path) for root in roots for path in (*root.glob("usr/lib/*-linux-gnu"), *root.glob("lib/*-linux-gnu"))
        ]
        config = self.folder / "rsyslog.conf"
        config.write_text(self._config(authority, certificate, key))
        argv = [binary, "-n", "-f", config, "-i", self.folder / "pid", "-M", ":".join(modules)]
        environment = os.environ | {"LD_LIBRARY_PATH": ":".join(libraries)}
        self.program = Program("rsyslog", argv, cwd=self.folder, env=environment)
        self.program.wait_for_port(self.port)

    def _config(self, authority: Path | None, certificate: Path | None, key: Path | None) -> str:
        lines = []
        stream = ""
        if certificate is not None:
            lines.append(
                f'global(defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{authority}"'
                f' defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}")'
            )
            stream = ' StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon"'
        lines += [
            f'module(load="imtcp"{stream})',
            'template(name="whole" type="list") { property(name="jsonmesg") constant(value="\\n") }',
            f'input(type="imtcp" address="127.0.0.1" port="{self.port}")',
            f'action(type="omfile" file="{self.file}" template="whole")',
        ]
        return "\n".join(lines) + "\n"

    def received(self) -> list[dict[str, Any]]:
        """Every message so far, as rsyslog has taken it apart."""
        if not self.file.exists():
            return []
        return [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines()]


def get(address: str) -> bytes:
    """One GET of a loopback address; whatever proxies are set, they are not asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=ASK_S) as response:
        body: bytes = response.read()
    return body
