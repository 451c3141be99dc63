"""Ready or not, and why: each check with its age."""

import pytest

from actors.api.readiness import SNAPSHOT_MAX_S, readiness

SNAPSHOT = {
    "host": {"docker_up": True},
    "collectors": {"docker": {"at": 98.0}, "gpu": {"at": 99.0}},
}
AGES = {"snapshot": 0.5, "engines": 7.0}
LINK = {"state": "waiting"}


def ready(snapshot=SNAPSHOT, ages=AGES):
    return readiness(snapshot, ages, LINK, 100.0)


def test_all_is_well_without_a_master():
    found = ready()
    assert found["ready"]
    assert found["link"] == LINK
    assert {name: check["age_s"] for name, check in found["checks"].items()} == {
        "sampled": 0.5,
        "engines": 7.0,
        "docker": 2.0,
        "gpus": 1.0,
    }


@pytest.mark.parametrize(
    ("snapshot", "ages", "which"),
    [
        (None, {}, {"sampled", "engines", "docker", "gpus"}),
        (SNAPSHOT, AGES | {"snapshot": SNAPSHOT_MAX_S + 1}, {"sampled"}),
        (SNAPSHOT, AGES | {"engines": None}, {"engines"}),
        (SNAPSHOT | {"host": {"docker_up": False}}, AGES, {"docker"}),
        (SNAPSHOT | {"host": {}}, AGES, {"docker"}),
        (SNAPSHOT | {"collectors": {"docker": {"at": 98.0}}}, AGES, {"gpus"}),
    ],
)
def test_what_is_not_well_is_named_with_its_reason(snapshot, ages, which):
    found = ready(snapshot, ages)
    assert not found["ready"]
    bad = {name: check["why"] for name, check in found["checks"].items() if not check["ok"]}
    assert set(bad) == which
