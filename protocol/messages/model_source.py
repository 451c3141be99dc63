"""Where a model comes from, as the master says it."""

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from .base import Count, Part, ShortText

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}\Z")]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=256)]
URI_MAX_CHARS = 2_048
Url = Annotated[str, StringConstraints(min_length=1, max_length=URI_MAX_CHARS)]
HUB = re.compile(
    r"^hf://(?P<org>[A-Za-z0-9][\w.-]{0,95})/(?P<repo>[A-Za-z0-9][\w.-]{0,95})"
    r"(@(?P<revision>[A-Za-z0-9][\w./-]{0,127}))?(:(?P<file>[^:\n]{1,512}))?\Z",
    re.ASCII,
)
PLUGIN = re.compile(r"^(?!(?:hf|https?|file|hub|path|manifest)://)[a-z][a-z0-9+.-]{0,31}://[^\s]{1,2000}\Z", re.ASCII)


class SourceFile(Part):
    """One file of a manifest, with what proves it; `urls` are mirrors of the same bytes."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    size_bytes: Count | None = None
    """None when nobody knows it: then it comes in one stream, and begins again after a cut."""
    size_max_bytes: Count | None = None
    """What a file of unknown size may have at most; None: what the store has room for."""
    sha256: Sha256
    urls: Annotated[tuple[Url, ...], Field(min_length=1, max_length=16)]


class ModelSource(Part):
    """One model: a repository of the hub, an address, a local path or a manifest."""

    uri: Annotated[str, StringConstraints(min_length=1, max_length=URI_MAX_CHARS)]
    kind: Literal["hub", "https", "path", "manifest", "plugin"] = "hub"
    """`plugin`: an address of a source that is installed on the agent, by its scheme."""
    include: Annotated[tuple[Pattern, ...], Field(max_length=64)] = ()
    exclude: Annotated[tuple[Pattern, ...], Field(max_length=64)] = ()
    sha256: Sha256 | None = None
    """Proof of a single `https` file."""
    files: Annotated[tuple[SourceFile, ...], Field(max_length=2_048)] = ()
    credential: ShortText | None = None
    """Name of a credential on the agent; never the credential."""

    @model_validator(mode="after")
    def _agrees(self) -> "ModelSource":
        if self.kind == "hub" and not HUB.match(self.uri):
            raise ValueError("a hub source is hf://ORG/REPO[@REVISION][:FILE]")
        if self.kind == "https" and not self.uri.startswith(("https://", "http://")):
            raise ValueError("an https source begins with https://")
        if self.kind == "https" and self.sha256 is None:
            raise ValueError("an https source needs its sha256: nothing else proves what arrives")
        if self.kind == "path" and not self.uri.startswith("/"):
            raise ValueError("a path source is an absolute path on the agent")
        if self.kind == "plugin" and not PLUGIN.match(self.uri):
            raise ValueError("a plugin source is SCHEME://WHAT, with a scheme of its own")
        if (self.kind == "manifest") != bool(self.files):
            raise ValueError("files belong to a manifest, and a manifest has files")
        return self

    @property
    def model(self) -> str:
        """What the model is called in the store, always ORG/NAME and safe as two parts of a path."""
        found = HUB.match(self.uri)
        if found:
            return f"{found['org']}/{found['repo']}"
        parts = [part for part in self.uri.partition("?")[0].split("/") if part]
        if self.kind == "https" and len(parts) > 1:
            parts = [parts[1], parts[-1]]
        above = "local" if self.kind == "path" or len(parts) < 2 else parts[-2]
        return f"{_safe(above)}/{_safe(parts[-1] if parts else '')}"

    @property
    def family(self) -> str:
        """First part of its path in the store."""
        return self.uri.partition("://")[0] if self.kind == "plugin" else self.kind

    @property
    def named_revision(self) -> str | None:
        """The branch, tag or commit that is asked for by name."""
        found = HUB.match(self.uri)
        return found["revision"] if found else None

    @property
    def revision(self) -> str:
        """The same; main when none is named."""
        return self.named_revision or "main"

    @property
    def file(self) -> str | None:
        """The one file of the repository that is asked for."""
        found = HUB.match(self.uri)
        return found["file"] if found else None


def _safe(part: str) -> str:
    """Letters, digits, dot, dash and underscore; begins with a letter or digit, so that it never is `..` or hidden."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", part).lstrip("._-")[:96] or "model"


def kind_of(uri: str) -> str:
    """The kind of source that a person means by an address; one with files of its own is a manifest."""
    if uri.startswith("/"):
        return "path"
    scheme, found, _ = uri.partition("://")
    return {"hf": "hub", "http": "https", "https": "https"}.get(scheme, "plugin") if found else "hub"
