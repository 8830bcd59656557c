"""The pure heart of sagas, held against a model of its own in plain dicts, for any saga and any course of events."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.domain.record import RecordMeta
from tallystick.domain.sagas import events as said
from tallystick.domain.sagas.plan import Patience, SagaPlan, StepPlan
from tallystick.domain.sagas.state import ACTIVE, Instance, Move, apply, moves

NONE = Patience(None, None)


def plan_of(*steps: dict[str, Any]) -> SagaPlan:
    made = tuple(
        StepPlan(
            name=f"s{place}",
            place=place,
            after=step.get("after", (place - 1,) if place else ()),
            act=str,
            patience=NONE,
            pivot=step.get("pivot", False),
            in_doubt=step.get("in_doubt", "undo"),
            undo=str if step.get("undoable", True) and not step.get("pivot") else None,
            undo_by_key=str if step.get("by_key") else None,
            undo_patience=NONE,
            child=None,
            result=str,
            actions=(),
        )
        for place, step in enumerate(steps)
    )
    return SagaPlan("S", 1, made, {step.name: step.place for step in made}, str, str, ())


@st.composite
def plans(draw: st.DrawFn) -> SagaPlan:
    count = draw(st.integers(1, 5))
    pivot = draw(st.none() | st.integers(0, count - 1))
    steps = []
    for place in range(count):
        earlier = range(place)
        if pivot is not None and place >= pivot:
            after = tuple(earlier) if place == pivot else (pivot,)  # whatever is not before a pivot is after it
        else:
            after = tuple(sorted(draw(st.sets(st.sampled_from(earlier))))) if place else ()
        undoable = draw(st.booleans())
        steps.append(
            {
                "after": after,
                "pivot": place == pivot,
                "undoable": undoable,
                "by_key": undoable and place != pivot and draw(st.booleans()),
                "in_doubt": draw(st.sampled_from(("undo", "ask_person", "ignore"))),
            }
        )
    return plan_of(*steps)


def kind(base: type[Any], step: str) -> type[Any]:
    made: type[Any] = RecordMeta(base.__name__, (base,), {"__annotations__": {}, "step": step, "__module__": __name__})
    return made


class Play:
    """An instance, and what is open of it by the moves that were made: the outside world answers what is open, and nothing else."""

    def __init__(self, plan: SagaPlan) -> None:
        self.plan = plan
        self.instance = Instance()
        self.open: dict[tuple[str, int], int] = {}
        self.log: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.tell(said.Started(saga_id="1", definition_version=1, input="x"))

    def tell(self, event: said.SagaEvent) -> None:
        pending = [event]
        while pending:
            event = pending.pop(0)
            before, self.instance = self.instance, apply(self.plan, self.instance, event)
            for move in moves(self.plan, before, self.instance):
                follows = self._make(move, event)
                if follows is not None:
                    pending.append(follows)

    def _make(self, move: Move, event: said.SagaEvent) -> said.SagaEvent | None:
        match move.deed:
            case "complete":
                self.ended.append("completed")
                return said.Completed(saga_id="1", result="r")
            case "compensated":
                self.ended.append("compensated")
                return said.Compensated(saga_id="1", step=self.instance.step, code=self.instance.code)
            case "withdraw":
                del self.open["begin", move.place]
                return self.step_event(said.StepInDoubt, move.place, key="k", code="CANCELLED", may_ask=True)
            case "release":
                if not isinstance(event, said.Redriven):
                    del self.open["attend", move.place]
                return None
            case deed:
                assert (deed, move.place) not in self.open
                self.open[deed, move.place] = len(self.log)
                self.log.append((deed, move.place))
                return None

    def step_event(self, base: type[Any], place: int, **fields: Any) -> said.SagaEvent:
        event: said.SagaEvent = kind(base, f"s{place}")(saga_id="1", **fields)
        return event

    def answer(self, draw: Any) -> None:
        deed, place = draw(st.sampled_from(sorted(self.open)))
        del self.open[deed, place]
        match deed:
            case "begin":
                event = draw(
                    st.sampled_from(
                        (
                            self.step_event(said.StepDone, place, result="r"),
                            self.step_event(said.StepFailed, place, code="NO"),
                            self.step_event(said.StepInDoubt, place, key="k", code="?", may_ask=True),
                            self.step_event(said.StepInDoubt, place, key="k", code="?", may_ask=False),
                        )
                    )
                )
            case "ask":
                event = draw(
                    st.sampled_from(
                        (
                            self.step_event(said.StepDoneAfterAll, place, result="r"),
                            self.step_event(said.StepNotDone, place),
                            self.step_event(said.StepDoubtRemains, place, code="?"),
                        )
                    )
                )
            case "undo":
                event = draw(
                    st.sampled_from((self.step_event(said.StepUndone, place), self.step_event(said.StepUndoFailed, place, code="NO")))
                )
            case _:
                by_hand = self.instance.steps[place].status != "stuck_step" and draw(st.booleans())
                event = said.Redriven(saga_id="1", step=f"s{place}", by_hand=by_hand, may_ask=True)
        self.tell(event)

    def hears_late(self, draw: Any) -> None:
        """A success that comes after a step was given up, of the round that was begun last."""
        given_up = {"doubt", "asking", "not_done", "failed", "undoing", "undone", "stuck_doubt", "stuck_undo", "stuck_step"}
        places = [place for place, step in enumerate(self.instance.steps) if step.status in given_up]
        if places:
            place = draw(st.sampled_from(places))
            self.tell(self.step_event(said.StepDoneLate, place, round=self.instance.steps[place].rounds, result="late"))


@settings(max_examples=400, deadline=None)
@given(plans(), st.data())
def test_whatever_happens_a_saga_has_something_open_or_has_ended_once(plan: SagaPlan, data: st.DataObject) -> None:
    play, draw = Play(plan), data.draw
    for _ in range(40):
        instance = play.instance
        ended = instance.phase in {"completed", "compensated"}
        assert ended or play.open, "L3"
        assert len(play.ended) == (1 if ended else 0)
        for place, step in enumerate(instance.steps):
            deeds = {deed for deed, where in play.open if where == place}
            expected = {"running": {"begin"}, "asking": {"ask"}, "undoing": {"undo"}}.get(step.status, set[str]())
            assert deeds - {"attend"} == expected
            assert ("attend" in deeds) == step.needs_person
        if not play.open:
            play.hears_late(draw)
            if not play.open:
                return
        match draw(st.sampled_from(("answer", "answer", "answer", "cancel", "late"))):
            case "answer":
                play.answer(draw)
            case "late":
                play.hears_late(draw)
            case _ if instance.phase == "running" and not instance.cancelled and not _past_pivot(plan, instance):
                play.tell(said.CancelRequested(saga_id="1", reason="enough"))
            case _:
                pass


def _past_pivot(plan: SagaPlan, instance: Instance) -> bool:
    return any(step.pivot and instance.steps[step.place].status == "done" for step in plan.steps)


@settings(max_examples=400, deadline=None)
@given(plans(), st.data())
def test_compensations_run_in_reverse_one_at_a_time_and_only_for_what_was_done_or_is_in_doubt(plan: SagaPlan, data: st.DataObject) -> None:
    """No success comes late here, which would be undone when it comes."""
    play, draw = Play(plan), data.draw
    while play.open:
        before = play.instance
        play.answer(draw)
        undone = [place for deed, place in play.log if deed == "undo"]
        assert list(dict.fromkeys(undone)) == sorted(set(undone), reverse=True)
        assert sum(deed in {"undo", "ask"} for deed, _ in play.open) <= 1 or before.phase == "running"
        if len(play.log) > 60:
            break
    possible = {place for deed, place in play.log if deed == "begin"}
    assert {place for deed, place in play.log if deed == "undo"} <= possible
    if play.ended == ["compensated"]:
        left = [step for step, its in zip(play.instance.steps, plan.steps, strict=True) if step.status == "done" and its.undoable]
        assert left == []
        assert not any(step.status in ACTIVE for step in play.instance.steps)


@settings(max_examples=200, deadline=None)
@given(plans())
def test_when_all_goes_well_each_step_is_begun_once_and_after_those_it_waits_for(plan: SagaPlan) -> None:
    play = Play(plan)
    done: list[int] = []
    while play.open:
        ((_, place), *_) = sorted(play.open)
        assert set(plan.steps[place].after) <= set(done)
        del play.open["begin", place]
        done.append(place)
        play.tell(play.step_event(said.StepDone, place, result="r"))
    assert play.ended == ["completed"]
    assert sorted(place for _, place in play.log) == list(range(len(plan.steps)))


# Single cases


def test_steps_that_wait_for_the_same_one_are_begun_at_once() -> None:
    play = Play(plan_of({}, {"after": (0,)}, {"after": (0,)}))
    del play.open["begin", 0]
    play.tell(play.step_event(said.StepDone, 0, result="r"))
    assert sorted(play.open) == [("begin", 1), ("begin", 2)]


def test_what_runs_beside_a_step_that_fails_is_withdrawn_and_undone_first() -> None:
    play = Play(plan_of({"after": ()}, {"after": ()}))
    del play.open["begin", 0]
    play.tell(play.step_event(said.StepFailed, 0, code="NO"))
    assert list(play.open) == [("ask", 1)]


def test_a_success_that_comes_when_a_step_is_undone_by_its_key_changes_nothing() -> None:
    for late in (True, False):
        play = Play(plan_of({"by_key": True}))
        del play.open["begin", 0]
        play.tell(play.step_event(said.StepInDoubt, 0, key="k", code="?"))
        if late:
            play.tell(play.step_event(said.StepDoneLate, 0, round=1, result="r"))
        del play.open["undo", 0]
        play.tell(play.step_event(said.StepUndone, 0))
        play.tell(play.step_event(said.StepDoneLate, 0, round=1, result="r"))
        assert play.open == {}
        assert play.ended == ["compensated"]


def test_a_cancel_waits_for_a_pivot_that_is_out_and_comes_too_late_when_it_is_done() -> None:
    play = Play(plan_of({"pivot": True}, {}))
    play.tell(said.CancelRequested(saga_id="1", reason="enough"))
    assert play.instance.phase == "running"
    del play.open["begin", 0]
    play.tell(play.step_event(said.StepDone, 0, result="r"))
    assert list(play.open) == [("begin", 1)]


def test_a_pivot_in_doubt_is_asked_about_before_anything_is_undone() -> None:
    play = Play(plan_of({}, {"pivot": True}))
    for base, place in ((said.StepDone, 0),):
        del play.open["begin", place]
        play.tell(play.step_event(base, place, result="r"))
    del play.open["begin", 1]
    play.tell(play.step_event(said.StepInDoubt, 1, key="k", code="?", may_ask=True))
    assert list(play.open) == [("ask", 1)]
    del play.open["ask", 1]
    play.tell(play.step_event(said.StepNotDone, 1))
    assert list(play.open) == [("undo", 0)]


def test_what_fails_past_a_pivot_waits_for_a_person_and_is_then_tried_again() -> None:
    play = Play(plan_of({"pivot": True}, {}))
    del play.open["begin", 0]
    play.tell(play.step_event(said.StepDone, 0, result="r"))
    del play.open["begin", 1]
    play.tell(play.step_event(said.StepFailed, 1, code="NO"))
    assert list(play.open) == [("attend", 1)]
    del play.open["attend", 1]
    play.tell(said.Redriven(saga_id="1", step="s1"))
    assert list(play.open) == [("begin", 1)]
    assert play.instance.steps[1].rounds == 2


def test_a_success_of_an_earlier_round_past_a_pivot_is_for_a_person_to_see() -> None:
    play = Play(plan_of({"pivot": True}, {}))
    del play.open["begin", 0]
    play.tell(play.step_event(said.StepDone, 0, result="r"))
    del play.open["begin", 1]
    play.tell(play.step_event(said.StepInDoubt, 1, key="k", code="?", may_ask=True))
    del play.open["ask", 1]
    play.tell(play.step_event(said.StepNotDone, 1))
    play.tell(play.step_event(said.StepDoneLate, 1, round=1, result="r"))
    assert sorted(play.open) == [("attend", 1), ("begin", 1)]


def test_what_has_ended_says_nothing_more_but_undoes_what_comes_late() -> None:
    play = Play(plan_of({}))
    del play.open["begin", 0]
    play.tell(play.step_event(said.StepInDoubt, 0, key="k", code="?", may_ask=True))
    del play.open["ask", 0]
    play.tell(play.step_event(said.StepNotDone, 0))
    assert play.ended == ["compensated"]
    play.tell(play.step_event(said.StepDoneLate, 0, round=1, result="r"))
    assert list(play.open) == [("undo", 0)]
    del play.open["undo", 0]
    play.tell(play.step_event(said.StepUndone, 0))
    assert play.ended == ["compensated"]
    assert play.open == {}


def test_what_comes_to_light_while_a_person_is_waited_for_is_undone_before_what_the_person_has_tried_again() -> None:
    play = Play(plan_of({}, {"after": (0,)}, {"after": (0,)}))
    for happened, place in ((said.StepDone, 0), (said.StepFailed, 2)):
        del play.open["begin", place]
        play.tell(play.step_event(happened, place, **({"result": "r"} if happened is said.StepDone else {"code": "NO"})))
    del play.open["ask", 1]  # it ran beside the one that failed, and was withdrawn
    play.tell(play.step_event(said.StepNotDone, 1))
    del play.open["undo", 0]
    play.tell(play.step_event(said.StepUndoFailed, 0, code="NO"))
    play.tell(play.step_event(said.StepDoneLate, 1, round=1, result="late"))
    assert list(play.open) == [("attend", 0)]
    del play.open["attend", 0]
    play.tell(said.Redriven(saga_id="1", step="s0"))
    assert list(play.open) == [("undo", 1)]
    del play.open["undo", 1]
    play.tell(play.step_event(said.StepUndone, 1))
    assert list(play.open) == [("undo", 0)]
    del play.open["undo", 0]
    play.tell(play.step_event(said.StepUndone, 0))
    assert play.ended == ["compensated"]
