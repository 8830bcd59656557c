"""Refused commands leave nothing in memory: neither the error, nor all that its traceback leads to."""

import gc

import pytest

import tallystick as ts
from tests.actors.stage import Stage
from tests.actors.workshop import Do

REFUSALS = 10


def refusals_in_memory() -> int:
    gc.collect()
    return sum(isinstance(each, ts.Rejected) for each in gc.get_objects())


def test_a_refusal_is_let_go_when_its_caller_has_let_go_of_it() -> None:
    stage = Stage()
    stage.system.ask(Do(job_id="once"))
    before = refusals_in_memory()
    for _ in range(REFUSALS):
        with pytest.raises(ts.Rejected):
            stage.system.ask(Do(job_id="once"))
    assert refusals_in_memory() - before < REFUSALS / 2
