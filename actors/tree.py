"""The supervision tree as data, in start order; stopped in reverse. Read this first.

What each actor gets is in wiring.py, a method for each.

    root          one_for_one: handles and mailboxes survive a restart, so nobody needs a neighbour's restart
      journal     critical: without it nothing may be accepted
      engines     manager, and under replicas one actor for each engine container
      downloads   manager, and under transfers one actor for each transfer
      metrics     the sampler, and the alerts
      link        the conversation with the master
      aux         the local API, streams of engine logs, forwarding of the log; gives up rather than take the root down
"""

from collections.abc import Callable

from actors.clock import WallClock
from actors.log.setup import Log
from actors.supervision.spec import (
    Backoff,
    ChildSpec,
    Hang,
    Limit,
    LimitAction,
    MailboxSpec,
    Overflow,
    Strategy,
    SupervisorSpec,
)
from actors.supervision.system import System
from actors.wiring import Wiring
from config.settings import Settings

OFTEN = Limit(5, 300.0, LimitAction.ESCALATE)
"""An actor that fails more often than this is beyond a restart; the process is begun anew."""
AUX = Limit(10, 600.0, LimitAction.GIVE_UP)
PATIENT = Hang(default_s=120.0)


def _beside(wiring: Wiring, facts: MailboxSpec) -> tuple[ChildSpec, ...]:
    """Streams of engine logs, and the log's own forwarding where it goes anywhere; a simulation has neither."""
    if wiring.log is None:
        return ()
    streams = ChildSpec("engine-logs", wiring.engine_logs, limit=AUX, backoff=Backoff(max_s=10.0))
    forwarding = ChildSpec("forwarding", wiring.forwarding, limit=AUX, backoff=Backoff(max_s=10.0), mailbox=facts)
    return (streams, forwarding) if wiring.log.buffers else (streams,)


def build(settings: Settings, system: Callable[[], System], wall: WallClock, log: Log | None = None) -> SupervisorSpec:
    """The tree of the daemon. `system` is asked only once actors run."""
    return tree(Wiring(settings, system, wall, log))


def tree(wiring: Wiring) -> SupervisorSpec:
    """The same for any wiring: the simulation brings a Docker, a disk and a master of its own."""
    facts = MailboxSpec(capacity=1_000, overflow=Overflow.DROP_OLDEST)
    return SupervisorSpec(
        strategy=Strategy.ONE_FOR_ONE,
        children=(
            ChildSpec(
                "journal",
                wiring.journal,
                critical=True,
                start_timeout_s=30.0,
                limit=OFTEN,
                hang=PATIENT,
                backoff=Backoff(max_s=5.0),
                mailbox=MailboxSpec(capacity=10_000),
            ),
            ChildSpec(
                "engines",
                SupervisorSpec(
                    strategy=Strategy.REST_FOR_ONE,
                    intensity=5,
                    period_s=300.0,
                    children=(
                        ChildSpec("replicas", SupervisorSpec(strategy=Strategy.DYNAMIC, intensity=1_000)),
                        ChildSpec(
                            "manager",
                            wiring.engines,
                            start_timeout_s=30.0,
                            hang=PATIENT,
                            backoff=Backoff(max_s=5.0),
                            mailbox=MailboxSpec(capacity=10_000),
                        ),
                    ),
                ),
            ),
            ChildSpec(
                "downloads",
                SupervisorSpec(
                    strategy=Strategy.REST_FOR_ONE,
                    intensity=5,
                    period_s=300.0,
                    children=(
                        ChildSpec("transfers", SupervisorSpec(strategy=Strategy.DYNAMIC, intensity=1_000)),
                        ChildSpec("manager", wiring.downloads, backoff=Backoff(max_s=5.0)),
                    ),
                ),
            ),
            ChildSpec(
                "metrics",
                SupervisorSpec(
                    children=(
                        ChildSpec("alerts", wiring.alerts, limit=AUX, mailbox=facts),
                        ChildSpec("sampler", wiring.metrics, limit=AUX, mailbox=facts),
                    )
                ),
            ),
            ChildSpec(
                "link", wiring.link, limit=OFTEN, backoff=Backoff(max_s=5.0), mailbox=MailboxSpec(capacity=10_000)
            ),
            ChildSpec(
                "aux",
                SupervisorSpec(
                    children=(
                        ChildSpec("api", wiring.api, limit=AUX, backoff=Backoff(max_s=10.0), mailbox=facts),
                        *_beside(wiring, facts),
                    )
                ),
            ),
        ),
        intensity=5,
        period_s=300.0,
    )
