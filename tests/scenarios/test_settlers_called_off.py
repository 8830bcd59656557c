"""The colony called off: unassigned, reset, sent elsewhere, crashed in the middle of a queue. No token is left, and none comes again."""

import pytest

import tallystick as ts
from tallystick.scenarios.settlers.events import JobDone, NeedPursued, OrderDone, WorkerUnassigned
from tallystick.scenarios.settlers.levels import RULES, Need
from tallystick.scenarios.settlers.navigation import ResetSettler, SendTo
from tallystick.scenarios.settlers.work import Assign, Unassign
from tests.scenarios.settlers_stage import ANN, BOB, LAND, Meddle, Pause, Played, colony

STARTED = ("WorkingStarted", "PursuingStarted", "GoingStarted")


def test_unassigning_leaves_no_token_and_stops_what_is_done() -> None:
    with colony() as played:
        played.arrive()
        played.steps(30)
        played.system.ask(Unassign(settler=ANN))
        played.check()
        assert played.system.open_executions() == ()
        assert played.system.health().queues_ticking == 0
        after = played.system.health().tail
        played.live(minutes=2)
        assert played.names(after) == []
        played.system.ask(Assign(settler=ANN))
        played.until(JobDone)
        assert len(played.happened(WorkerUnassigned)) == 1


def test_unassigning_in_the_midst_of_an_interruption_leaves_only_the_interruption() -> None:
    with colony(meddled=True) as played:
        played.arrive()
        played.steps(5)
        played.system.ask(Meddle(settler=ANN, labels=("now",), priority=400, actions=(Pause(steps=20),)))
        played.steps(3)
        assert played.system.health().queues_parked == 1
        played.system.ask(Unassign(settler=ANN))
        played.check()
        assert played.system.health().queues_parked == 0
        played.live(seconds=2)
        assert played.meddled() == {"now": "succeeded"}
        assert played.system.open_executions() == ()


@pytest.mark.parametrize("hunger", [0, RULES[Need.HUNGER].urgent - 1])
def test_a_reset_leaves_no_token_and_the_settler_starts_over(hunger: int) -> None:
    with colony() as played:
        played.arrive(hunger=hunger)
        if hunger:
            played.until(NeedPursued)
        played.system.ask(SendTo(settler=ANN, to=LAND.beds[0]))
        played.system.ask(ResetSettler(settler=ANN))
        played.check()
        assert played.system.open_executions() == ()
        played.until(JobDone)


def test_an_order_is_followed_between_two_tasks() -> None:
    with colony() as played:
        played.arrive()
        played.steps(1)
        played.system.ask(SendTo(settler=ANN, to=LAND.beds[0]))
        done = played.until(OrderDone)
        assert done.at == LAND.beds[0] == played.roster.at[ANN]
        played.until(JobDone)


# After a crash, the log is all there is


@pytest.mark.parametrize("steps", [1, 2, 37, 400, 777])
def test_a_crash_in_the_middle_of_a_queue_keeps_its_route(steps: int) -> None:
    log = ts.MemoryLog()
    before = Played(log)
    before.system.__enter__()
    for name in (ANN, BOB):
        before.arrive(name, hunger=RULES[Need.HUNGER].urgent - 20)
    before.steps(steps)
    tokens = {each.execution.token for each in before.system.open_executions()}
    known = before.roster, before.works, before.wellbeing
    log.close()

    after = Played(log.reopened())
    after.clock.advance(before.clock.now - after.clock.now)
    with after.system:
        assert (after.roster, after.works, after.wellbeing) == known
        assert {each.execution.token for each in after.system.open_executions()} == tokens
        after.check()
        after.live(minutes=3)
        started = [each.token for each in after.system.events(event_types=STARTED)]
        assert len(set(started)) == len(started), "no token is used a second time, also not after a crash"
        ended = [each.token for each in after.system.events() if each.settles is not None]
        assert set(started) - set(ended) == {each.execution.token for each in after.system.open_executions()}
        assert len(set(ended)) == len(ended)
