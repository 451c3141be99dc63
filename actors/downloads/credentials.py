"""The credentials of this machine: files that its own configuration names, each for hosts that it names too.

A command may name a credential and never bring one; where it goes is not the command's to say.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from config.downloads import DownloadsSettings

from .address import split
from .errors import SourceError

TOKEN_MAX_BYTES = 8_192
OTHERS = stat.S_IRWXO


def headers_for(settings: DownloadsSettings, url: str, name: str | None) -> Mapping[str, str]:
    """What a request to `url` carries: the named credential, else the hub's token for the hub, else nothing.

    Raises:
        SourceError: there is no such credential, it may not go there, or it would go in the clear.

    """
    scheme, host, _ = split(url)
    if name is not None:
        known = next((one for one in settings.credentials if one.name == name), None)
        if known is None:
            do = "name it in downloads.credentials, with its file and its hosts"
            raise SourceError("E_POLICY.credential", f"this machine has no credential {name!r}", "", do)
        if host not in {one.lower() for one in known.hosts}:
            why = f"it is for {', '.join(known.hosts)}"
            do = "add the host to downloads.credentials if that is meant"
            raise SourceError("E_POLICY.credential", f"credential {name!r} may not go to {host}", why, do)
        return _bearer(known.file, scheme, host, settings)
    if settings.hub_token_file is not None and host == split(settings.hub_url)[1]:
        return _bearer(settings.hub_token_file, scheme, host, settings)
    return {}


def _bearer(file: Path, scheme: str, host: str, settings: DownloadsSettings) -> Mapping[str, str]:
    if scheme != "https" and host not in {one.lower().strip("[]") for one in settings.allow_private_hosts}:
        what = f"the credential for {host} would go in the clear"
        raise SourceError("E_POLICY.credential", what, "its address is http", "use https")
    return {"Authorization": f"Bearer {_read(file)}"}


def _read(file: Path) -> str:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode, raw = os.fstat(descriptor).st_mode, os.read(descriptor, TOKEN_MAX_BYTES)
        finally:
            os.close(descriptor)
        token = raw.decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not ASCII text"
        what = f"the credential in {file} cannot be read"
        raise SourceError("E_CREDENTIAL", what, str(why), "check the file and its owner") from error
    if mode & OTHERS:
        what = f"the credential in {file} is open to everybody on this machine"
        raise SourceError("E_CREDENTIAL", what, f"its mode is {stat.S_IMODE(mode):04o}", f"chmod 0600 {file}")
    if not token or any(letter.isspace() or not letter.isprintable() for letter in token):
        raise SourceError("E_CREDENTIAL", f"{file} holds no token", "a token is one word", "write the token into it")
    return token
