"""Ticking: the actions that go on step by step, while the host lets time pass. It runs their tickers; the queue reports what they say."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, NoReturn

import msgspec

from tallystick.actors.interrupts import leave_to_the_host
from tallystick.actors.performers.performer import failure_of
from tallystick.actors.queue.entry import Entry
from tallystick.domain.action import Done, Running, Ticker
from tallystick.domain.errors import PersonalDataRefused, SnapshotError
from tallystick.domain.outcome import Failed
from tallystick.domain.sensitive import Sensitive, Unsealed
from tallystick.domain.step import Step
from tallystick.domain.token import Token


class _NothingToTickers:
    """What a ticker may reveal by: its progress goes into saves as it is, so that it is told nothing that is sensitive."""

    def seal(self, unsealed: Unsealed) -> NoReturn:
        """Not to be done."""
        raise PersonalDataRefused(self._refusal(unsealed.subject))

    def open(self, value: Sensitive[Any]) -> NoReturn:
        """Not to be done."""
        raise PersonalDataRefused(self._refusal(value.sealed_for))

    def _refusal(self, subject: str) -> str:
        return f"A ticker is told nothing that is sensitive of {subject!r}, for its progress is saved as it is; have it performed instead."


NOTHING_TO_TICKERS: Final = _NothingToTickers()


class Ticked(NamedTuple):
    """What came of an entry's action: a result, or a failure, `final` when it raised `Rejected`."""

    entry: Entry
    result: Any = None
    failure: Failed | None = None
    final: bool = False


class Ticking:
    """Who takes ticks now, in the order in which they began to. Only the queue's thread calls it."""

    def __init__(self, tickers: Mapping[type[Any], type[Ticker[Any, Any]]]) -> None:
        self._tickers = tickers
        self._entries: dict[Token, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, entry: Entry) -> Ticked | None:
        """Have the entry's action take ticks from the next step on, from where it was if it was interrupted; its failure if it cannot."""
        if entry.ticker is None:
            try:
                call = entry.running_call()
                call.sealer = NOTHING_TO_TICKERS
                entry.ticker = self._tickers[type(entry.action)].begin(entry.action, call)
            except BaseException as error:  # noqa: BLE001 - user code
                leave_to_the_host(error)
                return Ticked(entry, None, *failure_of(error))
        self.go_on(entry)
        return None

    def go_on(self, entry: Entry) -> None:
        """Have an entry that has begun before take ticks from the next step on."""
        self._entries[entry.start.context.token] = entry

    def tokens(self) -> tuple[Token, ...]:
        """Who takes ticks, in order."""
        return tuple(self._entries)

    def read(self, action: Any, name: str, progress: bytes) -> Ticker[Any, Any]:
        """A ticker's progress from JSON.

        Raises:
            SnapshotError: it is not one of that action's ticker.
        """
        kind = self._tickers.get(type(action))
        if kind is None or kind.__name__ != name:
            what = "takes no ticks" if kind is None else f"is ticked by {kind.__name__}"
            msg = f"The progress of a {name} was saved, but {type(action).__name__} {what}."
            raise SnapshotError(msg)
        try:
            ticker: Ticker[Any, Any] = msgspec.json.decode(progress, type=kind)
        except msgspec.MsgspecError as error:
            msg = f"The progress of a {name} was saved that does not fit this program: {error}"
            raise SnapshotError(msg) from error
        return ticker

    def rest(self, token: Token) -> None:
        """It takes no more ticks for now; one that took none is left alone."""
        self._entries.pop(token, None)

    def tick(self, step: Step) -> Iterator[Ticked]:
        """Let each take one tick; those whose actions have come to an end, which take no more. Who begins meanwhile waits for the next."""
        running, entries = Running, self._entries
        for token, entry in tuple(entries.items()):
            try:
                answer = entry.ticker.tick(entry.action, step)
                if type(answer) is running:
                    continue
                ended = _ended(entry, answer)
            except BaseException as error:  # noqa: BLE001 - user code
                leave_to_the_host(error)
                ended = Ticked(entry, None, *failure_of(error))
            del entries[token]
            entry.ticker = None
            yield ended


def _ended(entry: Entry, answer: Any) -> Ticked:
    if type(answer) is Done:
        return Ticked(entry, answer.result)
    if type(answer) is Failed:
        return Ticked(entry, failure=answer)
    msg = f"{type(entry.ticker).__name__}.tick answered {answer!r}; answer Running(), Done(result=…) or Failed(code=…)."
    raise TypeError(msg)
