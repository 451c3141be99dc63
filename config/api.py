"""The local API."""

from ipaddress import IPv4Address
from pathlib import Path

from pydantic import Field, model_validator

from .base import Section


class ApiSettings(Section):
    """Read-only over TCP; the control socket in paths.run_dir is always there."""

    enabled: bool = Field(default=True, description="Serve health, metrics and the page over TCP.")
    address: IPv4Address = Field(default=IPv4Address("127.0.0.1"), description="Address to serve on.")
    port: int = Field(default=7480, ge=0, le=65_535, description="Port to serve on; 0: any free one.")
    show_log: bool = Field(default=True, description="Show the last lines of the agent's own log on the page.")
    token_file: Path | None = Field(
        default=None, description="File with the token that every address but loopback needs."
    )

    @model_validator(mode="after")
    def _agrees(self) -> "ApiSettings":
        if not self.address.is_loopback and self.token_file is None:
            raise ValueError("an address that is not loopback needs token_file")
        return self
