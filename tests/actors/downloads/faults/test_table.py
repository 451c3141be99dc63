"""The 24 faults of the table, by row: right bytes or a clear error in time, never wrong bytes as success."""

import pytest

from actors.downloads.errors import DownloadError, SourceError, TransferError, WrongBytesError
from tests.actors.downloads.faults.conftest import BODY

pytestmark = pytest.mark.usefixtures("several")
SIZE = len(BODY)
PASSING = {
    1: "ok",
    2: "norange",
    3: "cutdeny=1000000",
    5: "cut1=100000",
    6: "cut=100000",
    7: "reset=100000",
    8: "stall1=100000",
    9: "stall=200000",
    10: "drip1=1000",
    11: "e500=2",
    12: "e503=2",
    13: "e429=2",
    15: "deny=1",
    19: "rot1=2000000",
    21: "lie206",
    22: "wrong206",
}
STAYING = {
    4: ("cutflip=1000000", WrongBytesError),
    14: ("e503=100000", TransferError),
    16: ("flip=1", WrongBytesError),
    17: ("flipsilent=1", WrongBytesError),
    18: ("rot=2000000", WrongBytesError),
    20: ("short", WrongBytesError),
    23: ("gzip", WrongBytesError),
    24: ("html", WrongBytesError),
}
LATER = {16, 17}
"""Their faults come with the second request: where one answer brings all they do not come."""
SENT_MOST = 2.1
"""Times the file that any origin may have to send: once, and once more when its bytes were wrong."""
SENT_MOST_MIXED = 3.1
"""Where it changed on the way: what is of one version, of the other, and the whole at last."""


@pytest.mark.parametrize("row", PASSING)
def test_a_fault_that_can_be_passed_ends_in_the_right_bytes(bench, row):
    origin = bench.origin(PASSING[row], signed=row in {3, 15})
    brought = bench.bring(bench.file(origin.url))
    assert bench.read() == BODY
    assert bench.there == {"model.bin"}
    assert not list((bench.folder / "work").iterdir()), "nothing is left over"
    assert origin.sent <= SENT_MOST * SIZE
    assert brought.received_bytes >= SIZE


@pytest.mark.parametrize("row", STAYING)
def test_a_fault_that_stays_ends_in_a_clear_error_and_nothing_is_there(bench, row, several):
    fault, kind = STAYING[row]
    origin = bench.origin(fault)
    if several == "all" and row in LATER:
        bench.bring(bench.file(origin.url))
        assert bench.read() == BODY
        return
    with pytest.raises(kind) as caught:
        bench.bring(bench.file(origin.url))
    assert isinstance(caught.value, DownloadError)
    assert caught.value.code in {"E_WRONG_BYTES", "E_NETWORK"}
    assert caught.value.why
    assert caught.value.do
    assert not bench.there
    assert origin.sent <= (SENT_MOST_MIXED if row in {4, 16} else SENT_MOST) * SIZE


@pytest.mark.parametrize(("row", "fault"), [(4, "cutflip=1000000"), (16, "flip=1"), (18, "rot=2000000"), (24, "html")])
def test_what_one_mirror_has_wrong_another_mends(bench, row, fault):
    bad, good = bench.origin(fault), bench.origin("ok", etag='"another"')
    bench.bring(bench.file(bad.url, good.url))
    assert bench.read() == BODY
    assert good.sent <= 1.1 * SIZE


def test_the_table_has_all_its_rows():
    assert sorted([*PASSING, *STAYING]) == list(range(1, 25))


def test_an_address_that_asks_for_a_credential_that_is_not_there_says_so(bench):
    origin = bench.origin(signed=True)
    with pytest.raises(SourceError, match="cannot be had"):
        bench.bring(bench.file(origin.url.replace("/file", "/signed/9")))
