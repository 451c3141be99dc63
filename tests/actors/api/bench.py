"""The API's actor over real sockets, with a board that the test feeds."""

import http.client
import shutil
from urllib.parse import urlsplit

from actors.api.actor import ApiActor
from actors.api.board import Board
from actors.api.history import History
from actors.api.server import Readers
from actors.cli.client import fetch
from actors.supervision.spec import ChildSpec, SupervisorSpec
from actors.supervision.system import System
from config.api import ApiSettings
from tests.bed.places import short_folder
from tests.bed.processes import wait_until


class Bench:
    """`.page` is its address over TCP, `.run_dir` where its control socket is."""

    def __init__(
        self, *, journal_handle=None, log_file=None, history=None, levels=None, engine_log=None, engine=None, **settings
    ):
        self.board, self.run_dir, self.healthy = Board(), short_folder(), True
        self.history = history or History()
        self.tree, self.events, self.trees_read = {"path": "/root"}, [{"kind": "k"}], 0
        readers = Readers(
            tree=self._tree,
            events=lambda: self.events,
            healthy=lambda: self.healthy,
            history=self.history,
            log_file=log_file,
            levels=levels,
            engine_log=engine_log,
            engine=engine,
        )
        configured = ApiSettings(**({"port": 0} | settings))

        self.actors = []

        def make():
            self.actors.append(
                ApiActor(
                    settings=configured,
                    run_dir=self.run_dir,
                    board=self.board,
                    readers=readers,
                    journal_handle=journal_handle,
                )
            )
            return self.actors[-1]

        self.system = System(SupervisorSpec(children=(ChildSpec("api", make),)))
        self.system.start()
        self.handle = self.system.handle("/root/api")
        self.page = wait_until(self._page, timeout_s=10, what="the server")

    def _tree(self):
        self.trees_read += 1
        return self.tree

    def _page(self):
        try:
            return fetch(self.run_dir, "/v1/status")["page"] or "none"
        except Exception:
            return None

    def tell(self, *facts):
        for fact in facts:
            self.handle.tell(fact)

    def ask(self, path, method="GET", **headers):
        """Status, headers and text."""
        connection = http.client.HTTPConnection(urlsplit(self.page).netloc, timeout=5)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()

    def get(self, path, **headers):
        """Status and text."""
        status, _, text = self.ask(path, **headers)
        return status, text

    def routes(self):
        """(method, path) of everything that is served."""
        server = self.actors[-1]._server
        app = server._app([], server._live())
        return {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}

    def close(self):
        self.system.stop()
        shutil.rmtree(self.run_dir)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
