"""One contender's one run in a process of its own: `python -m benchmarks.downloads_child WHAT JSON`; one JSON line.

What it prints is measured inside: imports are not counted, first touches of memory are.
"""

import json
import os
import resource
import shutil
import sys
import threading
import time
from pathlib import Path


def usage() -> dict[str, float]:
    """Processor seconds so far, and the peak of resident memory in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_s": used.ru_utime + used.ru_stime, "rss_mib": used.ru_maxrss / 1024}


def settings(order):
    from config.downloads import DownloadsSettings

    return DownloadsSettings(
        models_dir=Path(order["folder"]),
        hub_url=order.get("hub", "http://127.0.0.1"),
        allow_private_hosts=["127.0.0.1"],
    )


def staging(order, manifest):
    from actors.downloads.manifest import Staging

    folder = Path(order["folder"])
    return Staging(manifest, folder / "files", folder / "work")


def files(order):
    """Given files, by the transfer engine: verified and durable when it returns."""
    from actors.downloads.bodies.api import Control
    from actors.downloads.bodies.engine import TransferEngine
    from actors.downloads.manifest import Manifest, RemoteFile

    listed = tuple(RemoteFile(name, size, "sha256", digest, (url,)) for name, size, digest, url in order["files"])
    place = staging(order, Manifest("manifest", "bench/files", "main", "0", listed))
    engine = TransferEngine(settings(order))
    return lambda: engine(place, listed, Control(), lambda _progress: None)


def repository(order):
    """A repository of the hub, by its control traffic and the engine: every file verified and durable."""
    from actors.downloads import sources
    from actors.downloads.bodies.api import Control
    from actors.downloads.bodies.engine import TransferEngine
    from protocol.messages.model_source import ModelSource

    configured = settings(order)
    engine = TransferEngine(configured)

    def run():
        manifest = sources.resolve(configured, ModelSource(uri="hf://org/repo"), lambda _uri: True)
        engine(staging(order, manifest), manifest.files, Control(), lambda _progress: None)

    return run


def huggingface_hub(order):
    """snapshot_download, then fsync of what it left; it verifies nothing."""
    os.environ.update(HF_ENDPOINT=order["hub"], HF_HUB_DISABLE_XET="1", HF_HOME=f"{order['folder']}/home")
    from huggingface_hub import snapshot_download

    def run():
        snapshot_download("org/repo", local_dir=f"{order['folder']}/files")
        sync_tree(Path(order["folder"]) / "files")

    return run


def sync_tree(folder: Path) -> None:
    """Every file of it is durable."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def asks(order):
    """Asks of an actor, 2 ms apart, while the engine brings files in the same process: their p99 in ms."""
    from actors.supervision.actor import Actor
    from actors.supervision.spec import ChildSpec, SupervisorSpec
    from actors.supervision.system import System

    class Echo(Actor):
        def on_message(self, message):
            return message

    transfer = files(order)

    def run():
        system = System(SupervisorSpec(children=(ChildSpec("echo", Echo),)))
        system.start()
        handle, taken = system.handle("/root/echo"), []
        thread = threading.Thread(target=transfer)
        thread.start()
        try:
            while thread.is_alive():
                begun = time.perf_counter()
                handle.call(1, timeout_s=10.0)
                taken.append(time.perf_counter() - begun)
                time.sleep(0.002)
        finally:
            thread.join()
            system.stop()
        return {"p99_ms": sorted(taken)[int(len(taken) * 0.99)] * 1e3, "asks": len(taken), "worst_ms": max(taken) * 1e3}

    return run


def heartbeats(order):
    """Heartbeats of a real link to a master in another process, while the engine brings files over and over here."""
    from benchmarks.link_agent import heartbeat_delay_beside_ms

    folder, enough = Path(order["folder"]), threading.Event()

    def bring():
        while not enough.is_set():
            files(order | {"folder": folder / "again"})()
            shutil.rmtree(folder / "again")

    def run():
        thread = threading.Thread(target=bring)
        link = folder / "link"
        link.mkdir()
        try:
            return {"worst_ms": heartbeat_delay_beside_ms(link, thread.start)}
        finally:
            enough.set()
            if thread.ident is not None:
                thread.join()

    return run


WHAT = {run.__name__: run for run in (files, repository, huggingface_hub, asks, heartbeats)}


def main() -> None:
    """Run one, say what it took."""
    run = WHAT[sys.argv[1]](json.loads(sys.argv[2]))
    before, begun = usage()["cpu_s"], time.perf_counter()
    found = run()
    taken, used = time.perf_counter() - begun, usage()
    said = {"seconds": taken, "cpu_s": used["cpu_s"] - before, "rss_mib": used["rss_mib"]}
    print(json.dumps(said | (found if isinstance(found, dict) else {})), flush=True)


if __name__ == "__main__":
    main()
