"""A viewer of the live stream without a browser: server-sent events over a real socket."""

import http.client
import json
from urllib.parse import urlsplit


class EventStream:
    """`next` gives (event, data); None once the server has ended the stream."""

    def __init__(self, page, path="/v1/stream", timeout_s=10.0, **headers):
        self._connection = http.client.HTTPConnection(urlsplit(page).netloc, timeout=timeout_s)
        self._connection.request("GET", path, headers=headers)
        self.answer = self._connection.getresponse()

    def next(self):
        event, data = "", ""
        while line := self.answer.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                data = value
            elif name == "" and event:
                return event, json.loads(data)
        return None

    def until(self, wanted, most=50):
        """The first event that fits, and everything told on the way put together."""
        told = {}
        for _ in range(most):
            found = self.next()
            assert found is not None, "the stream ended"
            event, data = found
            told |= data
            if wanted(event, data):
                return told
        raise AssertionError(f"not in {most} events; told {sorted(told)}")

    def close(self):
        self.answer.close()
        self._connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
