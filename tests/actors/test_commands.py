"""Commands: answered once, remembered by key, and never before what they rest on is durable (P15, P16)."""

from concurrent.futures import Future
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.messages import Ask
from tallystick.actors.replies import HostReply
from tests.actors.stage import Stage
from tests.actors.workshop import Desk, Do, Drop, Order, Ordered

DAY_S = 24 * 3600


def test_p15_a_command_with_a_key_is_carried_out_once_and_answered_alike(stage: Stage) -> None:
    assert [stage.system.ask(Do(job_id="a"), idempotency_key="k") for _ in range(3)] == ["a"] * 3
    stage.idle()
    assert len(stage.of_type("JobBegun")) == 1
    assert stage.types().count("CommandSettled") == 1
    assert stage.counted("repeated_commands") == 2


def test_p15_the_answer_is_appended_with_the_events_of_its_command(stage: Stage) -> None:
    stage.idle()
    stage.system.ask(Do(job_id="a"), idempotency_key="k")
    batch = next(batch for batch in stage.disk.batches if "CommandSettled" in batch)
    assert batch == ("JobBegun", "MakingStarted", "CommandSettled")
    assert len({each.occurred_at_us for each in stage.written if each.event_type in batch}) == 1


def test_p15_a_command_that_yields_nothing_appends_its_answer_all_the_same(stage: Stage) -> None:
    assert stage.system.ask(Drop(job_id="nobody's"), idempotency_key="k") == 0
    assert stage.types() == ["CommandSettled"]


def test_p15_other_content_under_the_same_key_is_a_conflict_that_is_recorded_and_changes_nothing_else(stage: Stage) -> None:
    stage.system.ask(Do(job_id="a"), idempotency_key="k")
    stage.idle()
    before = stage.types()
    others: list[ts.Command[Any]] = [Do(job_id="b"), Do(job_id="a", steps=2), Drop(job_id="a"), Order(order_id="a")]
    for other in others:
        with pytest.raises(ts.IdempotencyConflict, match="'k'"):
            stage.system.ask(other, idempotency_key="k")
    assert stage.types() == [*before, *["IdempotencyConflicted"] * 4]
    assert [each.command for each in stage.events("IdempotencyConflicted")] == ["Do", "Do", "Drop", "Order"]
    assert {each.key for each in stage.events("IdempotencyConflicted")} == {"k"}
    assert stage.counted("idempotency_conflicts") == 4
    assert stage.system.ask(Do(job_id="a"), idempotency_key="k") == "a"


@pytest.mark.parametrize("same", [True, False])
def test_p15_a_concurrent_duplicate_is_answered_from_the_tail_and_no_sooner_than_the_first(stage: Stage, *, same: bool) -> None:
    stage.idle()
    first = stage.system.submit(Do(job_id="a"), idempotency_key="k")
    second = stage.system.submit(Do(job_id="a" if same else "b"), idempotency_key="k")
    stage.step_until(lambda: stage.counted("repeated_commands") == 1)
    assert "CommandSettled" not in stage.types(), "the duplicate must be decided while the first is not yet durable"
    assert not first.done()
    assert not second.done()
    stage.idle()
    assert first.result() == "a"
    assert second.result() == "a" if same else isinstance(second.exception(), ts.IdempotencyConflict)
    assert len(stage.of_type("JobBegun")) == 1


@pytest.mark.parametrize("refused", [False, True])
def test_p15_of_two_owners_that_are_given_one_key_at_the_same_moment_one_uses_it(stage: Stage, *, refused: bool) -> None:
    """On a thread each, the second may look for the key before the first has appended its answer."""
    if refused:
        stage.system.ask(Do(job_id="a"))
        stage.idle()
    ordered: Future[Any] = Future()

    def hook(what: str, _job_id: str) -> None:
        if what == "do" and not ordered.done():
            ordered.set_result(None)
            reply = HostReply(lambda _reply: True, HostReply.resolve)
            stage.engine.owners["desk"].handlers[Ask](Ask(Order(order_id="b"), "k", reply))

    stage.workshop.hook = hook
    with pytest.raises(ts.IdempotencyConflict):
        stage.system.ask(Do(job_id="a"), idempotency_key="k")
    stage.idle()
    assert (len(stage.of_type("Ordered")), len(stage.of_type("CommandSettled"))) == (1, 1)
    assert [each.job_id for each in stage.events("JobBegun")] == (["a"] if refused else []) + ["b"]


def test_p15_if_the_first_ones_commit_fails_so_does_its_duplicates(stage: Stage) -> None:
    stage.idle()
    first = stage.system.submit(Do(job_id="a"), idempotency_key="k")
    second = stage.system.submit(Do(job_id="a"), idempotency_key="k")
    stage.disk.fails(written=False)
    stage.idle()
    assert isinstance(first.exception(), ts.CommitUnknown)
    assert isinstance(second.exception(), ts.CommitUnknown)
    assert stage.system.ask(Do(job_id="a"), idempotency_key="k") == "a"


@pytest.mark.parametrize("written", [False, True])
def test_p15_after_an_unknown_commit_asking_again_with_the_key_does_it_once(stage: Stage, *, written: bool) -> None:
    stage.idle()
    stage.disk.fails(written=written)
    with pytest.raises(ts.CommitUnknown):
        stage.system.ask(Do(job_id="a"), idempotency_key="k")
    assert stage.system.ask(Do(job_id="a"), idempotency_key="k") == "a"
    stage.idle()
    assert len(stage.of_type("JobBegun")) == 1


