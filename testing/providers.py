"""A fake provider: the outside world of a simulated program, with a ledger of its own that survives every crash."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from tallystick.domain.action import Action, Call, Done, Later, NotDone, Performer
from tallystick.domain.errors import Rejected
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


class FakeProvider:
    """Does what it is asked once for each idempotency key, however often it is asked, and can be asked whether it did.

    So many in a hundred keys it declines for good (`declines_percent`), always the same ones for the same seed. What delays its answers,
    loses or repeats them are the faults of the simulation, not its own.
    """

    def __init__(self, chance: Chance, *, declines_percent: float = 0.0) -> None:
        self._chance = chance
        self._declines_percent = declines_percent
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

    def performs(
        self, action: type[A], effect: Callable[[A, str], Any], *, key: Callable[[A], str] | None = None, declines: bool = True
    ) -> Performer:
        """A performer of an action, with a probe. `effect(action, key)` makes the result, the first time that a key is asked for.

        `key` stands in for the call's own where the outside world knows a better one: what is refunded is a payment, once.
        """

        def key_of(asked: A, call: Call) -> str:
            return f"{action.__name__}/{call.key if key is None else key(asked)}"

        def run(asked: A, call: Call) -> Any:
            entry = key_of(asked, call)
            self.asked[entry] = self.asked.get(entry, 0) + 1
            if entry not in self._entries:
                if declines and self._chance.at("declines", entry) * 100 < self._declines_percent:
                    code = "DECLINED"
                    raise Rejected(code, "The provider says no.")
                self._entries[entry] = Entry(entry, action, asked, effect(asked, call.key))
            return self._entries[entry].result

        def probe(asked: A, call: Call) -> Done[Any] | NotDone | Later:
            entry = self._entries.get(key_of(asked, call))
            return NotDone() if entry is None else Done(result=entry.result)

        return action.performed_by(run, probe=probe)
