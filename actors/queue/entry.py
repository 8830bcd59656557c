"""An entry of the queue: one attempt of one token's actions, and how far it has come. What is done with it, the queue decides."""

from typing import Any, Literal

from tallystick.actors.messages import StartQueue
from tallystick.actors.performers.performer import RunningCall
from tallystick.domain.line import Candidate, Line
from tallystick.domain.token import Token

LineKey = tuple[str, ...]
"""Owner and subject; or subject and a line's name, and a third part that tells the two apart. Empty: it stands in no line."""


class Entry:
    """The queue's own, mutable; nobody else has it."""

    __slots__ = ("active", "answered", "call", "in_doubt", "index", "key", "later", "number", "reported", "start", "ticker")

    def __init__(self, start: StartQueue) -> None:
        self.start = start
        self.index = start.index
        self.call: RunningCall | None = None
        """The call that is out, or has answered `Later`."""
        self.ticker: Any = None
        """How far the present action has come, if it takes ticks."""
        self.number = 0
        """Which arrival in the queue it was."""
        self.active = False
        """Whether it is its turn; only then its actions are performed."""
        self.later = False
        """Whether the present action's answer comes from outside, by `complete` or `fail`."""
        self.answered = False
        """Whether the present action was answered from outside, and the next one waits until that is durable."""
        self.reported: Literal["completed", "failed"] | None = None
        """What its owner was told: nothing more of it is performed, and its turn lasts until the owner has decided."""
        self.in_doubt = False
        """Whether a call has raised: it may have had its effect all the same."""
        self.key: LineKey = ()
        """In whose line it stands."""
        if start.line:
            self.key = (start.subject, start.line, "shared")
        elif start.subject:
            self.key = (start.context.owner, start.subject)

    @property
    def action(self) -> Any:
        """The present action."""
        return self.start.actions[self.index]

    def awaits(self, call: RunningCall) -> bool:
        """Whether that call is, or was, one for the present action of this attempt."""
        return self.start.attempt == call.attempt and self.index == call.index

    def running_call(self) -> RunningCall:
        """What a performer, or a ticker as it begins, may know of the present action's call."""
        return RunningCall(self.start, self.index)


class Entries(dict[Token, Entry]):
    """The queue's entries by token. Of those that wait alone for an answer from outside nothing is kept but what was to be performed.

    They are entries again when somebody asks for them by `of`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outside: dict[Token, StartQueue] = {}

    def of(self, token: Token) -> Entry | None:
        """The entry of a token, if there is one."""
        found = self.get(token)
        if found is None and token in self.outside:
            found = self[token] = Entry(self.outside.pop(token))
            found.index = len(found.start.actions) - 1
            found.active = found.later = True
        return found

    def rest(self, token: Token) -> None:
        """Keep no more of an entry than must be: it stands in no line, its turn has come, and its last answer comes from outside."""
        self.outside[token] = self.pop(token).start

    def all_of_them(self) -> dict[Token, Entry]:
        """Every one as an entry."""
        for token in list(self.outside):
            self.of(token)
        return self


def candidate_of(start: StartQueue, number: int, line: Line) -> Candidate:
    """What a line sees of one of its entries."""
    rank = line.rank(start.origin or start.context.owner) if line.origins else 0
    return Candidate(start.context.token, number, start.priority, rank, start.interruption, start.if_it_fails, start.admitted)
