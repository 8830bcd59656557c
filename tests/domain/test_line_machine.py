"""A line beside a model of it in plain lists, through whatever may happen to it."""

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import tallystick as ts
from tallystick.domain.line import NOBODY, PATIENCE, Candidate, Decided, Line, arrives, decides, leaves
from tests.domain.lines import candidates_, tokens


class LineMachine(RuleBasedStateMachine):
    """Who is where, and what each has been told."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line("at once", waiting=3)
        self.standing = NOBODY
        self.candidates: dict[str, Candidate] = {}
        self.active: str | None = None
        self.parked: list[str] = []
        self.waiting: set[str] = set()
        self.arrived: set[str] = set()
        self.ended: Counter[str] = Counter()
        self.replays: Counter[str] = Counter()

    def took(self, decided: Decided) -> None:
        """Do to the model what the moves say; it must come out as the line does."""
        self.standing, moves = decided
        for what, token, _cause in moves:
            if what == "interrupt":
                assert self.active == token
                self.parked.append(token)
                self.active = None
            elif what in {"start", "resume", "replay"}:
                assert self.active is None, "one at a time"
                assert (token in self.parked) == (what != "start")
                if what != "start":
                    self.parked.remove(token)
                    again = self.candidates[token].interruption == "replayable" and self.replays[token] < PATIENCE
                    assert what == ("replay" if again else "resume")
                    self.replays[token] += again
                self.waiting.discard(token)
                self.arrived.discard(token)
                self.active = token
            elif what == "fail":
                assert token in self.parked, "it keeps its place until its owner has decided"
            else:
                assert token != self.active
                self.ended[token] += 1
                self.waiting.discard(token)
                self.arrived.discard(token)
                if token in self.parked:
                    self.parked.remove(token)
        self.waiting |= self.arrived - {each.token for each in self.standing.arrived}
        self.arrived = {each.token for each in self.standing.arrived}

    @rule(each_step=st.booleans(), waiting=st.integers(0, 3))
    @precondition(lambda self: not self.candidates)
    def is_like(self, each_step: bool, waiting: int) -> None:
        self.line = Line("line", waiting=waiting, arbitration="each_step" if each_step else "at_once")

    @rule(drawn=candidates_)
    def somebody_comes(self, drawn: Candidate) -> None:
        number = len(self.candidates)
        fresh = Candidate(ts.Token(str(number)), number, drawn.priority, drawn.rank, drawn.interruption, drawn.if_it_fails)
        self.candidates[fresh.token] = fresh
        self.arrived.add(fresh.token)
        self.took(arrives(self.standing, fresh, self.line))

    @rule()
    @precondition(lambda self: self.line.arbitration == "each_step")
    def a_step_is_decided(self) -> None:
        self.took(decides(self.standing, self.line))
        there = self.parked or self.waiting or self.arrived
        assert self.active is not None or not there, "a decision leaves nobody waiting for an empty place"

    @rule(chance=st.randoms(), failed=st.booleans())
    @precondition(lambda self: not self.standing.empty)
    def somebody_leaves(self, chance: object, failed: bool) -> None:
        token = chance.choice(sorted(tokens(self.standing)))  # type: ignore[attr-defined]
        self.ended[token] += 1
        if token == self.active:
            self.active = None
        self.waiting.discard(token)
        self.arrived.discard(token)
        if token in self.parked:
            self.parked.remove(token)
        self.took(leaves(self.standing, ts.Token(token), self.line, failed=failed))

    @invariant()
    def the_line_is_as_the_model_says(self) -> None:
        standing = self.standing
        assert (standing.active.candidate.token if standing.active else None) == self.active
        assert [place.candidate.token for place in standing.parked] == self.parked
        assert {place.candidate.token for place in standing.waiting} == self.waiting
        assert len(standing.waiting) <= self.line.waiting

    @invariant()
    def everybody_is_somewhere_or_has_been_told_once(self) -> None:
        here = Counter(tokens(self.standing))
        assert {token: here[token] + self.ended[token] for token in self.candidates} == dict.fromkeys(self.candidates, 1)

    @invariant()
    def at_once_nobody_waits_for_an_empty_place(self) -> None:
        if self.line.arbitration == "at_once" and self.standing.active is None:
            assert self.standing.empty


TestLine = LineMachine.TestCase
