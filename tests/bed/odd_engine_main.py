"""An engine with llama.cpp's front and manners of its own: what runs in the image of odd_engine.py. Small Python only.

LLAMA_ARG_ODD says how it misbehaves: words with commas between them, some with a number.
    exit=S          ends by itself with code 3 after S seconds
    leave=S         the same, S seconds after its first token
    greedy=N        says that the memory of its GPU is not enough and ends, unless its context is N tokens or less
    bare            has no metrics page
    deaf            ignores SIGTERM
    hang=N          health is 200, but after N tokens no more come (0: never one)
    eat=MIB         takes so much memory a second, without end
    flood           writes log lines without end
    fork            starts children without end
    never           is never ready
    slow=S          loads for S seconds, and its memory grows meanwhile
    still=S         loads for S seconds, and nothing moves
A request may say "work": S, and then takes S seconds, a token every 20 ms; or "too_much", which its GPU's memory is not
enough for: it says so and ends.
"""

import os
import re
import signal
import socket
import sys
import threading
import time

PORT = 8080
STARTED = time.monotonic()
TOKEN_S = 0.02
LOCK = threading.Lock()


class State:
    requests = 0
    tokens = 0
    served_at = 0.0
    held = []  # noqa: RUF012


def manners():
    found = {}
    for word in os.environ.get("LLAMA_ARG_ODD", "").split(","):
        name, _, value = word.partition("=")
        if name:
            found[name] = float(value or 0)
    return found


ODD = manners()


def say(text):
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def loading():
    wait_s = ODD.get("slow", ODD.get("still", 0.0))
    return "never" in ODD or time.monotonic() - STARTED < wait_s


def one_token():
    """False when no token comes any more."""
    with LOCK:
        if "hang" in ODD and State.tokens >= ODD["hang"]:
            return False
        State.tokens += 1
        State.served_at = State.served_at or time.monotonic()
    return True


def generate(body):
    """Tokens for as long as the request says; hangs where it is told to."""
    if b'"too_much"' in body:
        say("ggml_cuda: out of memory")
        os._exit(1)
    found = re.search(rb'"work": ?([0-9.]+)', body)
    until = time.monotonic() + (float(found.group(1)) if found else 0.0)
    with LOCK:
        State.requests += 1
    try:
        while True:
            while not one_token():
                time.sleep(1)
            if time.monotonic() >= until:
                return b'{"choices": [{"text": "word"}]}'
            time.sleep(TOKEN_S)
    finally:
        with LOCK:
            State.requests -= 1


def answer(method, path, body):
    if loading():
        return 503, b'{"error": {"message": "Loading model"}}'
    if path == "/health":
        return 200, b'{"status": "ok"}'
    if path == "/metrics" and "bare" not in ODD:
        with LOCK:
            lines = f"llamacpp:requests_processing {State.requests}\nllamacpp:requests_deferred 0\n"
            return 200, f"{lines}llamacpp:tokens_predicted_total {State.tokens}\n".encode()
    if method == "POST" and path in {"/v1/completions", "/v1/chat/completions"}:
        return 200, generate(body)
    return 404, b"{}"


def serve(client):
    try:
        client.settimeout(60)
        raw = b""
        while b"\r\n\r\n" not in raw:
            piece = client.recv(65536)
            if not piece:
                return
            raw += piece
        head, _, body = raw.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: ?([0-9]+)", head)
        while length and len(body) < int(length.group(1)):
            body += client.recv(65536)
        words = head.split(b" ", 2)
        status, text = answer(words[0].decode(), words[1].decode(), body)
        line = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n"
        client.sendall(line.encode() + b"Connection: close\r\n\r\n" + text)
    except OSError:
        pass
    finally:
        client.close()


def over():
    now = time.monotonic()
    served = State.served_at and now - State.served_at
    return ("exit" in ODD and now - STARTED > ODD["exit"]) or ("leave" in ODD and served > ODD["leave"])


def misbehave():
    """Whatever goes on beside the serving; one turn every 50 ms."""
    turn = 0
    while True:
        turn += 1
        if over():
            say("the last word before the end")
            os._exit(3)
        if "eat" in ODD:
            State.held.append(b"x" * int(ODD["eat"] * 50_000))
        if "slow" in ODD and loading():
            State.held.append(b"x" * 2_000_000)
        if "flood" in ODD:
            say("\n".join(f"flood {turn} {index} {'x' * 200}" for index in range(200)))
        if "fork" in ODD:
            try:
                if os.fork() == 0:
                    time.sleep(600)
                    os._exit(0)
            except OSError as error:
                say(f"no more children: {error}")
        time.sleep(0.05)


def main():
    say(f"odd engine: {ODD}, told {sys.argv[1:]}")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in ODD else lambda *_: os._exit(0))
    if "greedy" in ODD and int(sys.argv[sys.argv.index("--ctx-size") + 1]) > ODD["greedy"]:
        say("ggml_cuda: out of memory")
        sys.exit(1)
    door = socket.socket()
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind(("0.0.0.0", PORT))
    door.listen(128)
    threading.Thread(target=misbehave, daemon=True).start()
    while True:
        client, _ = door.accept()
        try:
            threading.Thread(target=serve, args=(client,), daemon=True).start()
        except RuntimeError:  # no thread is left where it forks: this client is not served, the next may be
            client.close()


if __name__ == "__main__":
    main()
