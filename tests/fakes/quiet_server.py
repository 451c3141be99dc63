"""A server of the standard library that is silent about peers which go away in mid-body: tests are about those."""

import http.server


class QuietServer(http.server.ThreadingHTTPServer):
    """One thread for each connection."""

    daemon_threads = True

    def handle_error(self, *_args):
        pass
