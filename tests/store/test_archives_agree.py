"""Archiving changes no answer: one machine writes two copies of a log and archives the one, at any time, of any records, in any sizes."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tallystick.domain.envelope import Recorded, event_id_of, log_tag_of, tags_text
from tallystick.store.log import Query, Snapshot
from tallystick.store.sqlite.log import SqliteLog
from tallystick.store.sqlite.upkeep import Upkeep
from tests.store.archived import small_archives
from tests.store.test_logs_agree import AGGREGATE_TYPES, NAMES, QUERIES, TAGS, TOKENS, TYPES, answer

DRAFTS = st.fixed_dictionaries(
    {
        "later": st.integers(0, 2),
        "event_type": TYPES,
        "aggregate_type": AGGREGATE_TYPES,
        "aggregate_id": st.one_of(NAMES, TOKENS),
        "owner": NAMES,
        "correlation": NAMES,
        "settles": st.booleans(),
        "causation": st.none() | st.integers(0, 99),
        "tags_json": TAGS.map(tags_text),
        "payload": st.binary(max_size=40),
    }
)


class Copies(RuleBasedStateMachine):
    """The first log keeps its records, the second has them archived."""

    @initialize(records=st.integers(1, 9), block=st.integers(1, 4), step=st.integers(1, 5))
    def new_logs(self, records: int, block: int, step: int) -> None:
        self.open = ExitStack()
        self.open.enter_context(small_archives(records=records, block=block, step=step))
        folder = Path(self.open.enter_context(tempfile.TemporaryDirectory()))
        first = SqliteLog(folder / "whole.db")
        first.open()
        first.close()
        shutil.copy(folder / "whole.db", folder / "archived.db")
        self.logs = [first.reopened(), SqliteLog(folder / "archived.db")]
        self.moment, self.tokens = 0, 0
        self.same("open")

    def same(self, call: str, *arguments: Any) -> Any:
        whole, archived = (answer(log, call, *arguments) for log in self.logs)
        assert whole == archived, (call, arguments)
        return whole

    @rule(drafts=st.lists(DRAFTS, min_size=1, max_size=12))
    def write(self, drafts: list[dict[str, Any]]) -> None:
        position, records, versions = self.logs[0].head().position, [], dict[tuple[str, str], int]()
        for given in drafts:
            fields = dict(given)
            position += 1
            self.moment += fields.pop("later")
            stream = (fields["aggregate_type"], fields["aggregate_id"])
            before: int = versions[stream] if stream in versions else self.same("version", *stream)
            version = versions[stream] = before + 1
            if fields.pop("settles"):
                self.tokens += 1
                fields |= {"settles": "succeeded", "token": f"t{self.tokens}" if self.tokens > 3 else "tuv"[self.tokens - 1]}
            records.append(Recorded(position=position, schema_version=1, aggregate_version=version, occurred_at_us=self.moment, **fields))
        self.same("write", records)

    @rule(lots=st.randoms(use_true_random=False), share=st.sampled_from([0.1, 0.5, 0.9, 1]), tail=st.integers(0, 20), stops=st.booleans())
    def archive(self, lots: Any, share: float, tail: int, stops: bool) -> None:
        log = self.logs[1]
        moving = log.archive(log.head().position - tail, lambda _: lots.random() < share)
        if stops:
            next(moving, None)
        else:
            list(moving)

    @rule()
    def fill_the_correlations(self) -> None:
        for log in self.logs:
            assert isinstance(log._upkeep, Upkeep)
            log._upkeep.fill_correlations(log.head().position)

    @rule(query=QUERIES)
    def read(self, query: Query) -> None:
        self.same("read", query)

    @rule(position=st.integers(0, 60))
    def read_by_id(self, position: int) -> None:
        self.same("read", Query(event_id=event_id_of(log_tag_of(self.logs[0].identity), position, 0)))

    @rule(aggregate_type=AGGREGATE_TYPES, aggregate_id=st.one_of(NAMES, TOKENS))
    def ask_the_version(self, aggregate_type: str, aggregate_id: str) -> None:
        self.same("version", aggregate_type, aggregate_id)

    @rule()
    def ask_for_streams(self) -> None:
        whole, archived = (sorted(log.streams()) for log in self.logs)
        assert whole == archived

    @rule(owner=NAMES, back=st.integers(0, 30), body=st.binary(max_size=9))
    def save_snapshot(self, owner: str, back: int, body: bytes) -> None:
        position = max(0, self.logs[0].head().position - back)
        at = next(self.logs[0].read(Query(after=position - 1, limit=1)), None) if position else None
        self.same("save_snapshot", Snapshot(owner=owner, position=position, hash=at.hash if at else b"", format=1, body=body))

    @rule(owner=NAMES)
    def read_snapshots(self, owner: str) -> None:
        self.same("snapshots", owner)

    @rule()
    def verify(self) -> None:
        self.same("verify")

    @rule()
    def reopen(self) -> None:
        self.logs = [log.reopened() for log in self.logs]
        self.same("open")

    @invariant()
    def the_heads_agree(self) -> None:
        self.same("head")

    def teardown(self) -> None:
        if hasattr(self, "logs"):
            try:
                whole, archived = ([msgspec.structs.astuple(record) for record in log.verify()] for log in self.logs)
                assert whole == archived
            finally:
                for log in self.logs:
                    log.close()
                self.open.close()


Copies.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestArchivesAgree = Copies.TestCase
