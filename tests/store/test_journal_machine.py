"""A state machine drives the journal against a model in plain lists, through appends, commits, failures and new generations."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import tallystick as ts
from tallystick.store import journal as journal_module
from tests.store.journals import Desk, Log, Output, draft

KEYS = st.sampled_from(["a", "b", "c", "a:b"])
WINDOW = 8


class JournalMachine(RuleBasedStateMachine):
    """The model: `log` is what is durable, `speculation` what is numbered behind it, `waiting` the outputs with what they rest on."""

    def __init__(self) -> None:
        super().__init__()
        self._window_before = journal_module.WINDOW_RECORDS
        journal_module.WINDOW_RECORDS = WINDOW
        self.desk = Desk(Log())
        self.log: list[tuple[str, int]] = []
        self.speculation: list[tuple[str, int]] = []
        self.waiting: list[tuple[Output, int]] = []
        self.told: list[tuple[Output, Any]] = []
        self.clock_us = 1_000
        self.alive = True

    def teardown(self) -> None:
        journal_module.WINDOW_RECORDS = self._window_before

    @initialize(durable=st.integers(0, 3 * WINDOW))
    def something_is_durable(self, durable: int) -> None:
        for _ in range(durable):
            self.append(["a"], stale=False, outputs=0, now_us=1_000)
            self.commit()

    def everything(self) -> list[tuple[str, int]]:
        return self.log + self.speculation

    def version(self, key: str) -> int:
        return sum(1 for each, _ in self.everything() if each == key)

    # What may happen.

    @precondition(lambda self: self.alive)
    @rule(keys=st.lists(KEYS, min_size=1, max_size=4), stale=st.booleans(), outputs=st.integers(0, 2), now_us=st.integers(0, 5_000))
    def append(self, keys: list[str], *, stale: bool, outputs: int, now_us: int) -> None:
        self.desk.clock.us = now_us
        versions = {key: self.version(key) for key in keys}
        drafts, numbered = list[Any](), list[tuple[str, int]]()
        for key in keys:
            drafts.append(draft(key, versions[key]))
            versions[key] += 1
            numbered.append((key, versions[key]))
        made = [self.desk.output("") for _ in range(outputs)]
        known = self.desk.journal._last_in_memory(("Thing", keys[0]))
        if stale and known is not None:
            drafts[0] = draft(keys[0], known.aggregate_version + 1)
            with pytest.raises(ts.VersionConflict):
                self.desk.append(*drafts, outputs=made)
            return
        records = self.desk.append(*drafts, outputs=made)
        tail = len(self.everything())
        assert [each.position for each in records] == list(range(tail + 1, tail + 1 + len(keys)))
        assert [(each.aggregate_id, each.aggregate_version) for each in records] == numbered
        self.speculation += numbered
        self.waiting += [(output, tail + len(keys)) for output in made]

    @precondition(lambda self: self.alive)
    @rule()
    def gate(self) -> None:
        output = self.desk.gate("")
        if self.speculation or self.waiting:
            self.waiting.append((output, len(self.everything())))
        else:
            self.told.append((output, len(self.log)))

    @precondition(lambda self: self.alive)
    @rule()
    def commit(self) -> None:
        pending = bool(self.speculation or self.waiting)
        assert self.desk.journal.commit() == pending
        self.log, self.speculation = self.everything(), []
        self.told += [(output, len(self.log)) for output, _ in self.waiting]
        self.waiting = []

    @precondition(lambda self: self.alive and self.speculation)
    @rule(keys=st.lists(KEYS, max_size=3), gates=st.integers(0, 2))
    def commit_while_others_go_on(self, keys: list[str], gates: int) -> None:
        in_flight = self._during_the_write(keys, gates)
        assert self.desk.journal.commit()
        self.log += self.speculation[: in_flight - len(self.log)]
        self.speculation = [(key, version) for key, version in self.speculation if (key, version) not in self.log]
        self.told += [(output, len(self.log)) for output, _ in self.released_by_the_batch]
        self.waiting = [each for each in self.waiting if each not in self.released_by_the_batch]

    @precondition(lambda self: self.alive and self.speculation)
    @rule(keys=st.lists(KEYS, max_size=3), gates=st.integers(0, 2), written=st.booleans())
    def fail_to_commit(self, keys: list[str], gates: int, *, written: bool) -> None:
        durable = len(self.log)
        in_flight = self._during_the_write(keys, gates)
        self.desk.log.failing = ("after" if written else "before", OSError("planted"))
        try:
            self.desk.journal.commit()
        except OSError:
            pass_on = True
        else:
            pass_on = False
        assert pass_on, "the error must reach whoever commits"
        for output, rests_on in self.waiting:
            fate = durable if rests_on <= durable else "unknown" if rests_on <= in_flight else "never"
            self.told.append((output, fate))
        self.log = self.everything()[: in_flight if written else durable]
        self.speculation, self.waiting, self.alive = [], [], False

    @precondition(lambda self: self.alive)
    @rule()
    def end(self) -> None:
        self.desk.journal.end(RuntimeError("planted"))
        for output, rests_on in self.waiting:
            self.told.append((output, len(self.log) if rests_on <= len(self.log) else "never"))
        self.speculation, self.waiting, self.alive = [], [], False

    @rule()
    def begin_the_next_generation(self) -> None:
        self.desk = self.desk.reopened()
        self.speculation, self.waiting, self.alive = [], [], True

    def _during_the_write(self, keys: list[str], gates: int) -> int:
        """Have others append and gate while the next batch is written; up to where that batch goes."""
        in_flight = len(self.everything())
        self.released_by_the_batch = list(self.waiting)

        def others() -> None:
            self.desk.log.at_disk = lambda: None
            for _ in range(gates):
                self.gate()
            if keys:
                self.append(keys, stale=False, outputs=1, now_us=0)

        self.desk.log.at_disk = others
        return in_flight

    # What must hold.

    @invariant()
    def the_log_holds_what_was_committed(self) -> None:
        assert [(each.aggregate_id, each.aggregate_version) for each in self.desk.log.verify()] == self.log

    @invariant()
    def each_output_has_heard_what_became_of_it_and_nothing_else(self) -> None:
        assert [output.heard for output, _ in self.told] == [[fate] for _, fate in self.told]
        assert all(output.heard == [] for output, _ in self.waiting)

    @invariant()
    def every_look_up_is_the_models(self) -> None:
        if not self.alive:
            return
        journal, everything = self.desk.journal, self.everything()
        assert (journal.tail, journal.watermark) == (len(everything), len(self.log))
        for key in ("a", "b", "c", "a:b"):
            positions = [position for position, (each, _) in enumerate(everything, start=1) if each == key]
            assert journal.version("Thing", key) == len(positions)
            last = journal.last("Thing", key)
            assert (last.position if last else 0) == (positions[-1] if positions else 0)
            assert [each.position for each in journal.stream("Thing", key)] == positions
        assert [each.position for each in journal.after(max(len(everything) - 3, 0), 9)] == list(range(len(everything) + 1))[1:][-3:]

    @invariant()
    def times_and_ids_never_decrease(self) -> None:
        if not self.alive:
            return
        records = [*self.desk.log.read(), *self.desk.journal.after(len(self.log), 1000)]
        assert [each.occurred_at_us for each in records] == sorted(each.occurred_at_us for each in records)
        assert [each.event_id for each in records] == sorted({each.event_id for each in records})


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
