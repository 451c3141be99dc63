"""A Docker that says what a test tells it: one unix socket, each connection given one answer."""

import socket
import threading


class DockerSocket:
    """`say(connection)` writes the answer, and the connection ends with it; `asked` has the heads of the requests."""

    def __init__(self, folder, say):
        self.asked, self._say = [], say
        path = folder / "docker.sock"
        self.host = f"unix://{path}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = connection.recv(4_096)
                    if not piece:
                        break
                    head += piece
                else:
                    self.asked.append(head.decode())
                    try:
                        self._say(connection)
                    except OSError:
                        continue  # the one who asked has left

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
