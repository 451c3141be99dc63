"""Commands about the link itself, as its actor carries them out; without a master there is nobody to talk to."""

from actors.journal import messages as journal
from actors.link.actor import LinkActor
from actors.supervision.spec import ChildSpec, SupervisorSpec
from actors.supervision.system import System
from config.link import LinkSettings
from protocol.messages.commands import AgentDrain
from protocol.messages.reports import Inventory
from tests.fakes.listener import Listener


def test_what_is_not_about_the_link_is_refused_with_what_to_do_instead(tmp_path):
    ledger = Listener("/journal")

    def link():
        return LinkActor(
            settings=LinkSettings(),
            state_dir=tmp_path,
            journal_handle=ledger,
            observers=(),
            inventory=lambda: Inventory(values={}),
            conversation=None,
            wall=lambda: 1.0,
        )

    system = System(SupervisorSpec(children=(ChildSpec("link", link),)))
    system.start()
    try:
        system.handle("/root/link").tell(journal.Execute("1" * 32, AgentDrain(enabled=True), b""))
        outcome = ledger.wait(journal.Outcome)
    finally:
        system.stop()
    assert (outcome.state, outcome.error.code) == ("failed", "E_UNSUPPORTED")
    assert outcome.error.do
