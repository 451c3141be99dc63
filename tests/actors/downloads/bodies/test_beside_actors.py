"""A transfer starves nobody: actors of the same process answer while it runs."""

import threading

from actors.supervision.actor import Actor
from actors.supervision.spec import ChildSpec, SupervisorSpec
from actors.supervision.system import System
from tests.actors.downloads.faults.conftest import BODY, Bench

ASKS = 200


class Echo(Actor):
    def on_message(self, message):
        return message


def test_asks_are_answered_while_a_transfer_runs(tmp_path):
    bench = Bench(tmp_path)
    origin = bench.origin(rate=100_000)
    file = bench.file(origin.url)
    system = System(SupervisorSpec(children=(ChildSpec("echo", Echo),)))
    system.start()
    thread = threading.Thread(target=lambda: bench.bring(file))
    try:
        thread.start()
        assert origin.moved.wait(20)
        answers = [system.handle("/root/echo").call(number, timeout_s=20.0) for number in range(ASKS)]
        origin.rate = 0  # the transfer was still on its way: now it may end
        thread.join(50)
        assert answers == list(range(ASKS))
        assert bench.read() == BODY
    finally:
        thread.join(50)
        system.stop()
        bench.close()
