"""The whole tree: started, stopped, looked at; and when the process has to end, with which code."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from config.supervision import SupervisionSettings

from .cell import Cell
from .children import Child, Phase
from .errors import StartFailed
from .events import EventLog, SupervisionEvent
from .handle import Handle
from .services import Services
from .signals import Down, Kind, Probe, Ready, Signal, Stop
from .spec import ChildSpec, SupervisorSpec
from .supervisor import launch
from .threads import ThreadRuntime
from .timers import Timers
from .tree import TreeNode, snapshot
from .validate import check_supervisor
from .watchdog import Watchdog

if TYPE_CHECKING:
    from .incarnation import Incarnation
    from .runtime import Runtime

EXIT_OK = 0
EXIT_ESCALATED = 70
EXIT_WEDGED = 71
ROOT = "/root"


class System:
    """One supervision tree.

    `runtime` defaults to threads; `seed` makes its random numbers repeatable; `on_event` is called from any
    thread with every event and must not block.
    """

    def __init__(
        self,
        root: SupervisorSpec,
        *,
        runtime: "Runtime | None" = None,
        seed: int | None = None,
        on_event: Callable[[SupervisionEvent], None] | None = None,
        settings: SupervisionSettings | None = None,
    ) -> None:
        check_supervisor(ROOT, root)
        settings = settings or SupervisionSettings()
        self.runtime = runtime or ThreadRuntime(seed=seed, stack_bytes=settings.stack_kib * 1024)
        self.log = EventLog(self.runtime, settings.events_kept, on_event)
        self.services = Services(self.runtime, settings, self.log, Timers(self.runtime), self)
        self.watchdog = Watchdog(self.services)
        self._spec = ChildSpec("root", root)
        self._root = self.services.cell(ROOT)
        self._entry = Child(self._spec)
        self._done = self.runtime.parker()
        self._ready = self.runtime.parker()
        self._kept: list[Cell] = [self._root, *self._declared(ROOT, root)]
        self._down: Down | None = None
        self._stopping = False
        self._lock = self.runtime.lock()
        self._abandoned: dict[int, str] = {}
        self._abandonings: deque[tuple[float, str, bool]] = deque()
        self.exit_code: int | None = None
        self.exit_cause = ""

    def _declared(self, path: str, spec: SupervisorSpec) -> list[Cell]:
        found: list[Cell] = []
        for child in spec.children:
            cell = self.services.cell(f"{path}/{child.id}")
            cell.mailbox.spec = child.mailbox
            found.append(cell)
            if isinstance(child.factory, SupervisorSpec):
                found += self._declared(cell.path, child.factory)
        return found

    # -- life ------------------------------------------------------------------------------------------------

    def start(self, timeout_s: float = 60.0) -> None:
        """Start the tree; returns when every child is ready.

        Raises:
            StartFailed: which child failed, and why; what had started is stopped again.

        """
        self.services.timers.start()
        self.watchdog.start()
        self._root.number = self._entry.incarnation = 1
        self._entry.enter(Phase.STARTING)
        launch(self._root, self._spec, self)
        if not self._ready.park(timeout_s):
            self.stop()
            raise StartFailed(ROOT, f"not ready within {timeout_s:g} s")
        if self._down is not None:
            self._stop_workers()
            name, _, cause = self._down.reason.partition(": ")
            raise StartFailed(name, cause or self._down.reason)

    def stop(self, timeout_s: float = 30.0) -> None:
        """Stop the tree, last child first; what does not stop in time is left behind."""
        self._stopping = True
        self._root.mailbox.signal(Stop("shutdown"))
        if self._down is None and not self._done.park(timeout_s):
            self.log.emit(ROOT, "stop_timeout", severity="error", reason=f"not stopped within {timeout_s:g} s")
        self._done.unpark()
        self._stop_workers()
        self._exit(EXIT_OK, "asked to stop")

    def _stop_workers(self) -> None:
        self.services.timers.stop(1.0)
        self.watchdog.stop(1.0)

    def wait_for_exit(self, timeout_s: float | None = None) -> int | None:
        """Wait until the tree has ended by itself or was stopped; its exit code, or None when time passed."""
        if self.exit_code is None:
            self._done.park(timeout_s)
        return self.exit_code

    # -- what the root tells ---------------------------------------------------------------------------------

    def signal(self, signal: Signal) -> bool:
        """The root became ready, or ended; told in the root's own thread."""
        if isinstance(signal, Ready):
            self._entry.enter(Phase.RUNNING)
            self._ready.unpark()
        elif isinstance(signal, Down):
            self._down = signal
            self._entry.enter(Phase.STOPPED)
            self._entry.last_reason = f"{signal.kind}: {signal.reason}"
            self._root.current = None
            self._root.mailbox.close("the system ended")
            if not self._stopping and signal.kind is not Kind.START_FAILED:
                self.log.emit(
                    ROOT, "escalated", severity="critical", reason=signal.reason, detail=str(signal.traceback)
                )
                self._exit(EXIT_ESCALATED, signal.reason)
            self._ready.unpark()
            self._done.unpark()
        return True

    def _exit(self, code: int, cause: str) -> None:
        with self._lock:
            if self.exit_code is None:
                self.exit_code, self.exit_cause = code, cause
        self._done.unpark()

    # -- threads that were left behind -----------------------------------------------------------------------

    def abandoned(self, incarnation: "Incarnation") -> None:
        """One more; too many end the process, because threads cannot be killed."""
        settings, path, now = self.services.settings, incarnation.cell.path, self.runtime.now()
        with self._lock:
            self._abandoned[id(incarnation)] = path
            self._abandonings.append((now, path, incarnation.spec.critical))
            while self._abandonings[0][0] < now - settings.abandoned_window_s:
                self._abandonings.popleft()
            here = sum(1 for _, other, _ in self._abandonings if other == path)
            total = len(self._abandoned)
        critical = incarnation.spec.critical and here >= settings.abandoned_critical_max
        if here >= settings.abandoned_path_max or total >= settings.abandoned_total_max or critical:
            cause = f"{total} threads left behind, {here} of {path}"
            self.log.emit(path, "too_many_abandoned", severity="critical", reason=cause)
            self._exit(EXIT_WEDGED, cause)

    def returned(self, incarnation: "Incarnation") -> None:
        """One that was left behind has ended after all."""
        with self._lock:
            known = self._abandoned.pop(id(incarnation), None)
        if known is not None:
            incarnation.report("returned", reason="an abandoned thread has ended")

    @property
    def abandoned_now(self) -> int:
        """How many threads are left behind at this moment."""
        return len(self._abandoned)

    # -- looking ---------------------------------------------------------------------------------------------

    def handle(self, path: str) -> Handle:
        """The handle of an actor by its path, such as /root/engines/manager; may be taken before start."""
        return Handle(self.services.cell(path))

    def tree(self) -> TreeNode:
        """A frozen snapshot of the tree; asks nobody, so it works while actors hang."""
        return snapshot(self.services, ROOT, self._entry)

    def events(self, after: int = 0) -> tuple[SupervisionEvent, ...]:
        """The kept events with a number above `after`, oldest first."""
        return self.log.after(after)

    def healthy(self, timeout_s: float = 1.0) -> bool:
        """Whether systemd's watchdog may be pinged.

        Our watchdog scans, the root answers, no critical actor is overdue or down, the process need not end.

        """
        if not self.watchdog.alive() or self.watchdog.overdue or self.exit_code is not None:
            return False
        answered = self.runtime.parker()
        if not self._root.mailbox.signal(Probe(answered.unpark)) or not answered.park(timeout_s):
            return False
        return all(_up(node, self._critical) for node in _walk(self.tree()))

    @property
    def _critical(self) -> frozenset[str]:
        return frozenset(
            f"{path}/{name}"
            for path, core in list(self.services.supervisors.items())
            for name, child in list(core.children.items())
            if child.spec.critical
        )


def _walk(node: TreeNode) -> list[TreeNode]:
    return [node, *(found for child in node.children for found in _walk(child))]


def _up(node: TreeNode, critical: frozenset[str]) -> bool:
    return node.path not in critical or node.state in {Phase.RUNNING, Phase.STARTING, Phase.STOPPING}
