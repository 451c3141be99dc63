"""GPUs through the unmodified pynvml over the stand-in library: every figure, every way a driver can fail."""

import pynvml
import pytest

from actors.metrics.gpu import RETRY_S, Gpus, uuids_within
from actors.metrics.gpu_queries import QUERIES
from tests.fakes.nvml.machine import loaded

FIRST, SECOND = (f"GPU-00000000-0000-0000-0000-{number:012d}" for number in range(2))


@pytest.fixture
def gpus(machine, version):
    made = Gpus(version)
    assert made.start()
    yield made
    made.stop()


def test_every_figure_is_what_the_machine_has(machine, gpus):
    machine.gpu(
        0,
        name="NVIDIA H100 80GB HBM3",
        memory_total=80 << 30,
        memory_used=3 << 30,
        utilization=57,
        memory_utilization=21,
        temperature=61,
        slowdown=87,
        power_mw=345_600,
        power_limit_mw=700_000,
        energy_mj=9_000,
        fan=40,
        clock_sm=1_755,
        clock_memory=2_619,
        reasons=hex(0x40 | 0x04),
        ecc_corrected=5,
        ecc_uncorrectable=1,
        rows_corrected=2,
        rows_uncorrectable=1,
        rows_pending=1,
        rows_failed=0,
        pcie_generation=5,
        pcie_width=8,
        pcie_width_max=16,
        pcie_replays=3,
        pcie_sent_kib=100,
        pcie_received_kib=200,
        links=18,
        links_up=17,
        link_errors=2,
        processes="101:1024,102:?",
    )
    figures = gpus.sample()
    assert list(figures) == [FIRST, SECOND] == list(gpus.uuids)
    assert figures[FIRST] == {
        "name": "NVIDIA H100 80GB HBM3",
        "slowdown_c": 87,
        "pci_address": "0000:3b:00",
        "memory_total_bytes": 80 << 30,
        "memory_used_bytes": 3 << 30,
        "utilization": 0.57,
        "memory_utilization": 0.21,
        "temperature_c": 61,
        "power_w": pytest.approx(345.6),
        "power_limit_w": pytest.approx(700),
        "energy_j_total": pytest.approx(9),
        "fan_share": pytest.approx(0.4),
        "clock_sm_mhz": 1_755,
        "clock_memory_mhz": 2_619,
        "throttle_thermal": True,
        "throttle_brake": False,
        "throttle_power_cap": True,
        "ecc_corrected": 5,
        "ecc_uncorrectable": 1,
        "remapped_rows": 3,
        "remap_pending": 1,
        "remap_failure": 0,
        "pcie_generation": 5,
        "pcie_width": 8,
        "pcie_width_max": 16,
        "pcie_replays": 3,
        "pcie_sent_bytes_per_s": 100 << 10,
        "pcie_received_bytes_per_s": 200 << 10,
        "nvlinks_up": 17,
        "nvlink_errors": 6,
        "processes": ((101, 1_024), (102, None)),
        "mig": None,
        "lost": 0,
    }
    assert gpus.driver() == {"version": "580.65.06", "mismatch": 0, "gpus_missing": 0}


SYMBOLS = {
    "address": "nvmlDeviceGetPciInfo_v3",
    "name": "nvmlDeviceGetName",
    "slowdown": "nvmlDeviceGetTemperatureThreshold",
    "memory": "nvmlDeviceGetMemoryInfo",
    "load": "nvmlDeviceGetUtilizationRates",
    "temperature": "nvmlDeviceGetTemperature",
    "power": "nvmlDeviceGetPowerUsage",
    "clock": "nvmlDeviceGetClockInfo",
    "memory clock": "nvmlDeviceGetClockInfo",
    "reasons": "nvmlDeviceGetCurrentClocksEventReasons",
    "power limit": "nvmlDeviceGetEnforcedPowerLimit",
    "energy": "nvmlDeviceGetTotalEnergyConsumption",
    "fan": "nvmlDeviceGetFanSpeed",
    "corrected": "nvmlDeviceGetTotalEccErrors",
    "uncorrectable": "nvmlDeviceGetTotalEccErrors",
    "rows": "nvmlDeviceGetRemappedRows",
    "link": "nvmlDeviceGetCurrPcieLinkWidth",
    "replays": "nvmlDeviceGetPcieReplayCounter",
    "traffic": "nvmlDeviceGetPcieThroughput",
    "nvlinks": "nvmlDeviceGetNvLinkState",
    "processes": "nvmlDeviceGetComputeRunningProcesses_v3",
    "mig": "nvmlDeviceGetMigMode",
}
assert {query.name for query in QUERIES} < SYMBOLS.keys()
NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND, UNKNOWN, RESET_REQUIRED = 3, 4, 13, 999, 16


