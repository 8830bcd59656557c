"""A fake provider: the outside world of a simulated program, with a ledger of its own that survives every crash."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from tallystick.domain.action import Action, Call, Done, Later, NotDone, Performer
from tallystick.domain.errors import Rejected
from tallystick.domain.token import Token
from tallystick.testing.chance import Chance

A = TypeVar("A", bound=Action[Any])
R = TypeVar("R")


class Entry(NamedTuple):
    """One thing that was really done, once for each key, and what came of it."""

    key: str
    action: type[Action[Any]]
    asked: Any
    """The action as it was asked for first."""
    result: Any


class _Owed(NamedTuple):
    """An answer that was promised."""

    token: Token
    perform: Callable[[], Any]


class FakeProvider:
    """Does what it is asked once for each idempotency key, however often it is asked, and can be asked whether it did.

    So many in a hundred keys it declines for good (`declines_percent`), and to so many it says `Later` (`later_percent`) and does them when
    `deliver` is called: always the same ones for the same seed. What delays its answers, loses or repeats them are the faults of the
    simulation, not its own.
    """

    def __init__(self, chance: Chance, *, declines_percent: float = 0.0, later_percent: float = 0.0) -> None:
        self._chance = chance
        self._declines_percent = declines_percent
        self._later_percent = later_percent
        self._owed: dict[str, _Owed] = {}
        self._entries: dict[str, Entry] = {}
        self.asked: dict[str, int] = {}
        """How often it was asked for each key."""

    @property
    def ledger(self) -> tuple[Entry, ...]:
        """What it has done, in that order."""
        return tuple(self._entries.values())

    def done(self, action: type[A]) -> tuple[Entry, ...]:
        """What it has done of one kind."""
        return tuple(entry for entry in self._entries.values() if entry.action is action)

    def deliver(self, complete: Callable[[Token, Any], Any]) -> None:
        """Do what it has promised, and say so to `system.complete`; what cannot be said now stays promised."""
        for key in list(self._owed):
            owed = self._owed.get(key)
            if owed is not None:  # said meanwhile, for whoever takes an answer may let time pass
                complete(owed.token, owed.perform())
                self._owed.pop(key, None)

    def performs(
        self, action: type[A], effect: Callable[[A, str], Any], *, key: Callable[[A], str] | None = None, declines: bool = True
    ) -> Performer:
        """A performer of an action, with a probe. `effect(action, key)` makes the result, the first time that a key is asked for.

        `key` stands in for the call's own where the outside world knows a better one: what is refunded is a payment, once. What it never
        `declines` it does at once, too.
        """

        def key_of(asked: A, call: Call) -> str:
            return f"{action.__name__}/{call.key if key is None else key(asked)}"

        def perform(asked: A, entry: str, call_key: str) -> Any:
            if entry not in self._entries:
                self._entries[entry] = Entry(entry, action, asked, effect(asked, call_key))
            return self._entries[entry].result

        def run(asked: A, call: Call) -> Any:
            entry = key_of(asked, call)
            self.asked[entry] = self.asked.get(entry, 0) + 1
            if entry in self._entries or not declines:
                return perform(asked, entry, call.key)
            if self._chance.at("declines", entry) * 100 < self._declines_percent:
                code = "DECLINED"
                raise Rejected(code, "The provider says no.")
            if self._chance.at("later", entry) * 100 < self._later_percent:
                self._owed[entry] = _Owed(call.token, partial(perform, asked, entry, call.key))
                return Later()
            return perform(asked, entry, call.key)

        def probe(asked: A, call: Call) -> Done[Any] | NotDone | Later:
            entry = key_of(asked, call)
            if entry in self._entries:
                return Done(result=self._entries[entry].result)
            return Later() if entry in self._owed else NotDone()

        return action.performed_by(run, probe=probe)
