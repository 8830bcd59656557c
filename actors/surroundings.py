"""Surroundings: the correlation, the operation and the tags that the calling code runs in. They flow where `contextvars` flow.

Into tasks they flow by themselves; into a thread with `asyncio.to_thread`, or with `contextvars.copy_context().run`. Commands take them
into the log, where correlation and tags flow on: an event has those of the command, execution or event that it answers. A performer has
those of the execution that it works for, also after a crash.
"""

import asyncio
import re
import threading
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from tallystick.domain.evidence import Knower
from tallystick.domain.sensitive import refuse_sensitive
from tallystick.domain.text import checked_text

TRACEPARENT: Final = "traceparent"
"""The tag by which the log keeps a traceparent."""
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?")
"""As the W3C says: version ff, and ids of zeros alone, are none; versions after the first may say more at the end."""


class Surroundings:
    """What the calling code is a part of. `traceparent` is that of the W3C's trace context, as it came in.

    The correlation of an operation that began a new one is its first event's id; it is looked up when somebody wants it.
    """

    __slots__ = ("_correlation", "_look_up", "left", "of", "operation", "operation_id", "tags", "traceparent")

    def __init__(
        self,
        correlation: str | None = None,
        *,
        operation_id: str = "",
        tags: Mapping[str, str] | None = None,
        traceparent: str | None = None,
        of: object = None,
        look_up: Callable[[], str | None] | None = None,
    ) -> None:
        if correlation is not None:
            refuse_sensitive("a correlation", correlation)
            checked_text("a correlation", correlation)
        self._correlation = correlation
        self._look_up = look_up
        self.operation_id = operation_id
        self.of = of
        """Whose operation that is: what begins or tells operations in the same log, and knows of no others."""
        self.tags: Mapping[str, str] = tags or {}
        self.traceparent = traceparent
        self.operation: Any = None
        """What the code can say as that operation, where it runs in this process."""
        self.left: Left | None = None
        """Set when its bracket has been left: what was begun in it goes on in it, but not who left it."""

    @property
    def knower(self) -> Knower | None:
        """Who knows what is revealed to the code; None where that writes down nothing of what it raises."""
        knower: Knower | None = self.operation
        return knower

    @property
    def carried(self) -> Mapping[str, str]:
        """What the log keeps of it with what is asked here: its tags, and the traceparent among them."""
        return self.tags if self.traceparent is None else {**self.tags, TRACEPARENT: self.traceparent}

    @property
    def correlation(self) -> str | None:
        """What all that happens here has in common; None where nothing has begun."""
        if self._correlation is None and self._look_up is not None:
            self._correlation = self._look_up()
        return self._correlation

    def looked_up(self) -> "Surroundings":
        """These, with nothing left to look up: an owner must not wait for a log that is rebuilt, for the rebuilding waits for the owner."""
        _ = self.correlation
        return self


Common = tuple[str | None, Mapping[str, str]]
"""The correlation and the tags of what was begun before, as its first event has them."""

NOWHERE = Surroundings()
_current: ContextVar[Surroundings] = ContextVar("tallystick_surroundings", default=NOWHERE)


def surroundings() -> Surroundings:
    """Those of the calling code."""
    here = _current.get()
    while here.left is not None and here.left.is_here():
        here = here.left.before
    return here


def reveal_here() -> None:
    """Something sensitive is revealed to the calling code: what it raises is evidence without its message."""
    knower = surroundings().knower
    if knower is not None:
        knower.knows_secrets()


class Left(NamedTuple):
    """Who has left what a bracket surrounds, and what is around them again: their context may not say so."""

    before: Surroundings
    thread: int
    task: "weakref.ref[asyncio.Task[Any]] | None"

    def is_here(self) -> bool:
        """Whether it is they who ask."""
        if self.task is None:
            return self.thread == threading.get_ident()
        return self.task() is _present_task() is not None


def _present_task() -> "asyncio.Task[Any] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs here
        return None


class Surrounded:
    """Has the code inside run in these surroundings. Plain, since a generator's frame would cost a bracket a twentieth of its time."""

    __slots__ = ("_by", "_reset")

    def __init__(self, by: Surroundings) -> None:
        self._by = by

    def __enter__(self) -> None:
        self._reset = _current.set(self._by)

    def __exit__(self, *_raised: object) -> None:
        _current.reset(self._reset)


class Begun:
    """As `Surrounded`, of what is left whenever, and from wherever, somebody does so.

    A generator may go on in another thread, or be closed by the event loop in a task of its own, and brackets may be left in another order
    than the opposite of that in which they were entered. Each of these finds a context in which this cannot be taken back.
    """

    __slots__ = ("_before", "_by", "_task", "_thread")

    def __init__(self, by: Surroundings) -> None:
        self._by = by

    def __enter__(self) -> None:
        self._before, self._thread, self._task = surroundings(), threading.get_ident(), _present_task()
        _current.set(self._by)

    def __exit__(self, *_raised: object) -> None:
        if _current.get() is self._by:
            _current.set(self._before)
            if self._task is None:
                return
        self._by.left = Left(self._before, self._thread, None if self._task is None else weakref.ref(self._task))


def correlation_of(traceparent: str) -> str | None:
    """The trace's id, which serves as correlation where there is no other; None when it is no traceparent."""
    found = _TRACEPARENT.fullmatch(traceparent.strip())
    return None if found is None or (found[1] == "00" and found[3]) else found[2]


def read_traceparent(text: str) -> str | None:
    """A traceparent as it came in; None where it is none, which is left out as if none had come."""
    return None if correlation_of(text) is None else text.strip()
