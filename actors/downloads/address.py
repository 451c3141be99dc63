"""Which addresses may be asked: a signed command must not make this machine talk to its own network.

A name is resolved once, every address it has must be allowed, and the connection goes to one of the checked:
a second answer of the name server (DNS rebinding) leads nowhere else. A redirect is judged like a new address, may not
leave TLS, and takes a credential along only to the very same scheme, host and port.
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urldefrag, urljoin, urlsplit

from .errors import DownloadError, SourceError, TransferError

Address = tuple[str, int]
LookUp = Callable[[str, int], Sequence[str]]
"""Every address that a name has now, as text; OSError when it has none."""
PORTS = {"http": 80, "https": 443}
URL_MAX_CHARS = 8_192
UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
NAT64 = ipaddress.ip_network("64:ff9b::/96")
Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def system_look_up(host: str, port: int) -> Sequence[str]:
    """By the system's resolver, whose own time limit bounds it."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def split(url: str) -> tuple[str, str, int]:
    """Scheme, host in lower case, port; SourceError for what is no plain http or https address."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        raise _refused(url[:200], "it is not an address") from None
    if parts.scheme not in PORTS or not parts.hostname or UNSAFE.search(url) or len(url) > URL_MAX_CHARS:
        raise _refused(parts.hostname or url[:200], "only plain http and https addresses are allowed")
    if parts.username is not None or parts.password is not None:
        raise _refused(parts.hostname, "an address may not carry a name or a password: use a credential")
    return parts.scheme, parts.hostname.rstrip(".").lower(), port


def origin_of(url: str) -> str:
    """`scheme://host:port`: what a credential is bound to."""
    scheme, host, port = split(url)
    return f"{scheme}://{host}:{port}"


def checked(url: str, allowed_private: Iterable[str], look_up: LookUp = system_look_up) -> tuple[Address, ...]:
    """Every address of `url`, in the order of the resolver; SourceError when one of them is forbidden."""
    _, host, port = split(url)
    try:
        found = tuple(look_up(host, port))
    except (OSError, UnicodeError) as error:
        raise TransferError(
            "E_NETWORK", f"{host} cannot be found", str(error), "check the name, and the name server", retry=True
        ) from error
    if host not in {name.lower().strip("[]") for name in allowed_private}:
        wrong = next((text for text in found if not is_public(text)), None)
        if wrong is not None or not found:
            why = f"{wrong or 'no address'} is on a private network; allow it in downloads.allow_private_hosts if meant"
            raise _refused(host, why)
    return tuple((text, port) for text in found)


def check_address(url: str, allowed_private: Iterable[str], look_up: LookUp = system_look_up) -> Address:
    """The first of `checked`."""
    return checked(url, allowed_private, look_up)[0]


def redirected(url: str, location: str) -> str:
    """Where a redirect leads; SourceError when it may not be followed. The new address is still to be checked."""
    following = urldefrag(urljoin(url, location)).url
    scheme, host, _ = split(following)
    if scheme == "http" and split(url)[0] == "https":
        raise _refused(host, "a redirect would leave TLS")
    return following


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet, whatever it is wrapped in."""
    ip: Ip = ipaddress.ip_address(text.partition("%")[0])
    if ip in NAT64:  # the way of a machine without IPv4 to the IPv4 internet: what counts is what it stands for
        return _plain_public(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF))
    return all(_plain_public(inner) for inner in (ip, *_inside(ip)))


def _plain_public(ip: Ip) -> bool:
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_loopback)


def _inside(ip: Ip) -> tuple[Ip, ...]:
    """IPv4 addresses that an IPv6 address stands for: mapped, 6to4, Teredo."""
    if not isinstance(ip, ipaddress.IPv6Address):
        return ()
    return tuple(one for one in (ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())) if one is not None)


def _refused(host: str | None, why: str) -> DownloadError:
    return SourceError("E_POLICY.url", f"the address of {host} is not allowed", why, "take another source")
