"""One state machine drives every log with the same calls and asserts that they answer alike, refusals included."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tallystick.domain.envelope import Recorded, event_id_of, log_tag_of, tags_text
from tallystick.domain.errors import LogError
from tallystick.store.log import EventLog, Query, Snapshot
from tallystick.store.memory import MemoryLog
from tallystick.store.sqlite.log import SqliteLog
from tallystick.store.sqlite.upkeep import Upkeep

NAMES = st.sampled_from(["a", "b", "ä", ""])
TOKENS = st.sampled_from(["t", "u", "v"])
TYPES = st.sampled_from(["Started", "Ended"])
AGGREGATE_TYPES = st.sampled_from(["Thing", "Execution"])

TAG_NAMES = st.sampled_from(["tenant", "", 'a"b\\', "é\n"])
TAG_VALUES = st.sampled_from(["a", "", "tenant", '"}', "\x00 ü"])
TAGS = st.dictionaries(TAG_NAMES, TAG_VALUES, max_size=3)

DRAFTS = st.fixed_dictionaries(
    {
        "step": st.sampled_from([1, 1, 1, 1, 1, 1, 1, 0, 2]),
        "version_step": st.sampled_from([1, 1, 1, 1, 1, 1, 0, 2]),
        "later": st.integers(0, 2),
        "event_type": TYPES,
        "aggregate_type": AGGREGATE_TYPES,
        "aggregate_id": st.one_of(NAMES, TOKENS),
        "owner": NAMES,
        "correlation": NAMES,
        "token": st.none() | TOKENS,
        "settles": st.sampled_from([None, None, None, "succeeded", "failed", "abandoned"]),
        "causation": st.none() | st.integers(0, 99),
        "seen": st.none() | st.integers(0, 99),
        "tags_json": TAGS.map(tags_text),
        "payload": st.binary(max_size=40),
    }
)

QUERIES = st.builds(
    Query,
    after=st.integers(-1, 40),
    until=st.none() | st.integers(0, 60),
    event_types=st.lists(TYPES, max_size=2).map(tuple),
    aggregate_type=st.none() | AGGREGATE_TYPES,
    aggregate_id=st.none() | NAMES | TOKENS,
    owner=st.none() | NAMES,
    token=st.none() | TOKENS,
    correlation=st.none() | NAMES,
    tag=st.none() | st.none() | st.tuples(TAG_NAMES, TAG_VALUES),
    since_us=st.none() | st.integers(0, 60),
    before_us=st.none() | st.integers(0, 60),
    limit=st.none() | st.integers(0, 5),
    newest_first=st.booleans(),
)


def answer(log: EventLog, call: str, *arguments: Any) -> Any:
    """What a call answers, or how it is refused, in a form that can be compared."""
    try:
        result = getattr(log, call)(*arguments)
        if call in {"read", "verify"}:
            return [msgspec.structs.astuple(record) for record in result]
        return list(result) if call == "snapshots" else result
    except LogError as error:
        return type(error), vars(error), str(error).replace(getattr(log, "path", ""), "")


class Logs(RuleBasedStateMachine):
    """The last log is the one that a pending index would not show in: its index is filled after every batch."""

    @initialize()
    def new_logs(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        # They are one log's copies, since ids and hashes hang on the identity.
        first = SqliteLog(folder / "one.db")
        first.open()
        first.close()
        shutil.copy(folder / "one.db", folder / "two.db")
        memory = MemoryLog(identity=first.identity)
        memory.open()
        self.logs: list[EventLog] = [memory.reopened(), first.reopened(), SqliteLog(folder / "two.db")]
        self.moment = 0
        self.same("open")

    def same(self, call: str, *arguments: Any) -> Any:
        answers = [answer(log, call, *arguments) for log in self.logs]
        assert answers[0] == answers[1] == answers[2], (call, arguments)
        return answers[0]

    @rule(drafts=st.lists(DRAFTS, min_size=0, max_size=12))
    def write(self, drafts: list[dict[str, Any]]) -> None:
        position, records, versions = self.logs[0].head().position, [], dict[tuple[str, str], int]()
        for given in drafts:
            fields = dict(given)
            position += fields.pop("step")
            self.moment += fields.pop("later")
            stream = (fields["aggregate_type"], fields["aggregate_id"])
            version = versions.get(stream, self.logs[0].version(*stream)) + fields.pop("version_step")
            versions[stream] = version
            records.append(Recorded(position=position, schema_version=1, aggregate_version=version, occurred_at_us=self.moment, **fields))
        self.same("write", records)
        indexed = self.logs[2]
        assert isinstance(indexed, SqliteLog)
        assert isinstance(indexed._upkeep, Upkeep)
        indexed._upkeep.fill_correlations(indexed.head().position)

    @rule(query=QUERIES)
    def read(self, query: Query) -> None:
        self.same("read", query)

    @rule(query=QUERIES, position=st.integers(0, 60), foreign=st.sampled_from([0, 0, 0, 1]))
    def read_by_id(self, query: Query, position: int, foreign: int) -> None:
        # All moments are within the first millisecond, so an id of this log is right if there is such a position.
        event_id = event_id_of(log_tag_of(self.logs[0].identity) ^ foreign, position, 0)
        found = self.same("read", msgspec.structs.replace(query, event_id=event_id))
        assert not (foreign and found)
        self.same("read", Query(event_id=event_id))

    @rule(aggregate_type=AGGREGATE_TYPES, aggregate_id=st.one_of(NAMES, TOKENS))
    def ask_the_version(self, aggregate_type: str, aggregate_id: str) -> None:
        self.same("version", aggregate_type, aggregate_id)

    @rule(owner=NAMES, back=st.integers(-2, 9), whose_hash=st.integers(0, 1), body=st.binary(max_size=9))
    def save_snapshot(self, owner: str, back: int, whose_hash: int, body: bytes) -> None:
        position = max(0, self.logs[0].head().position - back)
        at = next(self.logs[0].read(Query(after=position - 1 - whose_hash, limit=1)), None) if position else None
        self.same("save_snapshot", Snapshot(owner=owner, position=position, hash=at.hash if at else b"", format=1, body=body))

    @rule(owner=NAMES)
    def read_snapshots(self, owner: str) -> None:
        self.same("snapshots", owner)

    @precondition(lambda self: self.logs[0].epoch < 7)
    @rule()
    def reopen(self) -> None:
        fenced = self.logs
        self.logs = [log.reopened() for log in self.logs]
        self.same("open")
        for log in fenced:
            refused = answer(log, "write", [])
            assert isinstance(refused, tuple), refused

    @invariant()
    def the_head_and_the_epoch_agree(self) -> None:
        self.same("head")
        assert len({log.epoch for log in self.logs}) == 1

    def teardown(self) -> None:
        if hasattr(self, "logs"):
            try:
                self.same("verify")
            finally:
                for log in self.logs:
                    log.close()
                self.folder.cleanup()


Logs.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestLogsAgree = Logs.TestCase
