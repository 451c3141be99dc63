"""The kernel's tables of sockets, and what is counted in them."""

import socket
from os import getpid

from actors.engines.sockets import connections, count

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LISTENS = "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1\n"
FROM_ELSEWHERE = "   1: 020011AC:1F90 010011AC:CFBC 01 00000000:00000000 00:00000000 00000000 0 0 2\n"
CLOSING = FROM_ELSEWHERE.replace(" 01 ", " 08 ")
FROM_INSIDE = "   2: 0100007F:1F90 0100007F:CFBE 01 00000000:00000000 00:00000000 00000000 0 0 3\n"
GOES_OUT = "   3: 020011AC:CFBF 010011AC:0050 01 00000000:00000000 00:00000000 00000000 0 0 4\n"
MAPPED = (
    "   4: 0000000000000000FFFF0000020011AC:1F90 0000000000000000FFFF00000100007F:CFBE 01 0:0 0:0 0 0 0 5\n"
    "   5: 0000000000000000FFFF0000020011AC:1F90 0000000000000000FFFF0000010011AC:CFBE 01 0:0 0:0 0 0 0 6\n"
)


def test_what_comes_from_elsewhere_to_a_listening_port_counts():
    assert count(HEAD + LISTENS) == 0
    assert count(HEAD + LISTENS + FROM_ELSEWHERE + CLOSING + FROM_INSIDE + GOES_OUT) == 1
    assert count(HEAD + FROM_ELSEWHERE) == 0  # nobody listens: it went out
    assert count(HEAD + LISTENS + MAPPED) == 1


def test_of_a_process_that_is_gone_nothing_is_known(tmp_path):
    assert connections(0) is None
    assert connections(1, tmp_path) is None
    with socket.create_server(("127.0.0.1", 0)):
        assert isinstance(connections(getpid()), int)
