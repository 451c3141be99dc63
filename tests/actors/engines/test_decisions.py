import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.engines.errors import RefusedError
from actors.engines.failures import CAUSES, Remedy, classify, exit_words
from actors.engines.kinds.table import known_kinds
from actors.engines.policy import check_image_env, check_spec, source_allowed
from actors.engines.ports import Ports, is_free
from actors.engines.restarts import History, decide
from config.engines import EnginesSettings
from config.policy import PolicySettings
from protocol.messages.engine_spec import EngineSpec, RestartPolicy
from protocol.messages.model_source import ModelSource

DIGEST = "sha256:" + "a" * 64
POLICY = PolicySettings(images=(f"vllm/vllm-openai@{DIGEST}", "ghcr.io/org/*:v1", "local/*"), extra_args=("--seed",))


def spec(**fields):
    given_fields = {"kind": "vllm", "image": f"vllm/vllm-openai@{DIGEST}", "model": ModelSource(uri="hf://org/repo")}
    return EngineSpec(**(given_fields | fields))


def test_what_the_policy_names_is_allowed():
    check_spec(POLICY, spec(extra_args=("--seed=1",), env={"VLLM_LOGGING_LEVEL": "INFO"}))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"kind": "other"}, "E_POLICY.kind"),
        ({"image": "vllm/vllm-openai:latest"}, "E_POLICY.image"),
        ({"image": "ghcr.io/org/a/b:v1"}, "E_POLICY.image"),
        ({"image": "ghcr.io.evil/org/a:v1"}, "E_POLICY.image"),
        ({"image": f"evil/vllm/vllm-openai@{DIGEST}"}, "E_POLICY.image"),
        ({"extra_args": ("--trust-remote-code",)}, "E_POLICY.arg"),
        ({"extra_args": ("--ssl-keyfile=/etc/shadow",)}, "E_POLICY.arg"),
        ({"trust_remote_code": True}, "E_POLICY.arg"),
        ({"env": {"LD_PRELOAD": "x"}}, "E_POLICY.env"),
        ({"env": {"PYTHONPATH": "x"}}, "E_POLICY.env"),
        ({"env": {"NVIDIA_VISIBLE_DEVICES": "all"}}, "E_POLICY.env"),
        ({"env": {"HTTP_PROXY": "x"}}, "E_POLICY.env"),
        ({"model": ModelSource(uri="/etc", kind="path")}, "E_POLICY.url"),
    ],
)
def test_a069_a070_a075_everything_else_is_refused_whoever_signed_it(fields, code):
    with pytest.raises(RefusedError) as caught:
        check_spec(POLICY, spec(**fields))
    assert caught.value.code == code
    assert caught.value.do


def test_a076_an_image_may_not_bring_code_to_load():
    with pytest.raises(RefusedError, match="LD_PRELOAD"):
        check_image_env("img", {"PATH": "/bin", "LD_PRELOAD": "/x.so"})
    check_image_env("img", {"PATH": "/bin"})


def test_the_default_policy_wants_digests():
    default = PolicySettings()
    check_spec(default, spec())
    with pytest.raises(RefusedError):
        check_spec(default, spec(image="vllm/vllm-openai:v1"))
    assert source_allowed(default, "hf://a/b")
    assert not source_allowed(default, "https://host/file")


@pytest.mark.parametrize(
    ("code", "oom", "log", "cause"),
    [
        (137, True, (), "host_out_of_memory"),
        (137, False, (), "killed"),
        (143, False, (), "killed"),
        (0, False, (), "exited"),
        (139, False, (), "crashed"),
        (1, False, ("x", "torch.OutOfMemoryError: CUDA out of memory. Tried"), "gpu_out_of_memory"),
        (1, False, ("max seq len (9) is larger than the maximum number of tokens that can be stored in KV cache (4)",),
         "kv_cache_too_small"),
        (1, False, ("ValueError: Model architectures ['X'] are not supported for now",), "unsupported_model"),
    ],
)  # fmt: skip
def test_a_death_has_a_name(code, oom, log, cause):
    failures = known_kinds()["vllm"].traits.failures
    assert classify(code, oom_killed=oom, log=log, failures=failures).name == cause


@pytest.mark.parametrize("kind", known_kinds())
def test_every_failure_line_of_a_kind_names_a_known_cause(kind):
    assert {name for _, name in known_kinds()[kind].traits.failures} <= set(CAUSES)


def test_an_exit_code_is_said_with_its_signal():
    assert exit_words(137) == "exit 137 (SIGKILL)"
    assert exit_words(3) == "exit 3"


def test_the_first_restart_is_at_once_then_delays_double_then_it_is_given_up():
    policy = RestartPolicy(
        attempts=4, within_s=100.0, backoff_min_s=1.0, backoff_max_s=3.0, retry_after_giving_up_s=60.0
    )
    history, delays = History(), []
    for second in range(5):
        decision = decide(policy, history, CAUSES["killed"], float(second))
        history = decision.history
        delays.append((decision.delay_s, decision.gave_up))
    assert delays == [(0.0, False), (1.0, False), (2.0, False), (3.0, False), (60.0, True)]


def test_what_no_retry_can_mend_is_given_up_at_once():
    decision = decide(RestartPolicy(), History(), CAUSES["corrupt_file"], 0.0)
    assert decision.gave_up
    assert CAUSES["corrupt_file"].remedy is Remedy.NEVER


def test_what_only_its_spec_can_mend_is_tried_again_where_it_served_before():
    policy, cause = RestartPolicy(attempts=1), CAUSES["gpu_out_of_memory"]
    assert decide(policy, History(), cause, 0.0).gave_up
    first = decide(policy, History(), cause, 0.0, patient=True)
    assert (first.gave_up, first.delay_s) == (False, 0.0)
    assert decide(policy, first.history, cause, 1.0, patient=True).gave_up  # within its budget
    assert decide(policy, History(), CAUSES["bad_flag"], 0.0, patient=True).gave_up


@given(st.lists(st.floats(0, 1e6), max_size=40), st.integers(0, 10), st.floats(1, 1000))
def test_the_budget_is_never_exceeded_within_its_window(times, attempts, within):
    policy = RestartPolicy(attempts=attempts, within_s=within)
    history = History()
    restarts = []
    for now in sorted(times):
        decision = decide(policy, history, CAUSES["killed"], now)
        history = History.decode(decision.history.encode())
        if not decision.gave_up:
            restarts.append(now)
        assert 0.0 <= decision.delay_s <= max(policy.backoff_max_s, policy.retry_after_giving_up_s)
    for start in restarts:
        assert sum(start <= now <= start + within for now in restarts) <= max(attempts, 0) + 1


def test_a078_ports_are_unique_free_and_from_the_range():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert not is_free("127.0.0.1", number)
        ports = Ports(EnginesSettings(port_min=max(1_024, number), port_max=min(65_535, number + 20)))
        first, second = ports.reserve("a", None), ports.reserve("b", None)
        assert len({first, second, number}) == 3
        assert ports.reserve("a", None) == first or is_free("127.0.0.1", first)
        with pytest.raises(RefusedError, match="taken"):
            ports.reserve("c", second)
        with pytest.raises(RefusedError, match="taken"):
            ports.reserve("c", number)
        ports.free("b")
        assert ports.reserve("c", second) == second
