"""Given, when, then: what one module does, stated as a specification, without a system, a log, performers or time.

    given(Payments(), OrderConfirmed(order_id="o1", amount=TEN)).when(
        settled(PaymentProcessing(order_id="o1", amount=TEN), Succeeded(result=Receipt(payment_id="p1")))
    ).then(PaymentProcessed(order_id="o1", payment_id="p1", amount=TEN))

The module's handlers are carried out by the engine's own code: effects that it would refuse (another owner's events, values that their
types do not allow, a second completion event) are refused here too, by the same errors. The clock stands still; ids are `id-1`, `id-2` …
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Generic, TypeVar, overload

import msgspec

from tallystick.actors.clock import ManualClock
from tallystick.domain.command import Command
from tallystick.domain.effect import Begin, NeedsPerson, Settle
from tallystick.domain.errors import EffectError, Rejected
from tallystick.domain.event import Aggregate, Event, Resident
from tallystick.domain.intent import Intent
from tallystick.domain.module import Module
from tallystick.domain.outcome import Outcome
from tallystick.domain.record import Record
from tallystick.domain.step import Step as HostStep
from tallystick.testing.differences import Step, aligned, differences, limited, shortened
from tallystick.testing.keys import sealed
from tallystick.testing.one_owner import CountedIdentity, NotOfThisModule, OneOwner, Settled

R = TypeVar("R")
S = TypeVar("S")
G = TypeVar("G", bound=Aggregate)
Re = TypeVar("Re", bound=Resident)

SAME_TOLD = 3
"""So many things in a row that are as expected are named; of more, only the number is told."""
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""The time of a turn, unless it is said otherwise."""


class LateSuccess(Record):
    """That a success was heard of after the end. Made by `late_success`."""

    intent: Intent[Any]
    result: Any


class TimeoutPassed(Record):
    """That nothing was heard, to the end. Made by `timed_out`."""

    intent: Intent[Any]


def settled(intent: Intent[R], outcome: Outcome[R]) -> Settled:
    """The execution of that intent ends: in `given` and `when` by the outside world's answer, in `then` by an effect of the module.

    In `then` it stands for a `Settle` that was yielded, and for the library's own completion event where the settling turn yields
    none of the intent's `ends_with`.
    """
    return Settled(intent=intent, outcome=outcome)


def late_success(intent: Intent[R], result: R) -> LateSuccess:
    """A success of an execution that has ended otherwise: the outside world has moved."""
    return LateSuccess(intent=intent, result=result)


def timed_out(intent: Intent[Any]) -> TimeoutPassed:
    """Nothing is heard of the execution, nor of the retries that its policy grants; the clock moves to the last deadline."""
    return TimeoutPassed(intent=intent)


Happening = Event | Command[Any] | Settled | LateSuccess | TimeoutPassed | HostStep
"""What can happen to a module."""
Before = Happening | Intent[Any] | Begin
"""What can have happened to it before: an intent, or a `Begin`, is an execution that was begun and is open."""
Expected = Event | Begin | Settled | Settle | NeedsPerson
"""What a module can do."""


class _Unstated:
    """No reply was stated."""


UNSTATED = _Unstated()


def given(module: Module, *before: Before, now: datetime = NOON) -> "Given":
    """A module, and what happened before, in that order.

    Its own events are folded, as they were written; others' events are reacted to, commands handled and ends settled, with all that
    follows in the module; an intent is an execution that is open. `now` is the time of all turns.

    Raises:
        NotOfThisModule: it would not have heard of an event.
        AssertionError: an execution is said to have ended that is not open.
        Exception: whatever the engine or the module raised.
    """
    owner = OneOwner(module, ManualClock(now))
    for each in before:
        _happen_before(owner, each)
    owner.setting.identity = CountedIdentity("id")
    return Given(owner)


def _happen_before(owner: OneOwner, happening: Before) -> None:
    if isinstance(happening, Begin):
        owner.begin(happening)
    elif isinstance(happening, Intent):
        owner.begin(Begin(intent=happening))
    elif isinstance(happening, Event) and owner.writes(happening):
        owner.fold(happening)
    else:
        refused = _happen(owner, happening).refusal
        if refused is not None:
            raise refused


