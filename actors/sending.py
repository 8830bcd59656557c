"""Sending: how what a host asks for gets to its owner, and the reply back to whoever waits for it: a thread, a future, or an event loop."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar, cast

from tallystick.actors.admission import Admission, WhenFull
from tallystick.actors.landing import Awaited, Landings
from tallystick.actors.lifecycle import Lifecycle
from tallystick.actors.messages import Ask
from tallystick.actors.replies import HostReply, Resolver
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.actors.surroundings import surroundings
from tallystick.domain.command import Command
from tallystick.domain.errors import NotAccepted, Overloaded, TimedOutWaiting, UnknownCommand
from tallystick.domain.sensitive import refuse_sensitive
from tallystick.domain.text import checked_id

R = TypeVar("R")

FORKED = "The system runs in the process that this one was forked from, and its threads do not: ask there, or open another system here."

Deliver = Callable[[HostReply], None]
"""How a reply gets to who waits for it: in the thread that releases it, or elsewhere."""


class SendsCommands:
    """The part of a `System` that takes commands."""

    _admission: Admission
    _life: Lifecycle
    _runtime: Runtime
    _resolver: Resolver
    _landings: Landings
    _handler_of: dict[type[Any], str]
    _our_owners: frozenset[str]

    def ask(
        self, command: Command[R], *, idempotency_key: str | None = None, timeout_s: float | None = None, when_full: WhenFull = "wait"
    ) -> R:
        """Have a command carried out and wait for the reply; when it returns, all that it did is durable.

        With an `idempotency_key` it is carried out once, however often it is asked within 30 days (P15). `when_full`: whether to wait where
        one of the system's limits is reached, for `timeout_s` at most, or to raise `Overloaded` at once.

        Raises:
            Rejected: the module refused, in the words of the business.
            IdempotencyConflict: the key was used with other content.
            Overloaded: no room within the time.
            TimedOutWaiting: no reply in `timeout_s`, or asked in a handler, which it waits for; the command may still be carried out.
            NotAccepted, NotCommitted, CommitUnknown: the system stopped, or its log failed.
            UnknownCommand: no module handles it.
            Exception: whatever else the handler raised; it wrote nothing.
        """
        reply = self._send(*self._asking(command, idempotency_key), when_full, timeout_s, may_lead=timeout_s is None)
        return cast("R", self._wait(reply, timeout_s))

    def submit(self, command: Command[R], *, idempotency_key: str | None = None, when_full: WhenFull = "raise") -> "Future[R]":
        """As `ask`, without waiting for the reply.

        Callbacks of all its futures run on one thread, which is theirs alone; in the stepped runtime in the thread that drives it.
        """
        deliver = HostReply.resolve if self._runtime.inline else self._resolver.resolve
        return self._send(*self._asking(command, idempotency_key), when_full, deliver=deliver).future

    async def ask_async(self, command: Command[R], *, idempotency_key: str | None = None) -> R:
        """As `ask`, for an event loop, which it never holds up; raises `Overloaded` at once when there is no room."""
        if self._runtime.inline:
            return self.ask(command, idempotency_key=idempotency_key, when_full="raise")
        return await self.ask_in_loop(command, idempotency_key)

    def ask_in_loop(self, command: Command[R], idempotency_key: str | None = None) -> Awaited[R]:
        """As `ask_async`, but sent when it returns. Not in the stepped runtime."""
        return self._send_in_loop(*self._asking(command, idempotency_key))

    def _asking(self, command: Command[Any], key: str | None) -> tuple[str, Callable[[HostReply], Ask]]:
        """Whose command it is, and the message that asks for it."""
        if key is not None:
            refuse_sensitive("an idempotency key", key)
            checked_id("an idempotency key", key)
        owner = self._handler_of.get(type(command))
        if owner is None:
            msg = f"No module of this system handles {type(command).__name__}; it has {sorted(k.__name__ for k in self._handler_of)}."
            raise UnknownCommand(msg)
        around = surroundings()
        return owner, lambda reply: Ask(command, key, reply, around.looked_up())

    def _send(
        self,
        owner: str,
        message: Callable[[HostReply], Any],
        when_full: WhenFull = "wait",
        timeout_s: float | None = None,
        deliver: Deliver = HostReply.resolve,
        *,
        may_lead: bool = False,
    ) -> HostReply:
        """Let a message in and send it; its reply leaves admission when it is given.

        A caller that `may_lead` waits for the reply, however long that takes. It carries the message out itself where it is the only one,
        and the owner one of our own, whose handlers neither wait for anything nor run for long.
        """
        if self._runtime.forked:
            raise NotAccepted(FORKED)
        reply = HostReply(self._admission.leave, deliver)
        try:
            self._enter(reply, when_full, timeout_s)
            try:
                engine, sent = self._life.engine, message(reply)
                leads = may_lead and owner in self._our_owners and self._admission.in_flight == 1
                if not (leads and self._runtime.lead(engine.owners[owner], sent)):
                    engine.mailbox(owner).tell(sent)
            except NotAccepted as error:
                reply.withdraw(error)
        except BaseException:  # Ctrl-C, or what a handler of the host's raises at another signal: nobody will wait for it
            reply.withdraw(None)
            raise
        return reply

    def _send_in_loop(self, owner: str, message: Callable[[HostReply], Any]) -> Awaited[Any]:
        """Send an owner a message; its reply lands in the event loop that runs in this thread. Raises `Overloaded` at once."""
        awaited: Awaited[Any] = Awaited(self._landings.here)
        self._send(owner, message, "raise", deliver=awaited.deliver)
        return awaited

    def _enter(self, reply: HostReply, when_full: WhenFull, timeout_s: float | None) -> None:
        if when_full == "wait" and self._runtime.in_turn:
            try:
                self._admission.enter(reply, "raise", timeout_s)
            except Overloaded as full:  # whoever could make room would wait for this thread
                raise TimedOutWaiting from full
        elif not self._runtime.inline or when_full == "raise":
            self._admission.enter(reply, when_full, timeout_s)
        else:
            try:
                self._admission.enter(reply, "raise", timeout_s)
            except (Overloaded, NotAccepted):
                self._runtime.until(self._admission.has_room, 0)  # nobody else can make room while this thread waits
                self._admission.enter(reply, "raise", timeout_s)

    def _request(self, owner: str, message: Callable[[HostReply], Any]) -> Any:
        """Send an owner a message, and wait for its reply."""
        return self._wait(self._send(owner, message, may_lead=True))

    def _wait(self, reply: HostReply, timeout_s: float | None = None) -> Any:
        try:
            self._runtime.wait(reply, timeout_s)
        except TimeoutError as error:
            raise TimedOutWaiting from error
        return reply.result()