@pytest.mark.parametrize("query", SYMBOLS)
@pytest.mark.parametrize("code", [NOT_SUPPORTED, NO_PERMISSION])
def test_a_figure_that_a_gpu_does_not_have_is_absent_never_zero_and_not_asked_again(machine, version, query, code):
    made = Gpus(version)
    machine.gpu(0, **{f"fail.{SYMBOLS[query]}": code})
    assert made.start()
    whole, part = made.sample(0.0)[SECOND], made.sample(20.0)[FIRST]
    machine.gpu(0, **{f"fail.{SYMBOLS[query]}": 0})
    later = made.sample(40.0)[FIRST]
    made.stop()
    gone = set(whole) - set(part)
    assert gone
    assert not gone & set(later), "it was remembered"
    assert set(part) <= set(whole) | {"unified"}


def test_a_call_that_fails_once_is_asked_again_and_its_old_figure_is_not_shown(machine, gpus):
    gpus.sample(0.0)
    machine.gpu(0, **{"fail.nvmlDeviceGetFanSpeed": UNKNOWN})
    assert "fan_share" not in gpus.sample(20.0)[FIRST]
    machine.gpu(0, **{"fail.nvmlDeviceGetFanSpeed": 0})
    assert "fan_share" in gpus.sample(40.0)[FIRST]


@pytest.mark.parametrize("code", [UNKNOWN, NOT_SUPPORTED])
def test_what_one_gpu_does_not_answer_is_not_shown_with_anothers_figure(machine, gpus, code):
    machine.gpu(0, temperature=11, utilization=31, **{"fail.nvmlDeviceGetUtilizationRates": code})
    machine.gpu(1, temperature=22, utilization=32)
    for now_s in (0.0, 1.0):
        found = gpus.sample(now_s)
        assert (found[FIRST]["temperature_c"], found[FIRST].get("utilization")) == (11, None)
        assert (found[SECOND]["temperature_c"], found[SECOND]["utilization"]) == (22, 0.32)


def test_an_older_driver_has_the_older_name_of_the_reasons(machine, gpus):
    machine.gpu("all", **{"fail.nvmlDeviceGetCurrentClocksEventReasons": FUNCTION_NOT_FOUND}, reasons=0x80)
    assert gpus.sample()[FIRST]["throttle_brake"] is True


def test_dear_figures_are_asked_rarely_and_fixed_ones_once(machine, gpus):
    gpus.sample(0.0)
    machine.gpu(0, fan=99, temperature=77, name="other")
    figures = gpus.sample(14.0)[FIRST]
    assert (figures["fan_share"], figures["temperature_c"], figures["name"]) == (0.3, 77, "Stand-in GPU")
    assert gpus.sample(15.0)[FIRST]["fan_share"] == 0.99


@pytest.mark.parametrize("how", [{"lost": 1}, {"fail.nvmlDeviceGetMemoryInfo": RESET_REQUIRED}])
def test_a_lost_gpu_says_so_alone_and_comes_back(machine, gpus, how):
    gpus.sample(0.0)
    machine.gpu(0, **how)
    figures = gpus.sample(1.0)
    assert figures[FIRST] == {
        "name": "Stand-in GPU",
        "pci_address": "0000:3b:00",
        "slowdown_c": 90,
        "lost": 1,
    }
    assert figures[SECOND]["lost"] == 0
    machine.gpu(0, **dict.fromkeys(how, 0))
    assert gpus.sample(30.0)[FIRST]["lost"] == 1, "a lost one is asked once a minute"
    assert gpus.sample(1.0 + RETRY_S)[FIRST]["temperature_c"] == 40


