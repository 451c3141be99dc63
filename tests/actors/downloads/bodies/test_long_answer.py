"""An answer that brings a whole file is judged block by block: it may become slow after hours."""

from actors.downloads.bodies.crew import Crew
from actors.downloads.bodies.worker import Worker
from tests.actors.downloads.faults.conftest import BLOCK, BODY, Bench


def test_what_came_before_does_not_hide_a_block_that_comes_slowly(tmp_path, monkeypatch):
    bench, got, arrived = Bench(tmp_path), [], Crew.arrived
    workers: list[Worker] = []

    def run(worker, real=Worker.run):
        workers.append(worker)
        real(worker)

    def whole(crew, item):
        got.extend(worker.got for worker in workers if worker.item is not None)
        arrived(crew, item)

    monkeypatch.setattr(Worker, "run", run)
    monkeypatch.setattr(Crew, "arrived", whole)
    origin = bench.origin()
    try:
        bench.bring(bench.file(origin.url), settings=bench.settings(connections=1))
    finally:
        bench.close()
    assert (origin.bodies, len(got)) == (1, -(-len(BODY) // BLOCK))
    assert max(got) <= BLOCK
