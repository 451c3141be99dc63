from random import Random

from actors.link.reconnect import RETURN_TRIES, Reconnect
from config.link import LinkSettings

SETTINGS = LinkSettings(masters=("https://a", "https://b", "https://c"))


def delays(rules, *, slow=False, count=200):
    return [rules.delay_s(Random(seed), slow=slow) for seed in range(count)]


def test_masters_are_tried_in_turn_and_the_one_that_held_is_kept():
    rules, seen = Reconnect(SETTINGS), []
    for _ in range(4):
        seen.append(rules.address())
        rules.failed()
    assert seen == ["https://a", "https://b", "https://c", "https://a"]
    rules = Reconnect(SETTINGS)
    rules.ended(SETTINGS.stable_after_s)
    assert rules.address() == "https://a"


def test_delays_are_full_jitter_under_a_doubling_cap_of_a_minute():
    rules = Reconnect(SETTINGS)
    rules.failed()
    assert max(delays(rules)) <= SETTINGS.first_retry_max_s
    for cap in (4, 8, 16, 32, 60, 60):
        rules.failed()
        taken = delays(rules)
        assert cap * 0.9 < max(taken) <= cap
        assert min(taken) < cap * 0.1


def test_only_a_stable_session_makes_failures_forgotten():
    rules = Reconnect(SETTINGS, failures=5)
    rules.ended(SETTINGS.stable_after_s - 1)
    assert rules.failures == 6
    rules.ended(SETTINGS.stable_after_s)
    assert rules.failures == 0


def test_a_master_that_says_goodbye_says_when_and_at_what_pace():
    rules = Reconnect(SETTINGS, failures=5)
    rules.asked(1.0, 3.0)
    rules.ended(5.0)
    assert 1.0 <= rules.delay_s(Random(1), slow=False) <= 4.0
    for seed in range(RETURN_TRIES - 1):  # it is not back yet: nobody is punished for having come too early
        rules.failed()
        assert rules.delay_s(Random(seed), slow=False) <= 3.0
    rules.failed()
    assert max(delays(rules)) <= SETTINGS.first_retry_max_s
    for cap in (4, 8, 16):  # it is away for longer: the cap doubles from its beginning
        rules.failed()
        assert cap * 0.9 < max(delays(rules)) <= cap


def test_an_earlier_goodbye_means_nothing_once_a_session_stood():
    rules = Reconnect(SETTINGS)
    rules.asked(0.0, 0.5)
    rules.ended(SETTINGS.stable_after_s)
    rules.delay_s(Random(1), slow=False)
    rules.ended(SETTINGS.stable_after_s)
    assert SETTINGS.first_retry_max_s * 0.9 < max(delays(rules)) <= SETTINGS.first_retry_max_s


def test_who_was_deregistered_asks_once_an_hour():
    rules = Reconnect(SETTINGS)
    assert all(3_000 < delay < 4_000 for delay in delays(rules, slow=True))
