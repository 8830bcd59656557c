"""What waits for an answer from outside: little is kept of it, and nothing that it has to do with goes otherwise."""

import pytest

import tallystick as ts
from tests.actors.outside import Provider
from tests.actors.stage import Stage
from tests.actors.workshop import Do, Drop, Work

KEPT: list[ts.Call] = []


class KeepsItsCalls(Provider):
    """One who promises, and keeps the call to ask it from time to time."""

    def work(self, action: Work, call: ts.Call) -> str | ts.Later:
        KEPT.append(call)
        return super().work(action, call)


@pytest.fixture
def promised(stage: Stage) -> Stage:
    """Job "a" at a place, whose answer was promised."""
    stage.provider.answers("a", ts.Later())
    stage.system.ask(Do(job_id="a", place="bench"))
    stage.idle()
    return stage


def outside(stage: Stage) -> list[str]:
    """The jobs of which nothing is kept but what was to be performed."""
    held = stage.engine.queue.held
    return [start.actions[0].job_id for start in held.entries.outside.values() if isinstance(start.actions[0], Work)]


def test_of_what_was_promised_the_queue_keeps_what_was_to_be_performed_and_the_pool_where(promised: Stage) -> None:
    pool = promised.system._pool
    assert outside(promised) == ["a"]
    assert not promised.engine.queue.held.entries
    assert (len(pool._calls), len(pool._answers), len(pool.promises)) == (0, 0, 1)
    assert promised.system.complete(promised.token("a"), "done at last")
    promised.idle()
    assert (outside(promised), len(pool.promises)) == ([], 0)
    assert [event.result for event in promised.events("JobDone")] == ["done at last"]


def test_an_answer_that_was_not_promised_is_refused_and_the_right_one_still_awaited(promised: Stage) -> None:
    token, before = promised.token("a"), promised.types()
    for wrong in (4711, None, ["done"]):
        with pytest.raises(ts.InvalidPayload, match="not a str"):
            promised.system.complete(token, wrong, who="Ann", why="by telephone")
    promised.idle()
    assert promised.types() == before, "neither an end nor that somebody tried"
    assert [each.execution.token for each in promised.system.open_executions()] == [token]
    assert promised.system.complete(token, "done at last")


def test_the_next_of_its_line_waits_for_it(promised: Stage) -> None:
    promised.system.ask(Do(job_id="b", place="bench"))
    promised.idle()
    assert [call.job_id for call in promised.provider.calls] == ["a"]
    promised.system.complete(promised.token("a"), "done")
    promised.idle()
    assert [call.job_id for call in promised.provider.calls] == ["a", "b"]


def test_a_rebuilt_engine_makes_no_promised_call_again_even_where_nobody_can_be_asked() -> None:
    stage = Stage(probes=False)
    stage.provider.answers("a", ts.Later())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    stage.disk.fails(written=False)
    stage.system.submit(Do(job_id="b", steps=0))
    stage.idle()
    assert stage.system.health().restarts == 1
    assert len(stage.provider.calls) == 1
    assert "AttemptStarted" not in stage.types(), "it is not in doubt"
    assert outside(stage) == ["a"]


def test_another_process_finds_the_promise_by_its_question(promised: Stage) -> None:
    promised.provider.found["a"] = ts.Later()
    promised.crash()
    promised.idle()
    assert len(promised.provider.calls) == 1
    assert outside(promised) == ["a"]
    assert promised.system.complete(promised.token("a"), "done at last")
    promised.idle()
    assert outside(promised) == []


def test_a_call_that_its_performer_has_kept_is_told_that_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.actors.stage.Provider", KeepsItsCalls)
    KEPT.clear()
    stage = Stage()
    stage.provider.answers("a", ts.Later())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    assert not KEPT[0].cancelled()
    stage.system.ask(Drop(job_id="a"))
    stage.idle()
    assert KEPT[0].cancelled()


def test_a_call_with_more_to_come_is_kept_whole(stage: Stage) -> None:
    stage.provider.answers("a", ts.Later())
    stage.system.ask(Do(job_id="a", steps=2))
    stage.idle()
    assert outside(stage) == []
    stage.system.complete(stage.token("a"), "the first")
    stage.idle()
    assert [call.step for call in stage.provider.calls] == [1, 2]
