"""The table of figures is what is measured, and its page is one that Prometheus takes."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.api.exposition import render
from actors.figures import PREFIX, ROOMS
from actors.metrics import engine_latency, engine_schema
from tests.actors import grafana_board
from tests.actors.metrics.test_cgroup import FIGURES as CONTAINER
from tests.actors.metrics_document import document
from tests.bed.observers import promtool


def test_the_page_of_metrics_is_current():
    page = Path(__file__).parents[2] / "docs" / "metrics.md"
    assert page.read_text() == document(), "run: python -m tests.actors.metrics_document > docs/metrics.md"


def test_every_field_of_an_engines_page_is_a_figure():
    known = ROOMS["engines"].figures
    assert set(engine_schema.FIELDS) <= set(known)
    for field in engine_latency.FIELDS:
        assert {f"{field}_{part}_s" for part in ("p50", "p95", "mean")} <= set(known)
    assert set(CONTAINER) <= set(ROOMS["containers"].figures)


def whole():
    """A snapshot in which every figure is there."""
    found = {}
    for name, room in ROOMS.items():
        values = {
            figure: {"k": 1} if what.label and what.kind != "info" else "text" if what.kind == "info" else 2
            for figure, what in room.figures.items()
        }
        found[name] = {'a"b\\c\nd': values} if room.label else values
    found["engines"]['a"b\\c\nd']["requests.stop_total"] = 3
    return found


def test_every_figure_is_on_the_page_once_and_promtool_has_no_word_against_it():
    page = render(whole())
    done = promtool("check", "metrics", text=page)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    families = {family.name: family for family in text_string_to_metric_families(page)}
    wanted = {
        f"{PREFIX}_{room.prometheus}_{what.prometheus}".removesuffix("_total")
        for room in ROOMS.values()
        for what in room.figures.values()
        if what.prometheus
    }
    assert wanted == set(families) - {f"{PREFIX}_engine_requests_by_result"}
    assert families["mosalama_gpu_clock_sm_hertz"].samples[0].value == 2e6
    assert families["mosalama_engine_running" if False else "mosalama_engine_requests_running"].samples[0].labels == {
        "engine": 'a"b\\c\nd'
    }
    assert families["mosalama_engine_requests_by_result"].samples[0].labels["result"] == "stop"


@pytest.mark.parametrize("name", ROOMS)
def test_what_is_not_known_is_absent(name):
    room = ROOMS[name]
    values = dict.fromkeys(room.figures)
    texts = [figure for figure, what in room.figures.items() if what.kind == "info"]
    for figure in texts:
        del values[figure]
    assert render({name: {"x": values} if room.label else values}) == ""


DOCS = Path(__file__).parents[2] / "docs"


def test_the_rules_for_prometheus_are_rules_and_name_what_is_there():
    done = promtool("check", "rules", str(DOCS / "prometheus" / "rules.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert named((DOCS / "prometheus" / "rules.yml").read_text()) <= families()


def test_the_board_is_current_and_names_what_is_there():
    written = (DOCS / "grafana" / "mosalamaagent.json").read_text()
    assert written == grafana_board.text(), (
        "run: python -m tests.actors.grafana_board > docs/grafana/mosalamaagent.json"
    )
    assert named(written) <= families()


def named(text):
    return {
        name for name in re.findall(r"mosalama_[a-z0-9_]+", text) if not name.startswith("mosalama_records")
    } - RECORDS


RECORDS = {"mosalama_engine_generated_tokens", "mosalama_gpu_power_watts"}
"""Parts of the names of recorded series."""


def families():
    return {line.split()[2] for line in render(whole()).splitlines() if line.startswith("# TYPE")}
