"""The step itself: flapping, inhibition, storms, removal, the memory on disk, and properties for any sequence."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.metrics.alerts.rule import Inhibition, Kind, Rule, RuleError, Rules, Test, checked
from actors.metrics.alerts.rules import DEFAULT_RULES
from actors.metrics.alerts.signals import SIGNALS
from actors.metrics.alerts.state import Memory, Moment, Phase, Samples, decode, encode, fingerprint
from actors.metrics.alerts.step import FLAP_QUIET_S, FLAPS, STORM_BURST, STORM_PER_S, causes, firing, step

Test.__test__ = False  # a comparison, not a case
SIGNAL = "late_intervals"
RULES = Rules(DEFAULT_RULES)


def rule(name="late", **changes):
    base = Rule(name, "collector", "warning", (Test(SIGNAL, ">", 1),), "{subject}", "do", clear=(Test(SIGNAL, "<", 1),))
    return replace(base, **changes)


class Run:
    def __init__(self, *rules):
        self.rules, self.memory, self.now_s, self.heard = rules, Memory(), 1_000.0, []

    def look(self, whole=(), boot_id="one", scope="collector", **subjects):
        values = {name: {SIGNAL: value} for name, value in subjects.items()}
        moment = Moment(self.now_s, self.now_s, boot_id)
        self.memory, told = step(Rules(self.rules), self.memory, Samples({scope: values}, frozenset(whole)), moment)
        self.heard += told
        self.now_s += 1
        return [(one.rule, one.subject, one.state) for one in told]


def test_a_flapping_alert_stays_on_is_told_once_and_leaves_after_quiet():
    run, words = Run(rule()), []
    for _ in range(20):
        words += run.look(a=5)
        words += run.look(a=0)
    assert [state for _, _, state in words] == ["firing", "resolved", "firing", "resolved", "firing", "firing"]
    assert run.heard[-1].flapping
    assert len(firing(run.memory)) == 1
    quiet_from = run.now_s
    while run.now_s < quiet_from + FLAP_QUIET_S:
        words += run.look(a=0)
    assert words[-1] == ("late", "a", "resolved")
    assert run.heard[-1].ends_at >= quiet_from + FLAP_QUIET_S - 2
    assert len(words) == FLAPS + 1


def test_a_flapping_alert_that_stays_bad_is_an_ordinary_one_again():
    run = Run(rule())
    for _ in range(FLAPS):
        run.look(a=5)
        run.look(a=0)
    assert run.memory.alerts["late", "a"].flapping
    for _ in range(int(FLAP_QUIET_S) + 2):
        run.look(a=5)
    assert not run.memory.alerts["late", "a"].flapping
    assert (run.heard[-1].state, run.heard[-1].flapping) == ("firing", False)


def test_what_follows_from_a_cause_is_not_told_until_the_cause_ends():
    cause = rule("cause", when=(Test(SIGNAL, ">", 10),), clear=())
    run = Run(cause, rule("effect", inhibited_by=(Inhibition("cause"),)))
    assert run.look(a=20, b=5) == [("cause", "a", "firing"), ("effect", "b", "firing")]
    assert len(firing(run.memory)) == 3
    assert causes(run.rules[1], run.memory.alerts["effect", "a"], run.memory.alerts) == "cause"
    assert run.look(a=5, b=5) == [("cause", "a", "resolved"), ("effect", "a", "firing")]
    assert run.look(a=20, b=5) == [("cause", "a", "firing")], "what was told stays told"
    assert run.look(a=0, b=0) == [("cause", "a", "resolved"), ("effect", "a", "resolved"), ("effect", "b", "resolved")]


def test_a_cause_for_all_holds_back_every_subject():
    cause = rule("cause", when=(Test(SIGNAL, ">", 10),), clear=())
    run = Run(cause, rule("effect", inhibited_by=(Inhibition("cause", same_subject=False),)))
    assert run.look(a=20, b=5) == [("cause", "a", "firing")]


def test_a_storm_is_told_in_part_at_once_and_the_rest_later_and_nothing_is_lost():
    subjects = {f"s{number}": 5 for number in range(100)}
    storm = Rule("alert_storm", "rule", "warning", (Test("held_back", ">", 0),), "{subject}", "do", keep_s=60)
    run = Run(rule(), storm)
    first = run.look(**subjects)
    assert len(first) == STORM_BURST
    words = run.look(**subjects)
    assert ("alert_storm", "late", "firing") in words
    while run.now_s < 1_000 + 400:
        words += run.look(**subjects)
    told = {subject for name, subject, state in [*first, *words] if name == "late" and state == "firing"}
    assert told == set(subjects)
    assert ("alert_storm", "late", "resolved") in words


def test_critical_alerts_are_never_held_back():
    run = Run(rule(severity="critical"))
    assert len(run.look(**{f"s{number}": 5 for number in range(100)})) == 100


def test_an_alert_that_came_and_went_untold_is_never_told():
    subjects = {f"s{number}": 5 for number in range(40)}
    run = Run(rule())
    first = run.look(**subjects)
    told = {subject for _, subject, _ in first}
    words = run.look(**dict.fromkeys(subjects, 0))
    for _ in range(200):
        words += run.look(**dict.fromkeys(subjects, 0))
    assert {subject for _, subject, _ in words} == told
    assert {state for _, _, state in words} == {"resolved"}


def test_a_subject_that_was_removed_on_purpose_ends_its_alerts_and_a_missing_one_does_not():
    run = Run(rule(), rule("slow", for_s=5))
    run.look(a=5)
    assert run.look() == []
    assert run.look(whole=["collector"]) == [("late", "a", "resolved")]
    assert run.heard[-1].text == "it is no longer there"


def test_a_rule_that_is_gone_ends_its_alerts():
    run = Run(rule())
    run.look(a=5)
    run.rules = ()
    assert run.look(a=5) == [("late", "a", "resolved")]


def test_a_sticky_alert_ends_with_the_next_boot_and_an_event_is_counted():
    run = Run(rule("bad", kind=Kind.STICKY, clear=()), rule("event", kind=Kind.EVENT, clear=(), keep_s=10))
    run.look(a=2)
    run.look(a=3)
    assert run.memory.alerts["event", "a"].count == 5
    for _ in range(20):
        run.look(a=0)
    assert [alert.rule for alert in firing(run.memory)] == ["bad"]
    assert run.look(boot_id="two", a=0) == [("bad", "a", "resolved")]


def test_the_memory_on_disk_goes_on_where_it_was_whatever_the_clocks_say():
    run = Run(rule(for_s=0, keep_s=50))
    run.look(a=5)
    for _ in range(30):
        run.look(a=0)
    raw = encode(run.memory, Moment(run.now_s, 0.0))
    run.memory = decode(raw, Moment(5.0, 0.0))
    run.now_s = 5.0
    words = [word for _ in range(20) for word in run.look(a=0)]
    assert words == []
    assert [word for _ in range(3) for word in run.look(a=0)] == [("late", "a", "resolved")]
    assert run.heard[-1].sequence == 2


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"format": 2}', b'{"format": 1, "sequence": 1, "alerts": [{"x": 1}]}'])
def test_a_memory_that_is_none_of_ours_is_refused(raw):
    with pytest.raises(ValueError, match=r"."):
        decode(raw, Moment(0, 0))


def test_no_memory_is_an_empty_one():
    assert decode(None, Moment(0, 0)) == Memory()


def test_a_fingerprint_is_of_what_it_is_about():
    words = [("n", "r", "s", "x"), ("n", "r", "s", "y"), ("m", "r", "s", "x"), ("n", "r", "sx", "")]
    assert len({fingerprint(*word) for word in words}) == len(words)
    assert fingerprint(*words[0]) == fingerprint(*words[0])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"scope": "moon"}, "no scope"),
        ({"when": ()}, "nothing raises"),
        ({"for_s": -1}, "below zero"),
        ({"when": (Test("mood", ">", 1),)}, "no signal 'mood'"),
        ({"text": "{mood}"}, "no signal 'mood'"),
        ({"clear": (Test(SIGNAL, "<", 2),)}, "at once"),
        ({"clear": (Test(SIGNAL, ">", 2),)}, "at once"),
        ({"kind": Kind.STICKY}, "sticky"),
    ],
)
def test_a_rule_that_says_nothing_sensible_is_refused(changes, why):
    with pytest.raises(RuleError, match=why):
        rule(**changes)


def test_rules_that_do_not_fit_together_are_refused():
    with pytest.raises(RuleError, match="two of this name"):
        checked((rule(), rule()))
    with pytest.raises(RuleError, match="no other rule"):
        checked((rule(inhibited_by=(Inhibition("moon"),)),))


VALUES = st.lists(st.sampled_from([None, 0, 1, 5]), max_size=120)
TIMES = st.integers(0, 4)


@given(VALUES, TIMES, TIMES, st.integers(0, 200))
@settings(max_examples=300)
def test_for_any_sequence_transitions_alternate_and_only_knowledge_ends_an_alert(values, for_s, keep_s, restart_at):
    run, bad_for, clear_for, states = Run(rule(for_s=for_s, keep_s=keep_s)), 0, 0, []
    for index, value in enumerate(values):
        if index == restart_at:
            moment = Moment(run.now_s, run.now_s, "one")
            run.memory = decode(json.loads(json.dumps(encode(run.memory, moment).decode())).encode(), moment)
        told = run.look(a=value)
        bad_for = bad_for + 1 if value == 5 or (value is None and bad_for) else 0
        clear_for = clear_for + 1 if value == 0 or (value is None and clear_for) else 0
        for _, _, state in told:
            if state == "firing" and not run.heard[-1].flapping:
                assert value == 5
                assert bad_for > for_s
            if state == "resolved":
                assert value == 0
                assert clear_for > keep_s
            states.append(state)
    plain = [state for state, one in zip(states, run.heard, strict=True) if not one.flapping]
    assert plain == ["firing", "resolved"] * (len(plain) // 2) + ["firing"] * (len(plain) % 2)
    assert [one.sequence for one in run.heard] == list(range(1, len(run.heard) + 1))


@given(st.lists(st.dictionaries(st.sampled_from([f"s{n}" for n in range(50)]), st.sampled_from([0, 5])), max_size=40))
@settings(max_examples=100)
def test_for_any_storm_the_limit_holds_and_what_is_on_is_told_in_the_end(looks):
    run = Run(rule())
    for subjects in looks:
        run.look(**subjects)
    assert len(run.heard) <= STORM_BURST + STORM_PER_S * len(looks) + 1
    for _ in range(200):
        run.look()
    heard = {one.subject: one.state for one in run.heard}
    on = {alert.subject for alert in firing(run.memory)}
    assert {subject for subject, state in heard.items() if state == "firing"} == on
    assert all(alert.phase is not Phase.PENDING for alert in run.memory.alerts.values())


@given(st.sampled_from(sorted(SIGNALS)), st.data())
def test_of_subjects_without_memory_exactly_what_is_raised_is_remembered(scope, data):
    values = st.one_of(st.none(), st.just("words"), st.integers(-1, 6), st.floats(0.0, 200.0))
    figures = data.draw(st.dictionaries(st.sampled_from(sorted(SIGNALS[scope])), values))
    memory, _ = step(RULES, Memory(), Samples({scope: {"one": figures}}), Moment(1_000.0, 5_000.0))
    raised = {rule.name for rule in DEFAULT_RULES if rule.scope == scope and rule.raised(figures)}
    assert {name for name, _ in memory.alerts} == raised


def _changed(old, new):
    return {name for name, value in new.items() if name not in old or old[name] != value}


def said(transitions):
    return sorted((one.rule, one.subject, one.state, one.value or 0.0) for one in transitions)


@given(st.data())
@settings(max_examples=60)
def test_to_leave_out_what_did_not_change_changes_nothing(data):
    scope = data.draw(st.sampled_from(sorted(SIGNALS)))
    value = st.sampled_from([None, 0, 1, 6, 97.0])
    looks = data.draw(
        st.lists(
            st.fixed_dictionaries(
                {}, optional=dict.fromkeys("abc", st.dictionaries(st.sampled_from(sorted(SIGNALS[scope])), value))
            ),
            min_size=1,
            max_size=12,
        )
    )
    all_of_it, fresh_alone, before = Memory(), Memory(), {}
    for turn, values in enumerate(looks * 2):
        now = Moment(1_000.0 + 40 * turn, 5_000.0 + 40 * turn)
        fresh = {scope: {name: _changed(before.get(name, {}), figures) for name, figures in values.items()}}
        fresh = {scope: {name: signals for name, signals in fresh[scope].items() if signals or name not in before}}
        all_of_it, heard = step(RULES, all_of_it, Samples({scope: values}), now)
        fresh_alone, told = step(RULES, fresh_alone, Samples({scope: values}, fresh=fresh), now)
        assert said(told) == said(heard)
        assert dict(fresh_alone.alerts) == dict(all_of_it.alerts)
        before = values
