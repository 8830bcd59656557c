"""Processes as pure decisions: whatever order the events come in, and however often, what is lost, begun twice or ended twice?"""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain import process as core
from tallystick.domain.process import ProcessPlan, ProcessState

STEPS = ("payment", "inventory", "shipping", "delivery")
PLAN = ProcessPlan("Fulfilment", STEPS, timedelta(days=1), None)
ID = "o-1"


def hear(state: ProcessState, step: str) -> ProcessState:
    """What the module does with a step's event."""
    steps = core.completes(PLAN, state, step)
    if steps:
        for each in steps:
            state = core.apply(state, core.StepCompleted(process_id=ID, step=each))
        return core.apply(state, core.Completed(process_id=ID)) if core.is_all(PLAN, state, ()) else state
    return core.apply(state, core.StepRemembered(process_id=ID, step=step)) if core.remembers(state, step) else state


def begin(state: ProcessState) -> ProcessState:
    if not core.allows(state, "begin"):
        return state
    ahead = core.catches_up(PLAN, state)
    state = core.apply(state, core.Begun(process_id=ID))
    for step in ahead:
        state = core.apply(state, core.StepCompleted(process_id=ID, step=step))
    return core.apply(state, core.Completed(process_id=ID)) if core.is_all(PLAN, state, ()) else state


happenings = st.lists(st.sampled_from([*STEPS, "begin"]), max_size=30)


@given(happenings)
def test_no_event_that_came_is_lost_and_none_counts_twice_whatever_the_order(heard: list[str]) -> None:
    state = ProcessState()
    for each in heard:
        state = begin(state) if each == "begin" else hear(state, each)
        assert state.done == STEPS[: len(state.done)]
        assert not set(state.done) & set(state.ahead)
        assert len(set(state.ahead)) == len(state.ahead)
        assert (state.phase == "completed") == (state.done == STEPS)
    came = {each for each in heard if each != "begin"}
    assert set(state.done) | set(state.ahead) == came
    if "begin" in heard:
        first_missing = next((place for place, step in enumerate(STEPS) if step not in came), len(STEPS))
        assert state.done == STEPS[:first_missing]


@given(st.permutations([*STEPS, "begin"]))
def test_every_order_of_the_events_ends_completed(heard: list[str]) -> None:
    state = ProcessState()
    for each in heard:
        state = begin(state) if each == "begin" else hear(state, each)
    assert (state.phase, state.ahead) == ("completed", ())


@given(st.lists(st.sampled_from(["begin", "complete", "fail", "retry", "reset"]), max_size=20))
def test_the_phases_change_by_the_transitions_and_in_no_other_way(changes: list[core.Change]) -> None:
    phase: core.Phase = "idle"
    for change in changes:
        before, phase = phase, core.TRANSITIONS.get((phase, change), phase)
        assert (before, phase) in {
            *((same, same) for same in ("idle", "processing", "completed", "failed")),
            ("idle", "processing"),
            ("processing", "completed"),
            ("processing", "failed"),
            ("failed", "processing"),
            ("failed", "idle"),
            ("completed", "idle"),
        }


@given(st.lists(st.sampled_from(STEPS), max_size=10))
def test_a_completed_process_remembers_nothing_and_a_reset_one_begins_from_nothing(heard: list[str]) -> None:
    state = begin(ProcessState())
    for step in STEPS:
        state = hear(state, step)
    for step in heard:
        assert hear(state, step) == state
    assert core.apply(state, core.Reset(process_id=ID)) == ProcessState()


def test_what_comes_while_it_has_failed_counts_when_it_is_retried() -> None:
    state = core.apply(hear(begin(ProcessState()), "payment"), core.ProcessFailed(process_id=ID, reason="x"))
    state = hear(state, "inventory")
    assert (state.phase, state.done, state.ahead) == ("failed", ("payment",), ("inventory",))
    assert core.catches_up(PLAN, state) == ("inventory",)
