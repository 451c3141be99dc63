"""Where a signed command may lead: schemes, private networks however they are written, redirects, rebinding.

Row 36 of the fault list: redirects in circles, to another host, out of TLS; the token stays at home.
"""

import http.server
import threading

import pytest

from actors.downloads.address import check_address, checked, is_public, origin_of, redirected
from actors.downloads.control import converse
from actors.downloads.errors import DownloadError, SourceError, TransferError
from config.downloads import DownloadsSettings


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/x",
        "gopher://example.org",
        "//example.org/x",
        "http://user@example.org/x",
        "http://:pw@example.org/",
        "http://exa mple.org/",
        "http://example.org\\@127.0.0.1/",
        "http://example.org/\r\nX: y",
        "http://example.org:99999/",
        "http://[::1/",
        "http:///nohost",
        "http://example.org/" + "x" * 9_000,
    ],
)
def test_only_plain_web_addresses_are_addresses(url):
    with pytest.raises(SourceError) as caught:
        checked(url, (), lambda _host, _port: ["8.8.8.8"])
    assert caught.value.code == "E_POLICY.url"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "2002:0a00:0001::",
        "64:ff9b::a00:1",
        "2001:0:0a00:1::",
    ],
)
def test_no_private_address_in_any_wrapping_is_public(address):
    assert not is_public(address)
    with pytest.raises(SourceError) as caught:
        checked("https://models.example.org/x", (), lambda _host, _port: [address])
    assert caught.value.code == "E_POLICY.url"


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1", "64:ff9b::808:808"])
def test_public_addresses_are(address):
    assert check_address("https://models.example.org/x", (), lambda _host, _port: [address]) == (address, 443)


@pytest.mark.parametrize("host", ["0x7f000001", "2130706433", "127.1", "localhost", "LOCALHOST.", "[::ffff:127.0.0.1]"])
def test_however_a_loopback_host_is_written_it_is_refused(host):
    with pytest.raises(DownloadError):
        checked(f"http://{host}/x", ())


def test_one_private_address_among_public_ones_is_refused():
    with pytest.raises(SourceError):
        checked("https://models.example.org/x", (), lambda _host, _port: ["8.8.8.8", "10.0.0.1"])


def test_a_host_that_is_allowed_may_be_private_whatever_its_case():
    assert checked("http://Models.LOCAL/x", ("models.local",), lambda _host, _port: ["10.0.0.1"]) == (("10.0.0.1", 80),)


def test_a_name_server_that_answers_nothing_is_an_error_that_may_pass():
    def look_up(_host, _port):
        raise OSError("no answer")

    with pytest.raises(TransferError) as caught:
        checked("https://models.example.org/x", (), look_up)
    assert caught.value.retry


@pytest.mark.parametrize(
    "location", ["http://example.org/x", "file:///etc/passwd", "https://u:p@example.org/", "javascript:alert(1)"]
)
def test_row36_a_redirect_may_not_leave_tls_or_the_web(location):
    with pytest.raises(SourceError):
        redirected("https://example.org/a", location)


def test_row36_a_redirect_may_be_relative_and_an_origin_is_scheme_host_and_port():
    assert redirected("https://example.org/a/b", "../c#part") == "https://example.org/c"
    assert origin_of("https://Example.org/x") == origin_of("https://example.org:443/y")
    assert origin_of("https://example.org") != origin_of("http://example.org:443")


class Server:
    """Says what it was asked, and redirects where it is told."""

    def __init__(self, location=""):
        server = self
        self.location, self.asked = location, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                server.asked.append((self.path, dict(self.headers)))
                self.send_response(302 if server.location else 200)
                if server.location:
                    self.send_header("Location", server.location)
                self.send_header("Content-Length", "2" if not server.location else "0")
                self.end_headers()
                if not server.location:
                    self.wfile.write(b"{}")

            def log_message(self, *_args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join(5)


@pytest.fixture
def servers():
    made = [Server(), Server()]
    yield made
    for one in made:
        one.close()


ALLOWED = DownloadsSettings(allow_private_hosts=("127.0.0.1",))
TOKEN = {"Authorization": "Bearer secret"}


def get(settings, url, origin):
    return converse(settings, TOKEN, origin, lambda control: control.get(url))


def test_row36_the_token_does_not_follow_a_redirect_to_another_port_or_host(servers):
    home, other = servers
    home.location = f"{other.url}/elsewhere"
    assert get(ALLOWED, f"{home.url}/api", origin_of(home.url)).status == 200
    assert home.asked[0][1]["Authorization"] == "Bearer secret"
    assert "Authorization" not in other.asked[0][1]


def test_row36_a_redirect_in_circles_ends(servers):
    home = servers[0]
    home.location = f"{home.url}/again"
    with pytest.raises(SourceError, match="circles"):
        get(ALLOWED, f"{home.url}/api", "")
    assert len(home.asked) <= 7


def test_row36_a_redirect_to_a_private_host_is_refused_before_any_connection(servers):
    home, other = servers
    home.location = other.url.replace("127.0.0.1", "localhost") + "/metadata"
    with pytest.raises(SourceError) as caught:
        get(ALLOWED, f"{home.url}/api", "")
    assert caught.value.code == "E_POLICY.url"
    assert other.asked == []


def test_a_name_that_changes_its_mind_between_check_and_connection_leads_nowhere_else(servers, monkeypatch):
    """DNS rebinding: the first answer is checked, the second would be the machine's own network."""
    home = servers[0]
    answers = []

    def look_up(host, port):
        answers.append(host)
        return ["127.0.0.1"] if len(answers) == 1 else ["10.255.255.1"]

    monkeypatch.setattr("actors.downloads.control.checked", lambda url, allowed, _: checked(url, allowed, look_up))
    settings = DownloadsSettings(allow_private_hosts=("models.test",))
    port = home.url.rpartition(":")[2]
    assert get(settings, f"http://models.test:{port}/api", "").status == 200
    assert answers == ["models.test"], "one question, and the connection went to its answer"