def test_a_driver_that_is_unloaded_is_taken_up_again_and_a_gpu_that_stays_away_is_missing(machine, gpus):
    gpus.sample(0.0)
    machine.system(unloaded=1)
    gpus.sample(1.0)
    assert gpus.sample(2.0) == {}
    assert gpus.driver()["gpus_missing"] is None
    machine.system(unloaded=0, gpus=1)
    assert gpus.sample(30.0) == {}, "not before its time"
    assert list(gpus.sample(1.0 + RETRY_S)) == [FIRST]
    assert gpus.driver()["gpus_missing"] == 1


def test_a_library_that_does_not_fit_the_driver_is_a_mismatch(machine, version):
    machine.system(mismatch=1)
    gpus = Gpus(version)
    assert not gpus.start()
    assert gpus.driver()["mismatch"] == 1
    assert "mismatch" in gpus.why


def test_a_driver_that_was_changed_under_the_daemon_is_a_mismatch(gpus, version):
    gpus.sample()
    assert gpus.driver()["mismatch"] == 0
    version.write_text("590.1\n")
    gpus.sample(15.0)
    assert gpus.driver()["mismatch"] == 1


class Later:
    """The library of a driver that has dropped what the vendor has announced to drop."""

    def __init__(self, library, *dropped):
        self._library, self._dropped = library, dropped

    def __getitem__(self, name):
        if name in self._dropped:
            raise AttributeError(name)
        return self._library[name]

    def __getattr__(self, name):
        return self[name]


def test_a_driver_without_the_old_word_for_temperature_is_asked_by_the_new_one(machine, version, monkeypatch):
    machine.gpu(0, temperature=61)
    older = Gpus(version)
    older.start()  # brings the library in
    monkeypatch.setattr(pynvml, "nvmlLib", Later(pynvml.nvmlLib, "nvmlDeviceGetTemperature"))
    machine.gpu("all", **{"fail.nvmlDeviceGetTemperature": FUNCTION_NOT_FOUND})
    later = Gpus(version)
    later.start()
    assert later.sample()[FIRST]["temperature_c"] == 61
    later.stop()
    older.stop()


def test_memory_that_may_not_be_seen_is_not_known_rather_than_the_machines_own(machine, gpus):
    machine.gpu(0, **{"fail.nvmlDeviceGetMemoryInfo": NO_PERMISSION})
    machine.gpu(1, **{"fail.nvmlDeviceGetMemoryInfo": NOT_SUPPORTED})
    first, second = (gpus.sample()[uuid] for uuid in (FIRST, SECOND))
    assert not {"unified", "memory_total_bytes", "memory_used_bytes"} & set(first)
    assert second["unified"] is True


def test_an_event_of_no_gpu_is_nobodys(machine, gpus):
    machine.xid(-1, 79)
    machine.xid(1, 31)
    assert gpus.wait_event(5.0) is None
    assert not gpus.deaf
    assert gpus.wait_event(5.0) == (SECOND, 31)


def test_slices_have_their_memory_and_their_parent_no_load(machine, gpus):
    machine.gpu(0, slices=2, memory_total=40, memory_used=4)
    figures = gpus.sample()[FIRST]
    assert figures["mig"] == {
        f"MIG-00000000-0000-0000-000{number}-000000000000": {"memory_total_bytes": 40, "memory_used_bytes": 4}
        for number in range(2)
    }
    assert "utilization" not in figures
    assert "unified" not in figures


def test_no_driver_is_no_gpu_and_no_fault(monkeypatch, version):
    loaded()
    monkeypatch.delenv("FAKE_NVML", raising=False)
    gpus = Gpus(version)
    assert gpus.start() is False
    assert gpus.why
    assert (gpus.sample(), gpus.driver()) == ({}, None)


def test_the_gpus_of_the_start_are_found_within_a_time(machine):
    assert uuids_within(10.0) == (FIRST, SECOND)
    machine.system(hang=1)
    assert uuids_within(0.05) == ()
    machine.system(hang=0)
