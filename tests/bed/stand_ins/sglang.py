"""Behaves as sglang.launch_server 0.5 does at its edges; generates nothing. Run as `python3 -m sglang.launch_server`.

Its address is loopback unless told otherwise. /health is 503 while it starts, while it ends and when it is stuck, and
runs one token when idle, which takes a second. SIGTERM: it waits for open requests with no limit, looking every five
seconds, then kills itself: 137 under an init. /metrics is there only with --enable-metrics and needs a writable /tmp.
SGLANG_STAND_IN says what is different: `load=S`, `small` (no memory for its cache), `stuck` (never healthy), `work=S`.
A rank above 0 takes no requests.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LOOK_S = 5.0
HEALTH_S = 1.0
ODD = dict(word.partition("=")[::2] for word in os.environ.get("SGLANG_STAND_IN", "").split(",") if word)


class State:
    lock = threading.Lock()
    running = requests = tokens = 0
    word = "Starting"


def arguments():
    """The flags that this project gives; any other is the error that argparse knows."""
    parser = argparse.ArgumentParser(prog="launch_server.py")
    for name in ("--model-path", "--served-model-name", "--dtype", "--quantization", "--kv-cache-dtype"):
        parser.add_argument(name)
    parser.add_argument("--host", default="127.0.0.1")
    for name in ("--port", "--tp-size", "--pp-size", "--context-length", "--max-running-requests"):
        parser.add_argument(name, type=int, default=30000 if name == "--port" else None)
    for name in ("--nnodes", "--node-rank"):
        parser.add_argument(name, type=int, default=0)
    parser.add_argument("--dist-init-addr")
    parser.add_argument("--mem-fraction-static", type=float)
    parser.add_argument("--enable-metrics", action="store_true")
    parser.add_argument("--trust-remote-code", action="store_true")
    return parser.parse_args()


def load(given):
    if not any(Path(given.model_path).glob("*.safetensors")):
        raise RuntimeError(f"Cannot find any model weights with `{given.model_path}`")
    if given.enable_metrics:
        Path("/tmp/prometheus").mkdir()
    time.sleep(float(ODD.get("load", 0.0)))
    if "small" in ODD:
        raise RuntimeError("Not enough memory. Please try to increase --mem-fraction-static.")
    State.word = "Up"
    print("The server is fired up and ready to roll!", flush=True)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            busy = State.running
            if State.word == "Up" and not busy:
                time.sleep(HEALTH_S)
            self.say(200 if State.word == "Up" and "stuck" not in ODD else 503, "")
        elif self.path == "/metrics" and self.server.metrics:
            self.say(200, page(), "text/plain")
        else:
            self.say(404, "{}")

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with State.lock:
            State.requests += 1
            State.running += 1
        time.sleep(float(ODD.get("work", 0.0)))
        with State.lock:
            State.tokens += 4
        self.say(200, json.dumps({"choices": [{"message": {"content": "four words of it"}}]}))
        with State.lock:
            State.running -= 1

    def say(self, status, text, kind="application/json"):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_):
        pass


def page():
    with State.lock:
        labels = '{model_name="tiny",tp_rank="0"}'
        return (
            f"sglang:num_running_reqs{labels} {State.running}\nsglang:num_queue_reqs{labels} 0\n"
            f"sglang:token_usage{labels} 0.25\nsglang:prompt_tokens_total{labels} {3 * State.requests}\n"
            f"sglang:generation_tokens_total{labels} {State.tokens}\n"
            f"sglang:num_requests_total{labels} {State.requests}\n"
        )


def end():
    State.word = "ShuttingDown"
    while True:
        with State.lock:
            if not State.running:
                break
        time.sleep(LOOK_S)
    print("Gracefully exiting... remaining number of requests 0", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def main():
    given = arguments()
    if given.node_rank > 0:  # works for rank 0, takes no requests
        load(given)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        while True:
            signal.pause()
    server = ThreadingHTTPServer((given.host, given.port), Handler)
    server.metrics = given.enable_metrics
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end).start())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        load(given)
    except Exception as error:
        print(f"Scheduler hit an exception: {error}\nSIGQUIT received. It usually means one child failed.", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
