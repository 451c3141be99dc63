"""One file whose size nobody says: one answer from its first byte to its end, hashed while it is written.

Nobody can go on in the middle of it: after a cut it begins again at zero, as often as `tries` allows. Room for it is
taken in steps, each before its bytes are written. What ends otherwise than proven leaves no byte behind.
"""

import contextlib
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable

import structlog

from actors.downloads.errors import DownloadError, SourceError, TransferError
from actors.downloads.manifest import RemoteFile, Staging, UnsizedFile
from actors.downloads.proof import digests

from .answers import Meaning, judge
from .api import Cancelled, Control, Grow, Progress
from .asking import Asker
from .buffers import ALIGN_BYTES, aligned
from .mirrors import Mirror, Mirrors, refused, wrong
from .partial import failed
from .threads import started
from .throttle import Throttle
from .watch import LEAST_BYTES_S, LOOK_S, RATE_S

PIECE_BYTES = 1 << 20
"""Hashed and written at a time; of a server that gives little, what came in FILL_S."""
FILL_S = 0.05
STEP_BYTES = 64 << 20
"""Room is taken in steps of so much, or of what there is."""
WRONG_MAX = 2
"""Times that a body whose end was certain may have the wrong hash."""


class Stream:
    """One file. The caller's thread watches and tells; a thread of its own reads, hashes and writes."""

    def __init__(
        self,
        file: UnsizedFile,
        staging: Staging,
        asker: Asker,
        throttle: Throttle,
        control: Control,
        grow: Grow,
        tries: int,
        silence_s: float,
    ) -> None:
        self._file, self._staging, self._asker, self._throttle = file, staging, asker, throttle
        self._control, self._grow, self._silence_s = control, grow, silence_s
        self._part = staging.work / f"sha256-{file.sha256}.stream"
        self._target = staging.files / file.name
        self._ended, self._stop = threading.Event(), threading.Event()
        self._log = structlog.get_logger().bind(actor="transfer", file=file.name)
        self._held = ""
        self._done = self._total = self._reserved = self.received_bytes = 0
        """Of this try, of the whole as far as the server says it, of what has room; of all tries."""
        self._mirrors, self._wrong = Mirrors(file, tries), dict[str, int]()
        self._result: RemoteFile | None = None
        self._error: Exception | None = None
        now = time.monotonic()
        self._past: deque[tuple[float, int]] = deque([(now, 0)])
        self._quiet_since, self._quiet_bytes = now, 0

    def bring(self, progress: Callable[[Progress], None], held: Callable[[], str]) -> RemoteFile:
        """The file, proven and durable under its name. DownloadError; Cancelled. `held`: why nothing may come now."""
        size = self._there()
        if size is not None:
            return self._file.sized(size)
        self._held = held()
        thread = started(self._run, "stream")
        try:
            while not self._ended.wait(LOOK_S) and not self._control.cancelled:
                self._held = held()
                self._look(time.monotonic(), progress)
        finally:
            self._stop.set()
            while thread.is_alive():
                self._asker.kill()
                thread.join(LOOK_S)
            self._asker.close()
            with contextlib.suppress(OSError):
                self._part.unlink(missing_ok=True)
        if self._error is not None:
            raise self._error
        if self._result is None:
            raise Cancelled
        return self._result

    def _there(self) -> int | None:
        """Its size when an earlier try brought it; one that is damaged goes, and is never written into."""
        with contextlib.suppress(DownloadError):
            seen = digests(self._target, self._count)
            if seen is not None and seen.sha256 == self._file.sha256:
                return seen.size_bytes
        self._target.unlink(missing_ok=True)
        return None

    def _count(self, _count: int) -> None:
        if self._control.cancelled:
            raise Cancelled

    # -- the caller's thread ---------------------------------------------------------------------------------

    @property
    def _rests(self) -> bool:
        return bool(self._held) or self._control.paused

    def _look(self, now: float, progress: Callable[[Progress], None]) -> None:
        received = self.received_bytes
        if self._rests:
            self._quiet_since, self._quiet_bytes = now, received
        elif now - self._quiet_since > self._silence_s:
            if received - self._quiet_bytes < LEAST_BYTES_S * self._silence_s:
                self._asker.kill()  # it gives nearly nothing: the reader takes it for a cut
            self._quiet_since, self._quiet_bytes = now, received
        self._past.append((now, received))
        while now - self._past[0][0] > RATE_S:
            self._past.popleft()
        since, before = self._past[0]
        rate = (received - before) / (now - since) if now - since > LOOK_S / 2 else None
        state = "paused" if self._control.paused else "waiting" if self._held else "transferring"
        eta = (self._total - self._done) / rate if rate and self._total else None
        progress(Progress(state, self._done, self._total, rate, eta, 1, self._held))

    # -- the reader's thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._result = self._try_all()
        except Cancelled:
            pass
        except Exception as error:  # noqa: BLE001  # told by the caller's thread
            self._error = error
        finally:
            self._ended.set()

    def _try_all(self) -> RemoteFile:
        while True:
            self._rest()
            mirrors, now = self._mirrors, time.monotonic()
            mirror = mirrors.choose(now)
            if mirror is None:
                if mirrors.exhausted is not None:
                    raise mirrors.exhausted
                self._stop.wait(max(0.01, mirrors.wake_at() - now))
                continue
            try:
                size = self._once(mirror, now)
            except (OSError, TransferError) as error:
                self._end_if_told()
                mirrors.fail(mirror, str(error) or type(error).__name__, now, time.monotonic())
                self._log.warning("body.failed", why=str(error), tries=mirror.failures)
            except SourceError as error:
                mirror.given_up = error
                self._log.warning("body.failed", why=str(error))
            else:
                if size is not None:
                    return self._file.sized(size)
                why = str(mirror.given_up or "its SHA-256 differs, or it is to be asked later")
                self._log.warning("body.failed", why=why)
            finally:
                self._asker.leave(broken=True)

    def _rest(self) -> None:
        """While nothing may come. A server that does not wait so long has cut the body, and it begins again."""
        while self._rests and not self._stop.wait(LOOK_S):
            pass
        self._end_if_told()

    def _end_if_told(self) -> None:
        if self._stop.is_set() or self._control.cancelled:
            raise Cancelled

    def _once(self, mirror: Mirror, started: float) -> int | None:
        """The size of the whole, which is in place then; None when this mirror gave nothing that counts."""
        answer, _ = self._asker.get(mirror.base, 0, None)
        chunked = "chunked" in answer.headers.get("transfer-encoding", "").lower()
        declared = answer.headers.get("content-length")
        size, name = int(declared or 0), self._file.name
        self._total = 0 if chunked else size  # chunks go before a length
        verdict = judge(answer, 0, size, size, time.time())
        match verdict.meaning:
            case Meaning.BYTES:
                got = self._receive()
                if got is None:
                    self._blame(mirror, started, sure=chunked or declared is not None)
                return got
            case Meaning.REFUSED:
                renew, mirror.given_up = self._staging.manifest.renew, refused(name, verdict.why)
                self._mirrors.add(renew(name) if renew is not None else ())
            case Meaning.WRONG:
                mirror.given_up = wrong(name, verdict.why)
            case _:
                self._mirrors.fail(mirror, verdict.why, started, time.monotonic(), verdict.wait_s)
        return None

    def _blame(self, mirror: Mirror, started: float, *, sure: bool) -> None:
        """The hash differs. Of a body that only the end of its connection ends, nobody knows whether it was cut."""
        if not sure:
            why = "its SHA-256 differs, and the server does not say where it ends: it may have been cut"
            self._mirrors.fail(mirror, why, started, time.monotonic())
            return
        self._wrong[mirror.base] = self._wrong.get(mirror.base, 0) + 1
        if self._wrong[mirror.base] >= WRONG_MAX:
            mirror.given_up = wrong(self._file.name, "its SHA-256 differs, each time that it came")

    # -- bytes -----------------------------------------------------------------------------------------------

    def _receive(self) -> int | None:
        """The body, up to an end that its framing says; its size when it is proven and in place."""
        self._done = self._reserved = 0
        state, memory = hashlib.sha256(), memoryview(bytearray(PIECE_BYTES))
        try:
            descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise failed(self._file.name, error) from error
        try:
            self._room(descriptor, self._total)
            while count := self._fill(memory[: self._throttle.piece(PIECE_BYTES)]):
                piece = memory[:count]
                state.update(piece)
                self._write(descriptor, piece)
                self._stop.wait(self._throttle.pay(count, time.monotonic()))
                self._rest()
            return self._finish(descriptor) if state.hexdigest() == self._file.sha256 else None
        finally:
            os.close(descriptor)

    def _fill(self, view: memoryview) -> int:
        """A piece; less of it from a server that is slow, nothing at the end of the body."""
        connection, at, until = self._asker.current, 0, time.monotonic() + FILL_S
        assert connection is not None
        while at < len(view) and (count := connection.read_into(view[at:])):
            at += count
            self.received_bytes += count
            if time.monotonic() > until:
                break
        return at

    def _write(self, descriptor: int, piece: memoryview) -> None:
        end = self._done + len(piece)
        self._room(descriptor, end)
        try:
            while self._done < end:
                self._done += os.pwrite(descriptor, piece[self._done - end :], self._done)
        except OSError as error:
            raise failed(self._file.name, error) from error

    def _room(self, descriptor: int, end: int) -> None:
        """The file may reach to `end`: in the store's books and on the disk; DownloadError when it may not."""
        most = self._file.size_max_bytes
        if most is not None and end > most:
            why, do = f"{end} bytes and more, {most} are allowed", "raise size_max_bytes if that is meant"
            raise SourceError("E_TOO_LARGE", f"{self._file.name} is larger than was said", why, do)
        least = aligned(end) - self._reserved
        if least <= 0:
            return
        new = self._grow(least, max(least, STEP_BYTES)) // ALIGN_BYTES * ALIGN_BYTES
        try:
            os.posix_fallocate(descriptor, self._reserved, new)
        except OSError as error:
            raise failed(self._file.name, error) from error
        self._reserved += new

    def _finish(self, descriptor: int) -> int:
        """Its exact size, durable, under its final name."""
        try:
            os.ftruncate(descriptor, self._done)
            os.fsync(descriptor)
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._part.replace(self._target)
        except OSError as error:
            raise failed(self._file.name, error) from error
        return self._done
