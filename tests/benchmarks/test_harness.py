import json
import subprocess
import sys

import pytest

from benchmarks import __main__ as command
from benchmarks.harness import NotMeasuredError, Result, Samples, interleave, repeat

KEYS = {"metric", "unit", "better", "ours", "peer", "peer_name", "ratio", "target", "met"}


def test_a_target_bounds_ours_alone_and_the_ratio_beside_a_peer():
    alone = Result("idle_mib", "MiB", "lower", 64.0, target=64.0)
    beside = Result("tell_per_s", "1/s", "higher", 900.0, peer=1000.0, peer_name="raw", target=0.95)
    assert (alone.met, alone.ratio) == (True, None)
    assert (beside.met, beside.ratio) == (False, 0.9)


def test_without_a_target_nothing_is_met_or_missed():
    assert Result("x", "s", "lower", 1.0).met is None


def test_a_ratio_to_a_peer_of_zero_is_unknown_and_not_met():
    row = Result("lost", "1", "lower", 0.0, peer=0.0, peer_name="stock", target=1.0)
    assert (row.ratio, row.met) == (None, False)


def test_a_peer_without_a_name_and_a_value_that_is_no_number_are_refused():
    with pytest.raises(ValueError, match="come together"):
        Result("x", "s", "lower", 1.0, peer=2.0)
    with pytest.raises(ValueError, match="not a finite number"):
        Result("x", "s", "lower", float("nan"))


def test_a_row_has_exactly_the_keys_of_the_contract():
    assert set(Result("x", "s", "lower", 1.23456789).row()) == KEYS
    assert Result("x", "s", "lower", 1.23456789).row()["ours"] == 1.23457


def test_rounds_hold_every_contender_once_and_the_warm_up_is_thrown_away():
    calls = []

    def contender(name):
        calls.append(name)
        return float(len(calls))

    taken = interleave({name: lambda n=name: contender(n) for name in "abc"}, rounds=6, warmup=1)
    rounds = [calls[i : i + 3] for i in range(0, len(calls), 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1
    assert all(len(samples.values) == 6 and min(samples.values) > 3 for samples in taken.values())


def test_a_median_of_fewer_than_five_is_refused():
    with pytest.raises(ValueError, match="at least 5"):
        repeat(lambda: 1.0, rounds=4)


def test_percentiles_are_by_nearest_rank():
    samples = Samples(tuple(float(i) for i in range(1, 101)))
    assert (samples.percentile(99), samples.percentile(50), samples.median) == (99.0, 50.0, 50.5)
    assert Samples((5.0,)).percentile(99) == 5.0
    with pytest.raises(ValueError, match="no sample"):
        Samples(())


class Module:
    """Measures one thing."""

    __doc__ = "Measures one thing."
    NAME = "one"

    def __init__(self, run):
        self.run = run


def test_json_is_one_object(monkeypatch, capsys):
    module = Module(lambda: [Result("x", "s", "lower", 2.0, target=1.0)])
    monkeypatch.setattr(command, "discover", lambda: {"one": module})
    assert command.main(["one", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"name", "machine", "results"}
    assert document["name"] == "one"
    assert [row["met"] for row in document["results"]] == [False]
    assert {"cpu", "cores", "memory_gib", "kernel", "python"} <= set(document["machine"])


def test_a_missed_target_ends_strictly_with_one(monkeypatch):
    module = Module(lambda: [Result("x", "s", "lower", 2.0, target=1.0)])
    monkeypatch.setattr(command, "discover", lambda: {"one": module})
    assert command.main(["one", "--strict"]) == 1


def test_what_could_not_be_measured_says_why_and_ends_with_two(monkeypatch, capsys):
    def run():
        raise NotMeasuredError("aria2c", "it is not installed", "On Debian: apt install aria2")

    monkeypatch.setattr(command, "discover", lambda: {"one": Module(run)})
    assert command.main(["one", "--json"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "apt install aria2" in said.err


def test_what_a_run_and_its_processes_write_is_no_part_of_the_answer(monkeypatch, capfd):
    def run():
        print("a log line")
        subprocess.run([sys.executable, "-c", "print('of a child')"], check=True)
        return [Result("x", "s", "lower", 1.0)]

    monkeypatch.setattr(command, "discover", lambda: {"one": Module(run)})
    assert command.main(["one", "--json"]) == 0
    said = capfd.readouterr()
    assert json.loads(said.out)["results"][0]["metric"] == "x"
    assert "a log line" in said.err
    assert "of a child" in said.err


def test_an_unknown_name_tells_the_known_ones(monkeypatch, capsys):
    monkeypatch.setattr(command, "discover", lambda: {"one": Module(list)})
    assert command.main(["two"]) == 2
    assert "one" in capsys.readouterr().err


def test_the_list_and_the_table_are_shown(monkeypatch, capsys):
    rows = [Result("x", "s", "higher", 2.0, peer=1.0, peer_name="raw", target=1.5)]
    monkeypatch.setattr(command, "discover", lambda: {"one": Module(lambda: rows)})
    assert command.main([]) == 0
    assert "Measures one thing." in capsys.readouterr().out
    assert command.main(["one"]) == 0
    assert "≥ 1.5 x" in capsys.readouterr().out


def test_every_module_found_here_has_a_sentence_and_a_name_of_its_own():
    found = command.discover()
    for name, module in found.items():
        assert module.__name__ == f"benchmarks.{name}"
        assert module.__doc__
        assert callable(module.run)
