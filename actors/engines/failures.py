"""Why an engine died, from its exit code, Docker's flag and its last words. Pure.

137 alone is not a lack of memory: Docker's flag and the log decide. A cause that no retry can mend is not retried.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

LOG_SHOWN_LINES = 3
SIGNALS = {129: "SIGHUP", 130: "SIGINT", 131: "SIGQUIT", 132: "SIGILL", 134: "SIGABRT", 135: "SIGBUS", 136: "SIGFPE"}
SIGNALS |= {137: "SIGKILL", 139: "SIGSEGV", 143: "SIGTERM"}


class Remedy(StrEnum):
    """What trying again needs."""

    RETRY = "retry"
    CHANGE = "change"
    """The spec has to change: trying the same again fails again, but another engine may have left meanwhile."""
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause with words for people."""

    name: str
    remedy: Remedy
    why: str
    do: str


CAUSES = {
    cause.name: cause
    for cause in (
        Cause("killed", Remedy.RETRY, "something killed it", "look who did; it is restarted"),
        Cause("crashed", Remedy.RETRY, "it crashed", "read its last words: mosalamaagent engines --json"),
        Cause("exited", Remedy.RETRY, "it ended by itself", "read its log"),
        Cause(
            "host_out_of_memory",
            Remedy.RETRY,
            "it used more memory than it may",
            "raise memory_bytes or lower the context",
        ),
        Cause(
            "gpu_out_of_memory",
            Remedy.CHANGE,
            "the GPU's memory was not enough",
            "lower memory_fraction or context_length",
        ),
        Cause(
            "gpu_memory_taken",
            Remedy.CHANGE,
            "something else uses the GPU's memory",
            "free it, or lower memory_fraction",
        ),
        Cause("kv_cache_too_small", Remedy.CHANGE, "no room for the KV cache", "lower context_length or parallel"),
        Cause("missing_file", Remedy.NEVER, "a file of the model is missing", "pull the model again"),
        Cause(
            "corrupt_file", Remedy.NEVER, "a file of the model cannot be read", "verify the model, then pull it again"
        ),
        Cause(
            "unsupported_model",
            Remedy.NEVER,
            "this engine does not know this model",
            "take a newer image or another kind",
        ),
        Cause("bad_flag", Remedy.NEVER, "it does not know one of its arguments", "mend extra_args or the spec"),
        Cause("no_gpu", Remedy.CHANGE, "it sees no GPU", "check the driver and the container toolkit"),
        Cause("nccl", Remedy.RETRY, "its processes could not talk to each other", "check the network between them"),
        Cause("port_taken", Remedy.RETRY, "its port was taken", "it gets another"),
        Cause("engine_dead", Remedy.RETRY, "its inner engine died", "read its log"),
        Cause("start_timeout", Remedy.RETRY, "it was not ready in time", "raise probes.start_timeout_s"),
        Cause("not_healthy", Remedy.RETRY, "it stopped answering", "read its log"),
        Cause("no_tokens", Remedy.RETRY, "it answers, but makes no tokens", "read its log; is its GPU well?"),
        Cause("not_started", Remedy.RETRY, "it could not be started", "read why in front of this"),
        Cause("disk_full", Remedy.CHANGE, "Docker's disk is full", "free space, or move Docker's data root"),
        Cause("image", Remedy.RETRY, "its image could not be brought", "is the registry well, and the way to it?"),
        Cause("removed", Remedy.RETRY, "its container was removed by somebody else", "it is made again"),
    )
}


def classify(exit_code: int, *, oom_killed: bool, log: Sequence[str], failures: Sequence[tuple[str, str]]) -> Cause:
    """The most telling cause: the log's words first, then Docker's flag, then the exit code."""
    if oom_killed:
        return CAUSES["host_out_of_memory"]
    text = "\n".join(log)
    for words, name in failures:
        if words in text:
            return CAUSES[name]
    if exit_code in {137, 143}:
        return CAUSES["killed"]
    return CAUSES["exited" if exit_code == 0 else "crashed"]


STARTS = (
    ("address already in use", "port_taken"),
    ("port is already allocated", "port_taken"),
    ("no space left", "disk_full"),
    ("disk_full", "disk_full"),
    ("could not select device driver", "no_gpu"),
    ("nvidia-container-cli", "no_gpu"),
    ("cannot be had", "image"),
)
"""Words of Docker that could not start a container -> the cause."""


def of_start(why: str) -> Cause:
    """Why a container could not even be started, from Docker's words."""
    text = why.lower()
    return CAUSES[next((name for words, name in STARTS if words in text), "not_started")]


def exit_words(exit_code: int) -> str:
    """`exit 137 (SIGKILL)`."""
    name = SIGNALS.get(exit_code)
    return f"exit {exit_code} ({name})" if name else f"exit {exit_code}"


def last_words(words: str, cause: Cause, log: Sequence[str]) -> str:
    """A death in one line: what, why, what to do, and what the engine said last."""
    last = " | ".join(line.strip() for line in log[-LOG_SHOWN_LINES:])
    return f"{words}: {cause.why}; {cause.do}" + (f"; last words: {last}" if last else "")
