"""How an agent's key becomes the next: both keys sign, inside a session, so that nobody else can bring one.

The old key signs the new one (`rotate-old`) and the new key signs the old one (`rotate-new`), both bound to the
session's hash: a rotation cannot be replayed into another session, and a key whose secret the sender does not have
cannot be brought in.
"""

from .errors import Code, ProtocolError
from .keys import KeyPair, Purpose, check_public, verify
from .messages.control import Rotate

OVERLAP_MS = 600_000
"""For this long after the next key was first used, the one before it still opens a session."""


def make_rotate(old: KeyPair, new: KeyPair, bind: bytes) -> Rotate:
    """What the agent says; `bind` is the session's hash."""
    return Rotate(
        public=new.public,
        signature_old=old.sign(Purpose.ROTATE_OLD, bind, new.public),
        signature_new=new.sign(Purpose.ROTATE_NEW, bind, old.public),
    )


def check_rotate(message: Rotate, old_public: bytes, bind: bytes) -> bytes:
    """The next public key, once both signatures hold; any fault ends the session."""
    new = check_public(message.public)
    if new == old_public:
        raise ProtocolError(Code.KEY_ID, "the next key is the one that is in use", "public")
    verify(old_public, Purpose.ROTATE_OLD, bind, new, message.signature_old)
    verify(new, Purpose.ROTATE_NEW, bind, old_public, message.signature_new)
    return new
