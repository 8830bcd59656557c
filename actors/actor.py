"""What all actors here share: a pykka actor whose inbox can be served by any runtime, and whose errors stop nothing but its own engine."""

from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, NamedTuple, Protocol

import pykka
from pykka._envelope import Envelope

from tallystick.actors.interrupts import leave_to_the_host
from tallystick.domain.clock import Clock
from tallystick.domain.errors import NotAccepted

Crash = Callable[[str, BaseException], None]
"""What an actor does with an error that it cannot handle: tell the supervisor, by name (P14)."""


class Alarm:
    """The message an actor gets when the time has come that it had set."""


ALARM = Alarm()
NOTHING = object()
"""What an inbox gives when it is empty."""


class Inbox:
    """Messages for one actor. With a `schedule` it tells a dispatcher that there are some; without, a thread waits in `get`."""

    __slots__ = ("_clock", "_schedule", "_scheduled", "actor", "alarm_us", "closed", "items")

    def __init__(self) -> None:
        self.items: SimpleQueue[Any] = SimpleQueue()
        self._schedule: Callable[[Inbox], None] | None = None
        self._scheduled = False
        self._clock: Clock | None = None
        self.alarm_us: int | None = None
        self.actor: EngineActor | None = None
        self.closed = False

    def serve(self, schedule: Callable[["Inbox"], None]) -> None:
        """Have a dispatcher take the messages."""
        self._schedule = schedule
        self._scheduled = True
        schedule(self)

    def wait_by(self, clock: Clock) -> None:
        """Have a thread wait for the messages and the alarm."""
        self._clock = clock

    def tell(self, message: Any) -> None:
        """Add a message; any thread; never blocks. Being scheduled twice does no harm, a dispatcher finds the inbox empty then.

        What is sent to an actor that has stopped is dropped with its generation: no error, as pykka's own tell would make it.
        """
        self.items.put(message)
        if not self._scheduled and self._schedule is not None:
            self._scheduled = True
            self._schedule(self)

    def put(self, envelope: Envelope[Any]) -> None:
        """Add a message in pykka's own way, which wraps it."""
        self.tell(envelope)

    def take(self) -> Any:
        """The next message for a dispatcher, `NOTHING` when there is none; from then on the next `tell` schedules again."""
        try:
            return self.items.get_nowait()
        except Empty:
            return self.rest()

    def rest(self) -> Any:
        """Have the next `tell` schedule again; as `take`, for a message may have come while its sender still saw the inbox as scheduled."""
        self._scheduled = False
        try:
            return self.items.get_nowait()
        except Empty:
            return NOTHING

    def reschedule(self) -> None:
        """Go to the end of the dispatcher's line, with what is left."""
        if self._schedule is not None:
            self._schedule(self)

    def get(self) -> Envelope[Any]:
        """The next message or alarm for a thread, wrapped as pykka's loop wants it; waits."""
        message = self._next()
        return message if isinstance(message, Envelope) else Envelope(message)

    def _next(self) -> Any:
        while True:
            if self.alarm_us is None or self._clock is None:
                return self.items.get()
            try:
                wait_s = self._clock.sleeping_us(self.alarm_us)
                return self.items.get(timeout=wait_s) if wait_s > 0 else self.items.get_nowait()
            except Empty:
                if self._clock.now_us() >= self.alarm_us:
                    self.alarm_us = None
                    return ALARM

    def empty(self) -> bool:
        """Whether there is no message by now."""
        return self.items.empty()


class Asker(Protocol):
    """Where an answer goes."""

    def answer(self, value: Any) -> None:
        """What was found."""
        ...

    def refuse(self, error: BaseException) -> None:
        """What was raised."""
        ...


class InTurn(NamedTuple):
    """Something to be looked up while its actor does nothing else; `hand_out` gives the answer out when what was seen is durable."""

    look: Callable[[Any], Any]
    asker: Asker
    hand_out: Callable[[Any], None]

    def run(self, actor: "EngineActor") -> None:
        """Look, and answer."""
        try:
            self.asker.answer(self.look(actor))
        except Exception as error:  # noqa: BLE001 - it is the asker's to see
            self.asker.refuse(error)
        self.hand_out(self.asker)


class Host(Protocol):
    """What an actor needs of its runtime."""

    def adopt(self, actor: "EngineActor") -> None:
        """Start to run the actor."""
        ...

    def set_alarm(self, inbox: Inbox, due_us: int | None) -> None:
        """Put an `Alarm` into the inbox at that time, in place of the one set before; None takes it back. Called by the actor itself."""
        ...


class EngineActor(pykka.Actor):
    """An actor of one engine generation.

    Pykka stops an actor at an exception, and every actor of the process at a `BaseException`; here neither gets that far: the supervisor
    hears of it, and decides for this engine only. Nor is it in pykka's registry, through which others could stop it.
    """

    own_thread: ClassVar[bool] = False
    """Whether a dispatcher must not run it, because it blocks."""

    actor_inbox: Inbox  # pyright: ignore[reportIncompatibleVariableOverride] - a narrower one than pykka asks for

    handlers: Mapping[type[Any], Callable[[Any], None]]
    """What to do with each type of message; only ever called by one thread at a time."""

    def __init__(self, name: str, host: Host, crash: Crash) -> None:
        super().__init__()
        self.name = name
        self.actor_inbox.actor = self
        self.post = self.actor_inbox
        self.dropped = 0
        self._host = host
        self._crash = crash

    @property
    def deciding(self) -> bool:
        """Whether it is in the midst of a decision, which nothing else that it does may come into."""
        return False

    def begin(self) -> None:
        """Start to run; what has been sent before is waiting."""
        self._start_actor_loop()

    @staticmethod
    def _create_actor_inbox() -> Inbox:
        return Inbox()

    @staticmethod
    def _create_future() -> pykka.Future[Any]:
        return pykka.ThreadingFuture()

    def _start_actor_loop(self) -> None:
        self._host.adopt(self)

    def __str__(self) -> str:
        return self.name

    def _handle_receive(self, message: Any) -> Any:
        """Handle one message; every runtime comes through here. Errors are kept from pykka; what is the host's goes on to the host."""
        handler = self._look if type(message) is InTurn else self.handlers.get(type(message))
        if handler is None:
            return super()._handle_receive(message.message if isinstance(message, Envelope) else message)
        try:
            handler(message)
        except BaseException as error:  # noqa: BLE001 - whatever it was, it ends this engine and not the process's other actors
            self.failed(error)
            leave_to_the_host(error)
        return None

    def _look(self, message: InTurn) -> None:
        message.run(self)

    def failed(self, error: BaseException) -> None:
        """A handler raised. If this generation of the log has ended, its messages end with it (P18), and the supervisor knows."""
        if isinstance(error, NotAccepted):
            self.dropped += 1
            return
        self.actor_inbox.closed = True
        self.actor_stopped.set()
        self._crash(self.name, error)

    def on_stop(self) -> None:
        """Take no further message."""
        self.actor_inbox.closed = True


def hand_over(inbox: Inbox, message: Any) -> None:
    """Have an inbox's actor handle a message that was taken out of it."""
    actor: Any = inbox.actor
    actor._handle_receive(message)  # noqa: SLF001 - pykka's hook
