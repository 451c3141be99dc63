"""The base of every section of the settings: frozen, closed, with no unknown key."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One section of the configuration file; field names carry their unit (`_s`, `_bytes`, `_mib`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)