def _happen(owner: OneOwner, happening: Happening) -> "Happened[Any]":
    after = owner.position
    reply: Any = UNSTATED
    refusal: Rejected | None = None
    if isinstance(happening, Command):
        answer = owner.ask(happening)
        reply = answer.value
        if isinstance(answer.error, Rejected):
            refusal = answer.error
        elif answer.error is not None:
            raise answer.error
    else:
        _hear(owner, happening)
    return Happened(owner, happening, after, reply, refusal)


def _hear(owner: OneOwner, happening: Event | Settled | LateSuccess | TimeoutPassed | HostStep) -> None:
    match happening:
        case Settled(intent=intent, outcome=outcome):
            owner.settle(intent, outcome)
        case LateSuccess(intent=intent, result=result):
            owner.succeed_late(intent, result)
        case TimeoutPassed(intent=intent):
            owner.time_out(intent)
        case HostStep():
            owner.step(happening)
        case _:
            if not owner.reacts_to(happening):
                msg = f"{owner.name} does not react to {type(happening).__name__}; in given, it may be one of its own events."
                raise NotOfThisModule(msg)
            if owner.writes(happening):
                owner.fold(happening)
            owner.react(happening)


class Given:
    """A module with a past. Made by `given`."""

    def __init__(self, owner: OneOwner) -> None:
        self._owner = owner

    @overload
    def when(self, happening: Command[R]) -> "Happened[R]": ...
    @overload
    def when(self, happening: Event | Settled | LateSuccess | TimeoutPassed | HostStep) -> "Happened[None]": ...
    def when(self, happening: Happening) -> "Happened[Any]":
        """Let one thing happen: a command, an event that the module reacts to, an end, a late success, a timeout, a host's step.

        Raises:
            NotOfThisModule, UnknownCommand: the module does not hear of that.
            AssertionError: an execution is said to have ended that is not open.
            EffectError, InvalidPayload: an effect that the engine refuses.
            Exception: whatever else the handler raised. A command's `Rejected` is for `then_rejected`.
        """
        return _happen(self._owner, happening)


class Happened(Given, Generic[R]):
    """What came of it. Each `then…` states something and hands itself on; `when` goes on from here."""

    def __init__(self, owner: OneOwner, happening: Happening, after: int, reply: Any, refusal: Rejected | None) -> None:
        super().__init__(owner)
        self._happening = happening
        self._story = owner.story(after)
        self._reply = reply
        self.refusal = refusal

    def then(self, *expected: Expected, reply: R | _Unstated = UNSTATED) -> "Happened[R]":
        """Exactly this was done, in this order; and, if stated, this was replied.

        A `Begin` without a token stands for one with any. `unittest.mock.ANY` may stand for the value of a field.

        Raises:
            AssertionError: with what differs, field by field.
        """
        __tracebackhide__ = True
        self._check_not_refused()
        wanted = [sealed(self._by_intent(each), self._owner.vault) for each in expected]
        steps = aligned(wanted, self._story, _same)
        if any(step.kind != "same" for step in steps):
            self._fail("not what was expected", _told_steps(steps))
        if not isinstance(reply, _Unstated):
            wanted_reply, replied = sealed(reply, self._owner.vault), sealed(self._reply, self._owner.vault)
            if wanted_reply != replied:
                self._fail("another reply than expected", list(differences(wanted_reply, replied, "reply")))
        return self

    def then_nothing(self) -> "Happened[R]":
        """Nothing was done.

        Raises:
            AssertionError: with what was.
        """
        __tracebackhide__ = True
        return self.then()

    def then_rejected(self, code: str) -> "Happened[R]":
        """The command was refused with this code, and so nothing was done.

        Raises:
            AssertionError: it was not, or with another code.
        """
        __tracebackhide__ = True
        if self.refusal is None:
            done = [f"{number}. {_told(each)}" for number, each in enumerate(self._story, 1)]
            self._fail(f"not rejected with {code}", done or ["nothing was done"])
        elif self.refusal.code != code:
            self._fail("rejected with another code", [f"expected  {code}", f"actual    {self.refusal}"])
        return self

    def then_state(self, kind: type[G], key: str, expected: G | None) -> "Happened[R]":
        """An aggregate is now this; None: there is none.

        Raises:
            AssertionError: with what differs, field by field.
            EffectError: the module folds nothing into that kind.
        """
        __tracebackhide__ = True
        if issubclass(kind, Resident):
            msg = f"{kind.__name__} is a Resident, and has no key: state it by then_resident."
            raise EffectError(msg)
        return self._check_state(f"{kind.__name__} {key!r}", expected, self._owner.turn().get(kind, key))

    def then_resident(self, kind: type[Re], expected: Re) -> "Happened[R]":
        """A resident state is now this. Errors as `then_state`."""
        __tracebackhide__ = True
        return self._check_state(kind.__name__, expected, self._owner.turn().resident(kind))

    def then_open(self, *expected: Intent[Any]) -> "Happened[R]":
        """Exactly these executions are open now, oldest first.

        Raises:
            AssertionError: with what differs.
        """
        __tracebackhide__ = True
        actual = tuple(record.intent for record in self._owner.state.open.values())
        return self._check_state("open executions", expected, actual)

    def _check_state(self, what: str, expected: object, actual: object) -> "Happened[R]":
        __tracebackhide__ = True
        expected = sealed(expected, self._owner.vault)
        if expected != actual:
            self._fail(f"{what} is not as expected", list(differences(expected, actual)))
        return self

    def _check_not_refused(self) -> None:
        __tracebackhide__ = True
        if self.refusal is not None:
            self._fail("rejected", [str(self.refusal)])

    def _by_intent(self, expected: Expected) -> Expected:
        """A `Settle` is told by what it ended."""
        intent = self._owner.intent_of(expected.token) if isinstance(expected, Settle) else None
        return expected if intent is None or not isinstance(expected, Settle) else Settled(intent=intent, outcome=expected.outcome)

    def _fail(self, what: str, lines: list[str]) -> None:
        __tracebackhide__ = True
        told = "\n".join(f"  {line}" for line in limited(lines))
        msg = f"{self._owner.name}, when {_name(self._happening)}: {what}\n{told}"
        raise AssertionError(msg)


