"""I15 in a running tree: what a mailbox has taken is delivered in order, at most once, or reported as undeliverable."""

from collections import deque

from actors.supervision.mailbox import Mailbox
from actors.supervision.signals import Signal

PATIENCE = 100
"""So many later messages may be delivered before one that was passed over must have been reported."""


class Book:
    """Of one mailbox: what waits, and what a later one has passed: on its way to its actor or to the dead letters."""

    def __init__(self, mailbox):
        self.mailbox, self.delivered = mailbox, 0
        self.waits, self.passed = deque(), []

    def out(self, item):
        """It is delivered or reported; whether it was there. Those before it have been passed."""
        for at, (one, _) in enumerate(self.passed):
            if one is item:
                del self.passed[at]
                return True
        if not any(one is item for one in self.waits):
            return False
        while (first := self.waits.popleft()) is not item:
            self.passed.append((first, self.delivered))
        return True

    def untaken(self, item):
        """The mailbox did not take it after all."""
        at = next(at for at in range(len(self.waits) - 1, -1, -1) if self.waits[at] is item)
        del self.waits[at]

    def lost(self):
        """Whether one was passed long ago and nobody has heard of it since."""
        return bool(self.passed) and self.delivered - self.passed[0][1] > PATIENCE


class Mail:
    """Stands between every mailbox and its users while a world runs; `need(good, text)` says what is wrong."""

    def __init__(self, need):
        self._need, self._books = need, {}
        names = ("__init__", "put", "post", "put_back", "get")
        self._kept = {name: getattr(Mailbox, name) for name in names}

    def new_process(self):
        """Nothing of the process before counts any more."""
        self._books = {}

    def __enter__(self):
        mail, kept = self, self._kept

        def made(mailbox, path, spec, runtime, dead):
            def told(item, error):
                mail._book(mailbox).out(item)
                dead(item, error)

            kept["__init__"](mailbox, path, spec, runtime, told)

        def put(mailbox, item):
            book = mail._book(mailbox)
            book.waits.append(item)
            try:
                kept["put"](mailbox, item)
            except Exception:
                book.untaken(item)
                raise

        def post(mailbox, item):
            book = mail._book(mailbox)
            book.waits.append(item)
            taken = kept["post"](mailbox, item)
            if not taken:
                book.untaken(item)
            return taken

        def put_back(mailbox, envelope):
            if not mailbox.closed:
                mail._book(mailbox).waits.appendleft(envelope)
            kept["put_back"](mailbox, envelope)

        def get(mailbox, consumer):
            item = kept["get"](mailbox, consumer)
            if not isinstance(item, Signal):
                mail._delivered(mailbox, item)
            return item

        Mailbox.__init__, Mailbox.put, Mailbox.post, Mailbox.put_back, Mailbox.get = made, put, post, put_back, get
        return self

    def __exit__(self, *_):
        for name, kept in self._kept.items():
            setattr(Mailbox, name, kept)

    def _book(self, mailbox):
        return self._books.setdefault(id(mailbox), Book(mailbox))  # which holds it, so that its number stays its own

    def _delivered(self, mailbox, item):
        book = self._book(mailbox)
        book.delivered += 1
        self._need(book.out(item), f"I15: {mailbox.path} was given {type(item).__name__} twice")
        self._need(not book.lost(), f"I15: {mailbox.path} was never given a message that it had taken")

    def at_rest(self):
        """When nobody is in the middle of anything: what was taken and not given waits."""
        for book in self._books.values():
            waits = len(book.waits), len(book.passed)
            self._need(waits == (len(book.mailbox), 0), f"I15: {book.mailbox.path} has lost messages: {waits}")
