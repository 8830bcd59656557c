"""Names and ids may hold any character: nothing is ever found again by cutting a joined name apart."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tallystick as ts

ODD = [
    ":",
    "/",
    "|",
    "#",
    ".",
    ",",
    " ",
    "\n",
    "\t",
    "'",
    '"',
    "\\",
    "%",
    "_",
    "\0",
    "\x1f",
    "é",
    "🧾",
    "a:b",
    "a::b",
    ":a",
    "a:",
    "{}",
    "null",
]


class Parcel(ts.Event):
    aggregate_type = "Parcel:Box/1"
    parcel_id: str

    @property
    def aggregate_id(self) -> str:
        return self.parcel_id


class Packed(Parcel):
    pass


class Sent(Parcel):
    pass


class Noted(ts.Event):
    aggregate_type = "Parcel"
    parcel_id: str

    @property
    def aggregate_id(self) -> str:
        return f"Box/1:{self.parcel_id}"


class Carry(ts.Action[str]):
    parcel_id: str


class Carrying(ts.Intent[str]):
    parcel_id: str
    timeout = timedelta(minutes=1)
    started = "Carrying: begun / again"
    ends_with = (Sent,)

    @property
    def subject(self) -> str:
        return self.parcel_id


class Box(ts.Aggregate):
    packed: int = 0
    sent: int = 0


class Pack(ts.Command[str]):
    parcel_id: str


class Packing(ts.Module):
    name: ClassVar[str] = "packing: and/or |carrying|"

    @ts.handles(Pack, emits=[Packed])
    def pack(self, _turn: ts.Turn, command: Pack) -> ts.Decision[str]:
        yield Packed(parcel_id=command.parcel_id)
        yield ts.Begin(intent=Carrying(parcel_id=command.parcel_id), actions=(Carry(parcel_id=command.parcel_id),), tags={"a:b": "c|d"})
        return command.parcel_id

    @Carrying.settled
    def carried(self, turn: ts.Turn, carrying: Carrying, _outcome: ts.Outcome[str]) -> ts.Effects:
        assert [each.intent.parcel_id for each in turn.open(Carrying, carrying.parcel_id)] == [carrying.parcel_id]
        yield Sent(parcel_id=carrying.parcel_id)

    @ts.folds(Packed, Box)
    def packed(self, box: Box, _event: Packed) -> Box:
        return Box(packed=box.packed + 1, sent=box.sent)

    @ts.folds(Sent, Box)
    def sent(self, box: Box, _event: Sent) -> Box:
        return Box(packed=box.packed, sent=box.sent + 1)


class Notes(ts.Module):
    name: ClassVar[str] = "packing"

    def __init__(self) -> None:
        self.failing: set[str] = set()

    @ts.reacts_to(Sent, emits=[Noted])
    def sent(self, _turn: ts.Turn, event: Sent) -> ts.Effects:
        if event.parcel_id in self.failing:
            msg = "planted"
            raise ValueError(msg)
        yield Noted(parcel_id=event.parcel_id)


def opened(log: ts.EventLog, notes: Notes | None = None) -> tuple[ts.System, ts.SteppedRuntime]:
    runtime = ts.SteppedRuntime(ts.ManualClock(datetime(2026, 1, 1, tzinfo=UTC)))
    performers = [Carry.performed_by(lambda action, _call: f"carried {action.parcel_id}")]
    return ts.System([Packing(), notes or Notes()], performers=performers, log=log, runtime=runtime), runtime


def lives_through(log: ts.EventLog, ids: list[str]) -> None:
    """Each parcel is packed and carried once, is itself and no other, also when everything is read back."""
    system, runtime = opened(log)
    with system:
        for parcel_id in ids:
            assert system.ask(Pack(parcel_id=parcel_id), idempotency_key=f"{parcel_id}!") == parcel_id
            assert system.ask(Pack(parcel_id=parcel_id), idempotency_key=f"{parcel_id}!") == parcel_id
        runtime.run_until_idle()
    again, runtime = opened(log.reopened())
    with again:
        runtime.run_until_idle()
        for parcel_id in ids:
            assert again.get(Box, parcel_id) == Box(packed=1, sent=1)
            assert again.ask(Pack(parcel_id=parcel_id), idempotency_key=f"{parcel_id}!") == parcel_id
            (noted,) = again.events(aggregate_type="Parcel", aggregate_id=f"Box/1:{parcel_id}")
            assert noted.event_type == "Noted"
        assert len(list(again.events(event_types=("Packed",)))) == len(ids)
        assert again.open_executions() == ()


@pytest.mark.parametrize("where", ["memory", "sqlite"])
def test_separators_in_names_and_ids_break_nothing(where: str, tmp_path: Path) -> None:
    lives_through(ts.MemoryLog() if where == "memory" else ts.SqliteLog(tmp_path / "log.db"), ODD)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4), min_size=1, max_size=4, unique=True))
def test_any_text_is_a_name_of_its_own(ids: list[str]) -> None:
    lives_through(ts.MemoryLog(), ids)


def test_parking_one_odd_id_holds_up_no_other() -> None:
    notes = Notes()
    notes.failing = {"a:b"}
    system, runtime = opened(ts.MemoryLog(), notes)
    with system:
        for parcel_id in ("a:b", "a", "b", ":b", "a:b:c"):
            system.ask(Pack(parcel_id=parcel_id))
        runtime.advance(timedelta(hours=1))
        assert [each.aggregate_id for each in system.events(event_types=("Noted",))] == [
            f"Box/1:{each}" for each in ("a", "b", ":b", "a:b:c")
        ]
        (letter,) = system.dead_letters()
        assert letter.source == ("Parcel:Box/1", "a:b")
        notes.failing = set()
        system.redrive(letter, who="a: person", why="x|y")
        runtime.run_until_idle()
        assert system.dead_letters() == ()
        assert len(list(system.events(event_types=("Noted",)))) == 5
