"""Which addresses may be asked: a signed command must not make this machine talk to its own network.

A name is resolved once and the connection goes to the address that was checked, so that a second answer of the name
server cannot lead elsewhere.
"""

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from .errors import SourceError, TransferError


def check_address(url: str, allowed_private: Iterable[str]) -> tuple[str, int]:
    """The address and port to connect to; SourceError when the policy forbids them."""
    parts = urlsplit(url)
    host = parts.hostname
    if parts.scheme not in {"http", "https"} or not host or parts.username or parts.password:
        raise _refused(url, "only plain http and https addresses are allowed")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    private_ok = host in set(allowed_private)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TransferError(
            "E_NETWORK", f"{host} cannot be found", str(error), "check the name server", retry=True
        ) from error
    for *_, address in found:
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
        mapped = getattr(ip, "ipv4_mapped", None) or ip
        if private_ok or mapped.is_global:
            return str(address[0]), port
    raise _refused(url, f"{host} is on a private network; allow it in downloads.allow_private_hosts if that is meant")


def _refused(url: str, why: str) -> SourceError:
    return SourceError("E_POLICY.url", f"the address of {urlsplit(url).hostname} is not allowed", why)
