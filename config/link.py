"""How this machine reaches its master."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from .base import Section


def _master(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or parts.path not in {"", "/"} or parts.query or parts.username:
        raise ValueError("a master is https://HOST[:PORT] and nothing else")
    return text.rstrip("/")


class LinkSettings(Section):
    """The master's addresses, what proves it, and how patient the link is."""

    masters: tuple[Annotated[str, AfterValidator(_master)], ...] = Field(
        default=(),
        max_length=16,
        description="Addresses (https://HOST:PORT), tried in turn; none: run without a master.",
    )
    ca_file: Path | None = Field(
        default=None, description="Certificate authority of the master; none: those that the system trusts."
    )
    token_file: Path | None = Field(
        default=None, description="File with the join token; read once, when this machine enrols."
    )
    client_certificate_file: Path | None = Field(default=None, description="Certificate for mutual TLS.")
    client_key_file: Path | None = Field(default=None, description="Key of the certificate for mutual TLS.")
    connect_timeout_s: float = Field(
        default=10.0, ge=1.0, le=120.0, description="Time to reach a master, with TLS and the upgrade."
    )
    handshake_timeout_s: float = Field(default=10.0, ge=1.0, le=60.0, description="Time for the signed handshake.")
    bulk_socket: bool = Field(
        default=True, description="Logs that an operator follows go over a second connection, opened while they do."
    )
    heartbeat_s: float = Field(default=10.0, ge=0.2, le=60.0, description="Between two heartbeats.")
    peer_dead_s: float = Field(
        default=35.0,
        ge=1.0,
        le=300.0,
        description="Without a verified message for this long the connection is dropped.",
    )
    first_retry_max_s: float = Field(
        default=5.0, ge=0.05, le=300.0, description="The first try after a loss comes within this time, at random."
    )
    retry_max_s: float = Field(default=60.0, ge=0.1, le=3_600.0, description="No try waits longer than this.")
    stable_after_s: float = Field(
        default=60.0, ge=0.1, le=3_600.0, description="A session this long makes earlier failures forgotten."
    )
    refused_retry_s: float = Field(
        default=3_600.0, ge=1.0, le=86_400.0, description="Between tries when the master has deregistered this machine."
    )

    @model_validator(mode="after")
    def _agrees(self) -> "LinkSettings":
        if (self.client_certificate_file is None) != (self.client_key_file is None):
            raise ValueError("client_certificate_file and client_key_file come together")
        if self.peer_dead_s < 2 * self.heartbeat_s:
            raise ValueError("peer_dead_s must be at least two heartbeats")
        return self