def _comparable(expected: Any, actual: Any) -> Any:
    """The actual effect without what the expectation leaves open."""
    if isinstance(expected, Begin) and isinstance(actual, Begin) and expected.token is None:
        return msgspec.structs.replace(actual, token=None)
    return actual


def _same(expected: Any, actual: Any) -> bool:
    return bool(expected == _comparable(expected, actual))


def _name(value: object) -> str:
    match value:
        case Begin(intent=intent):
            return f"Begin {type(intent).__name__}"
        case Settled(intent=intent, outcome=outcome):
            return f"settled {type(intent).__name__} as {type(outcome).__name__}"
        case LateSuccess(intent=intent):
            return f"late success of {type(intent).__name__}"
        case TimeoutPassed(intent=intent):
            return f"timeout of {type(intent).__name__}"
        case _:
            return type(value).__name__


def _told_steps(steps: Sequence[Step]) -> list[str]:
    """An alignment line by line; of what is as expected, only how much it is where there is much."""
    lines: list[str] = []
    number = 1
    for kind, group in groupby(steps, key=lambda step: step.kind):
        run = list(group)
        if kind == "same" and len(run) > SAME_TOLD:
            lines.append(f"{number}-{number + len(run) - 1}. as expected")
        else:
            for offset, step in enumerate(run):
                lines += _told_step(number + offset, step)
        number += len(run)
    return lines


def _told_step(number: int, step: Step) -> list[str]:
    match step.kind:
        case "same":
            return [f"{number}. as expected: {_name(step.actual)}"]
        case "changed":
            differing = differences(step.expected, _comparable(step.expected, step.actual))
            return [f"{number}. {_name(step.actual)}", *(f"     {line}" for line in differing)]
        case "missing":
            return [f"{number}. missing: {_told(step.expected)}"]
        case "unexpected":
            return [f"{number}. unexpected: {_told(step.actual)}"]


def _told(value: object) -> str:
    """A thing that only one side has, whole: a Begin by intent and actions."""
    if isinstance(value, Begin):
        actions = ", ".join(map(repr, value.actions)) or "no actions"
        return f"Begin {value.intent!r} with {actions}"
    return shortened(value)
