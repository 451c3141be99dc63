#!/usr/bin/python3 -ISu
"""Behaves as text-generation-launcher 3.3.7 does at its edges; stands where the image's entry point is.

Settings come by environment. The web server opens only when the shards are ready: refused means loading. An overload
is 429. SIGTERM lets open requests end within 90 s, then exit 0; a start that fails ends with 1 and its name on the last
line. TGI_STAND_IN says what is different: `load=S`, `oom` (a shard is killed), `work=S` (for each request).
"""

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

GRACE_S = 90.0
ODD = dict(word.partition("=")[::2] for word in os.environ.get("TGI_STAND_IN", "").split(",") if word)
FLAGS = {"--disable-custom-kernels", "--json-output"}
KNOWN_MODELS = {"llama", "mistral", "qwen2", "gemma"}


class Counts:
    lock = threading.Lock()
    running = requests = refused = tokens = 0


def log(level, message):
    print(json.dumps({"timestamp": time.time(), "level": level, "message": message}), flush=True)


def fail(message, error):
    log("ERROR", message)
    print(f"Error: {error}", flush=True)
    sys.exit(1)


def load():
    """What the launcher does before the web server opens."""
    unknown = [word for word in sys.argv[1:] if word not in FLAGS]
    if unknown:
        print(f"error: unexpected argument '{unknown[0]}' found", file=sys.stderr, flush=True)
        sys.exit(2)
    model = os.environ["MODEL_ID"]
    if int(os.environ.get("NUM_SHARD", "1")) > 1:
        fail("`sharded` is true but only found 0 CUDA devices: not enough cuda devices", "NotEnoughCUDADevices")
    if not any(Path(model).glob("*.safetensors")):
        fail(f"No safetensors weights found for model {model}", "DownloadError")
    kind = json.loads(Path(model, "config.json").read_text(encoding="utf-8"))["model_type"]
    if kind not in KNOWN_MODELS:
        log("ERROR", f"Shard complete standard error output: ValueError: Unsupported model type {kind}")
        fail("Shard 0 failed to start", "ShardCannotStart")
    time.sleep(float(ODD.get("load", 0.0)))
    if "oom" in ODD:
        log("ERROR", "Shard process was signaled to shutdown with signal 9 rank=0")
        fail("Shard 0 failed to start", "ShardCannotStart")
    for folder in ("/tmp", "/data"):
        Path(folder, "written").write_text("x", encoding="ascii")  # its sockets and caches
    log("INFO", "Shard ready in 0.1s rank=0")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            self.say(200, "")
        elif self.path == "/metrics":
            self.say(200, page(), "text/plain")
        else:
            self.say(404, "{}")

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with Counts.lock:
            Counts.requests += 1
            if Counts.running >= int(os.environ.get("MAX_CONCURRENT_REQUESTS", "128")):
                Counts.refused += 1
                self.say(429, json.dumps({"error": "Model is overloaded", "error_type": "overloaded"}))
                return
            Counts.running += 1
        time.sleep(float(ODD.get("work", 0.0)))
        with Counts.lock:
            Counts.running -= 1
            Counts.tokens += 4
        self.say(200, json.dumps({"choices": [{"message": {"content": "four words of it"}}]}))

    def say(self, status, text, kind="application/json"):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def page():
    with Counts.lock:
        return (
            f"# TYPE tgi_batch_current_size gauge\ntgi_batch_current_size {Counts.running}\n"
            f"# TYPE tgi_queue_size gauge\ntgi_queue_size 0\n"
            f"# TYPE tgi_request_count counter\ntgi_request_count {Counts.requests}\n"
            f'# TYPE tgi_request_failure counter\ntgi_request_failure{{err="overloaded"}} {Counts.refused}\n'
            f"tgi_request_input_length_sum {3 * Counts.requests}\n"
            f"tgi_request_generated_tokens_sum {Counts.tokens}\n"
        )


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    load()
    server = ThreadingHTTPServer((os.environ.get("HOSTNAME", "0.0.0.0"), int(os.environ.get("PORT", "80"))), Handler)
    server.daemon_threads = True
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    log("INFO", "Connected")
    while not asked.wait(0.1):
        pass
    server.shutdown()
    server.socket.close()
    until = time.monotonic() + GRACE_S
    while Counts.running and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.1)  # the last answers are on their way
    log("INFO", "webserver terminated")


if __name__ == "__main__":
    main()
