"""Whether a spec may start: every limit must be able to fire, every combination must mean something. Pure."""

import math

from .backoff import longest_s
from .errors import SpecError
from .spec import AutoShutdown, Backoff, ChildSpec, Restart, Strategy, SupervisorSpec


def check_supervisor(who: str, spec: SupervisorSpec) -> None:
    """Check a supervisor and everything below it.

    Raises:
        SpecError: whose spec, which field, why.

    """
    _need(who, "strategy", isinstance(spec.strategy, Strategy), f"{spec.strategy!r} is no strategy")
    _need(
        who,
        "auto_shutdown",
        isinstance(spec.auto_shutdown, AutoShutdown),
        f"{spec.auto_shutdown!r} is no rule",
    )
    _need(who, "intensity", spec.intensity >= 0, f"{spec.intensity} is negative")
    _need(who, "period_s", _positive(spec.period_s), f"{spec.period_s} is not a positive number of seconds")
    if spec.max_children is not None:
        _need(who, "max_children", spec.strategy is Strategy.DYNAMIC, "only a dynamic supervisor has a cap")
        _need(who, "max_children", spec.max_children >= 1, f"{spec.max_children} leaves room for nobody")
    seen: set[str] = set()
    for child in spec.children:
        _need(who, "children", child.id not in seen, f"two children have the id {child.id!r}")
        seen.add(child.id)
        check_child(child, spec, who)


def check_child(spec: ChildSpec, parent: SupervisorSpec, who: str = "") -> None:
    """Check one child against its supervisor.

    Raises:
        SpecError: whose spec, which field, why.

    """
    name = f"{who}/{spec.id}"
    _need(
        name,
        "id",
        bool(spec.id) and "/" not in spec.id and "#" not in spec.id,
        "must be a word without / or #",
    )
    _need(name, "restart", isinstance(spec.restart, Restart), f"{spec.restart!r} is no restart type")
    _need(name, "start_timeout_s", _positive(spec.start_timeout_s), f"{spec.start_timeout_s} is not positive")
    _check_significant(name, spec, parent)
    _check_shutdown(name, spec)
    _check_backoff(name, spec.backoff)
    _check_hang_and_mailbox(name, spec)
    _check_limit(name, spec, parent)
    if isinstance(spec.factory, SupervisorSpec):
        check_supervisor(name, spec.factory)
    else:
        _need(name, "factory", callable(spec.factory), f"{spec.factory!r} cannot be called")


def _check_significant(name: str, spec: ChildSpec, parent: SupervisorSpec) -> None:
    if spec.significant:
        _need(
            name,
            "significant",
            spec.restart is not Restart.PERMANENT,
            "a permanent child never ends for good",
        )
        _need(
            name,
            "significant",
            parent.auto_shutdown is not AutoShutdown.NEVER,
            "its supervisor never shuts down",
        )


def _check_shutdown(name: str, spec: ChildSpec) -> None:
    limit = spec.stop_limit_s
    _need(name, "shutdown_s", limit > 0, f"{limit} is not positive; use abandon_now to stop without waiting")
    if isinstance(spec.factory, SupervisorSpec):
        needed = longest_stop_s(spec.factory)
        _need(
            name,
            "shutdown_s",
            limit >= needed,
            f"{limit:g} s is less than the {needed:g} s its children may take",
        )
    else:
        _need(name, "shutdown_s", math.isfinite(limit), "a worker needs a finite time to stop")


def longest_stop_s(spec: SupervisorSpec) -> float:
    """The most seconds that its children may take to stop: one after another, or together when dynamic."""
    each = [
        child.stop_limit_s
        if not isinstance(child.factory, SupervisorSpec) or math.isfinite(child.stop_limit_s)
        else longest_stop_s(child.factory)
        for child in spec.children
        if not child.abandon_now
    ]
    return max(each, default=0.0) if spec.strategy is Strategy.DYNAMIC else sum(each)


def _check_backoff(name: str, backoff: Backoff) -> None:
    _need(name, "backoff.min_s", 0 <= backoff.min_s < math.inf, f"{backoff.min_s} is negative or endless")
    _need(
        name,
        "backoff.max_s",
        backoff.min_s <= backoff.max_s < math.inf,
        f"{backoff.max_s} is below min_s or endless",
    )
    _need(name, "backoff.factor", 1.0 <= backoff.factor < math.inf, f"{backoff.factor} is below 1")
    _need(name, "backoff.jitter", 0.0 <= backoff.jitter <= 1.0, f"{backoff.jitter} is not within 0..1")
    _need(
        name,
        "backoff.reset_after_s",
        _positive(backoff.healthy_after_s),
        f"{backoff.reset_after_s} is not positive",
    )


def _check_hang_and_mailbox(name: str, spec: ChildSpec) -> None:
    _need(name, "hang.default_s", spec.hang.default_s > 0, f"{spec.hang.default_s} is not positive")
    _need(name, "hang.grace_s", spec.hang.grace_s >= 0, f"{spec.hang.grace_s} is negative")
    for kind, limit in spec.hang.per_message.items():
        _need(name, f"hang.per_message[{kind.__name__}]", limit > 0, f"{limit} is not positive")
    _need(name, "mailbox.capacity", spec.mailbox.capacity >= 1, f"{spec.mailbox.capacity} takes no message")
    _need(name, "mailbox.block_s", _positive(spec.mailbox.block_s), f"{spec.mailbox.block_s} is not positive")
    _need(name, "mailbox.stale_after_s", _positive(spec.mailbox.stale_after_s), "is not positive")


def _check_limit(name: str, spec: ChildSpec, parent: SupervisorSpec) -> None:
    """A budget that the backoff keeps from ever being spent is a retry for ever in disguise."""
    if spec.restart is Restart.TEMPORARY:
        return
    count, period, field = parent.intensity, parent.period_s, "backoff"
    if spec.limit is not None:
        count, period, field = spec.limit.count, spec.limit.period_s, "limit"
        _need(name, "limit.count", count >= 0, f"{count} is negative")
        _need(name, "limit.period_s", _positive(period), f"{period} is not positive")
    waiting = longest_s(spec.backoff, count)
    _need(
        name,
        field,
        waiting < period,
        f"the limit of {count} failures within {period:g} s can never be exceeded:"
        f" the backoff alone waits {waiting:g} s between them",
    )


def _positive(seconds: float) -> bool:
    return 0 < seconds < math.inf


def _need(who: str, field: str, good: bool, why: str) -> None:
    if not good:
        raise SpecError(who, field, why)
