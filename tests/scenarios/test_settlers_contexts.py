"""What is known of a settler's queue outside of its owner: owner and token, in memory, in the log and in saves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tallystick as ts
from tallystick.domain.protocol import EXECUTION, IntentStarted
from tallystick.scenarios.settlers.colony import Colony
from tallystick.scenarios.settlers.navigation import Going
from tallystick.scenarios.settlers.needs import Pursuing
from tallystick.scenarios.settlers.work import Working
from tallystick.store.save_file import read_save

PRIVATE = {"intent", "task", "need", "relief", "to"}
"""What owners know of what they have begun, and nobody else."""


@pytest.fixture
def colony() -> Iterator[Colony]:
    """Somebody's work is interrupted, others' goes on."""
    with Colony(1, 20) as colony:
        while not colony.system.health().queues_parked:
            assert colony.steps < 4_000, "somebody is interrupted by then"
            colony.step()
        yield colony


def names_in(value: Any) -> Iterator[str]:
    """The names of all fields, however deep."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from names_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names_in(inner)


def test_private_is_what_the_intents_have_beside_their_subject() -> None:
    fields = {name for intent in (Working, Pursuing, Going) for name in intent.__struct_fields__}
    assert fields - {"settler"} | {"intent"} == PRIVATE


def test_in_memory(colony: Colony) -> None:
    entries = list(colony.system._life.engine.queue._entries.values())
    assert len(entries) > 10
    for entry in entries:
        assert set(msgspec.structs.asdict(entry.start.context)) == {"owner", "token"}
        held = msgspec.structs.asdict(entry.start)
        assert not [value for value in held.values() if isinstance(value, ts.Intent | IntentStarted)]
        assert not PRIVATE & set(held)


def test_in_the_log(colony: Colony) -> None:
    """An owner's own record has it all, in the same append as the token; what others write of an execution has no more than the token."""
    records = [each for each in colony.system.events() if each.aggregate_type == EXECUTION]
    begun = [each for each in records if each.event_type.endswith("Started") and each.event_type != "AttemptStarted"]
    assert {each.event_type for each in begun} >= {"WorkingStarted", "PursuingStarted"}
    others = [each for each in records if each not in begun and each.settles is None]
    assert others
    assert all(each.token == each.aggregate_id for each in others)
    assert not {name for each in others for name in names_in(msgspec.json.decode(each.payload))} & PRIVATE


def test_in_saves(colony: Colony, tmp_path: Path) -> None:
    path = tmp_path / "colony.save"
    colony.system.save(path)
    document = msgspec.json.decode(read_save(path))
    queues = document["queues"]
    lines = queues["lines"]
    contexts = [
        queue["context"] for line in lines for queue in (line.get("active"), *line.get("parked", ()), *line.get("waiting", ())) if queue
    ]
    assert len(contexts) > 10
    assert any(line.get("parked") for line in lines)
    assert {tuple(sorted(context)) for context in contexts} == {("owner", "token")}
    assert not set(names_in(queues)) & PRIVATE
    assert set(names_in(document["owners"])) & PRIVATE, "there it is"