def test_p15_a_refusal_is_remembered_even_when_the_state_would_now_allow_the_command(stage: Stage) -> None:
    refused = ["a"]

    def hook(what: str, job_id: str) -> None:
        if what == "do" and job_id in refused:
            code = "CLOSED"
            raise ts.Rejected(code, "come back tomorrow")

    stage.workshop.hook = hook
    for _ in range(2):
        with pytest.raises(ts.Rejected) as refusal:
            stage.system.ask(Do(job_id="a"), idempotency_key="k")
        assert (refusal.value.code, refusal.value.message) == ("CLOSED", "come back tomorrow")
        refused.clear()
    stage.crash()
    with pytest.raises(ts.Rejected, match="CLOSED"):
        stage.system.ask(Do(job_id="a"), idempotency_key="k")
    assert stage.types() == ["CommandSettled"]
    assert stage.system.ask(Do(job_id="a"), idempotency_key="another") == "a"


def test_p15_a_refusal_without_a_key_writes_nothing(stage: Stage) -> None:
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    before = stage.types()
    with pytest.raises(ts.Rejected, match="KNOWN"):
        stage.system.ask(Do(job_id="a"))
    assert stage.types() == before


def test_p15_an_error_that_is_no_refusal_is_not_remembered(stage: Stage) -> None:
    raising = [ValueError("a bug")]

    def hook(_what: str, _job_id: str) -> None:
        if raising:
            raise raising.pop()

    stage.workshop.hook = hook
    with pytest.raises(ValueError, match="a bug"):
        stage.system.ask(Do(job_id="a"), idempotency_key="k")
    assert stage.system.ask(Do(job_id="a"), idempotency_key="k") == "a"


@pytest.mark.parametrize("way", ["crash", "stop"])
def test_p15_keys_are_remembered_for_thirty_days_across_restarts(stage: Stage, way: str) -> None:
    stage.system.ask(Do(job_id="a"), idempotency_key="k")
    stage.advance(30 * DAY_S - 1)
    (stage.crash if way == "crash" else stage.reopen)()
    with pytest.raises(ts.IdempotencyConflict):
        stage.system.ask(Do(job_id="b"), idempotency_key="k")
    stage.advance(2)
    assert stage.system.ask(Do(job_id="b"), idempotency_key="k") == "b"
    with pytest.raises(ts.IdempotencyConflict):
        stage.system.ask(Do(job_id="a"), idempotency_key="k")


class Odd(ts.Command[str]):
    """A command whose handler does not keep its promise of a string."""

    number: int


class Careless(ts.Module):
    name = "careless"

    @ts.handles(Odd, emits=[Ordered])
    def odd(self, _turn: ts.Turn, command: Odd) -> Any:
        yield Ordered(order_id="x")
        return command.number

    @ts.handles(Drop)
    def no_generator(self, _turn: ts.Turn, _command: Drop) -> Any:
        return 3


@pytest.fixture
def careless() -> Stage:
    return Stage([Careless()])


def test_p15_a_reply_that_could_not_be_given_again_is_an_error_at_once_and_writes_nothing(careless: Stage) -> None:
    for _ in range(2):
        with pytest.raises(ts.InvalidPayload):
            careless.system.ask(Odd(number=1), idempotency_key="k")
    assert careless.types() == []
    assert careless.system.health().restarts == 0


def test_p15_content_that_cannot_be_hashed_is_the_callers_error_and_stops_nothing(stage: Stage) -> None:
    stage.system.ask(Do(job_id="a"), idempotency_key="k")
    unwritable: Any = object()
    for key in ("k", "another"):
        with pytest.raises((ts.InvalidPayload, TypeError)):
            stage.system.ask(Do(job_id="b", place=unwritable), idempotency_key=key)
    assert stage.system.health().restarts == 0
    assert stage.system.ask(Do(job_id="a"), idempotency_key="k") == "a"


def test_a_command_handler_that_is_no_generator_is_the_callers_error(careless: Stage) -> None:
    with pytest.raises(ts.EffectError, match="no generator"):
        careless.system.ask(Drop(job_id="a"))
    assert careless.system.health().restarts == 0


def test_a_command_that_no_module_handles_is_refused_by_name() -> None:
    stage = Stage([Desk()])
    with pytest.raises(ts.UnknownCommand, match="Do"):
        stage.system.ask(Do(job_id="a"))


@pytest.mark.parametrize("second", [Do(job_id="a"), Drop(job_id="nobody's")], ids=["a refusal", "an answer without events"])
def test_p16_what_was_decided_on_speculative_state_leaves_when_that_state_is_durable(stage: Stage, second: ts.Command[Any]) -> None:
    """S14."""
    stage.idle()
    stage.system.submit(Do(job_id="a"))
    reply = stage.system.submit(second)
    stage.step_until(stage.engine.owners["workshop"].post.empty)
    assert stage.engine.journal.tail > stage.engine.journal.watermark, "both must be decided before anything is written"
    assert not reply.done()
    stage.idle()
    assert isinstance(reply.exception(), ts.Rejected) if isinstance(second, Do) else reply.result() == 1


def test_p16_a_failed_command_leaves_nothing_behind(stage: Stage) -> None:
    class Half(ts.Module):
        name = "half"

        @ts.handles(Order, emits=[Ordered])
        def order(self, _turn: ts.Turn, command: Order) -> ts.Decision[str]:
            yield Ordered(order_id=command.order_id)
            raise ValueError(command.text)

    stage = Stage([Half()])
    for key in (None, "k"):
        with pytest.raises(ValueError, match="half way"):
            stage.system.ask(Order(order_id="x", text="half way"), idempotency_key=key)
    assert stage.types() == []
