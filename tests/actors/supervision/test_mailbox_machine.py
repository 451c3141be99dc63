"""The mailbox against a list (I15): in order, at most once, and whatever is not delivered is reported."""

import random
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.supervision.envelope import Envelope
from actors.supervision.errors import ActorRestarting, ActorStopped, Fenced, MailboxFull
from actors.supervision.mailbox import Consumer, Mailbox
from actors.supervision.signals import Stop
from actors.supervision.spec import MailboxSpec, OnRestart, Overflow
from actors.supervision.threads import ThreadRuntime
from tests.actors.supervision.harness import ROOMY, crash


class FakeTime(ThreadRuntime):
    """Threads, but the clock stands still until it is moved."""

    def __init__(self):
        super().__init__(seed=1)
        self.time = 1000.0
        self.now = lambda: self.time


class MailboxMachine(RuleBasedStateMachine):
    @initialize(
        capacity=st.integers(1, 4),
        overflow=st.sampled_from([Overflow.REJECT, Overflow.DROP_OLDEST]),
        on_restart=st.sampled_from(OnRestart),
    )
    def begin(self, capacity, overflow, on_restart):
        self.runtime = FakeTime()
        self.spec = MailboxSpec(capacity, overflow, on_restart, stale_after_s=10.0)
        self.dead, self.model_dead = [], []
        self.mailbox = Mailbox("/root/a", self.spec, self.runtime, lambda item, error: self.dead.append(item))
        self.consumer, self.users, self.signals = None, [], []
        self.closed = self.refusing = False
        self.serial = 0

    def item(self):
        self.serial += 1
        return Envelope(self.serial, None, self.runtime.time)

    @rule()
    def put(self):
        item = self.item()
        if self.closed:
            with pytest.raises(ActorStopped):
                self.mailbox.put(item)
        elif self.refusing:
            with pytest.raises(ActorRestarting):
                self.mailbox.put(item)
        elif len(self.users) >= self.spec.capacity and self.spec.overflow is Overflow.REJECT:
            with pytest.raises(MailboxFull):
                self.mailbox.put(item)
        else:
            if len(self.users) >= self.spec.capacity:
                self.model_dead.append(self.users.pop(0))
            self.users.append(item)
            self.mailbox.put(item)

    @rule()
    def post(self):
        item = self.item()
        assert self.mailbox.post(item) is not self.closed
        if not self.closed:
            self.users.append(item)

    @rule()
    def signal(self):
        stop = Stop("test")
        assert self.mailbox.signal(stop) is (self.consumer is not None)
        if self.consumer is not None:
            self.signals.append(stop)

    @rule()
    def attach(self):
        old, self.consumer = self.consumer, Consumer(self.runtime.parker())
        self.mailbox.attach(self.consumer, self.spec)
        self.closed = self.refusing = False
        self.signals = []
        if old is not None:
            with pytest.raises(Fenced):
                self.mailbox.get(old)

    @precondition(lambda self: self.consumer is not None and (self.users or self.signals))
    @rule()
    def get(self):
        expected = self.signals.pop(0) if self.signals else self.users.pop(0)
        assert self.mailbox.get(self.consumer) is expected

    @precondition(lambda self: self.consumer is not None and self.users and not self.signals)
    @rule()
    def crashes_and_is_delivered_again(self):
        item = self.mailbox.get(self.consumer)
        self.mailbox.put_back(item)
        assert self.mailbox.get(self.consumer) is self.users.pop(0)

    @precondition(lambda self: self.consumer is not None)
    @rule()
    def detach(self):
        assert self.mailbox.detach(self.consumer) == len(self.users)
        self.consumer, self.signals = None, []

    @precondition(lambda self: self.consumer is None and not self.closed)
    @rule()
    def hold(self):
        self.mailbox.hold()
        policy = self.spec.on_restart
        if policy is OnRestart.KEEP:
            return
        self.refusing = policy is OnRestart.FAIL
        oldest = self.runtime.time - 10.0
        stays = [policy is OnRestart.DROP_STALE and item.at >= oldest for item in self.users]
        self.model_dead += [item for item, kept in zip(self.users, stays, strict=True) if not kept]
        self.users = [item for item, kept in zip(self.users, stays, strict=True) if kept]

    @rule()
    def close(self):
        assert self.mailbox.close("ended") == len(self.users)
        self.model_dead += self.users
        self.users, self.signals, self.consumer, self.closed = [], [], None, True

    @rule(seconds=st.sampled_from([1.0, 9.0, 11.0]))
    def time_passes(self, seconds):
        self.runtime.time += seconds

    @invariant()
    def nothing_is_lost_silently(self):
        if hasattr(self, "mailbox"):
            assert len(self.mailbox) == len(self.users)
            assert self.dead == self.model_dead


MailboxMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestMailboxMachine = MailboxMachine.TestCase


def test_a_keeping_mailbox_delivers_in_order_through_crashes(world):
    """Several senders, one actor that crashes at random: each sender's messages arrive in order, once."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    system = world.start(world.child("a", mailbox=ROOMY), intensity=10**6, period_s=1e9)
    handle, crashes = system.handle("/root/a"), 40
    plans = [sorted(chance.sample(range(500), crashes // 4)) for _ in range(4)]

    def sends(sender):
        for number in range(500):
            handle.tell((sender, number))
            if number in plans[sender]:
                handle.tell(crash)

    threads = [threading.Thread(target=sends, args=(sender,), daemon=True) for sender in range(4)]
    for thread in threads:
        thread.start()
    world.until(lambda: len(world.got) == 2000, "all arrived", within_s=50.0)
    for sender in range(4):
        assert [message[1] for _, _, message in world.got if message[0] == sender] == list(range(500))
    world.until_incarnation(system, "/root/a", crashes + 1)


@pytest.mark.parametrize("policy", [OnRestart.FAIL, OnRestart.DROP_STALE])
def test_the_restart_policy_is_applied_to_asks(world, policy):
    gate = world.gate()
    spec = MailboxSpec(on_restart=policy, stale_after_s=0.001)
    system = world.start(world.child("a", mailbox=spec))
    handle = system.handle("/root/a")

    def late_crash(actor):
        gate.wait()
        world.runtime.parker().park(0.005)
        crash(actor)

    handle.tell(late_crash)
    world.until(lambda: gate.arrived, "a is busy")
    waiting = handle.ask("waits", timeout_s=20.0)
    gate.open()
    with pytest.raises(ActorRestarting):
        waiting.result()
    world.until_incarnation(system, "/root/a", 2)
    assert world.got == []


def test_a_blocking_mailbox_waits_for_room_but_never_in_an_actor(world):
    gate = world.gate()
    spec = MailboxSpec(capacity=1, overflow=Overflow.BLOCK, block_s=20.0)
    system = world.start(world.child("a", mailbox=spec), world.child("b"))
    handle = system.handle("/root/a")
    handle.tell(lambda actor: gate.wait())
    world.until(lambda: gate.arrived, "a is busy")
    handle.tell("fills it")

    def tells(actor):
        with pytest.raises(MailboxFull):
            handle.tell("from an actor")
        return "refused"

    assert system.handle("/root/b").call(tells) == "refused"
    sender = threading.Thread(target=handle.tell, args=("waited",), daemon=True)
    sender.start()
    world.until(lambda: handle.cell.mailbox._producers, "the sender waits")
    gate.open()
    sender.join(20.0)
    world.until(lambda: len(world.got) == 2, "both arrived")
    assert [message for _, _, message in world.got] == ["fills it", "waited"]
