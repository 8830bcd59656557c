"""What performers answer, handlers raise and hosts say, of any size, and text or not: it ends no engine, and no token is lost for it."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.messages import Context, QueueFailed
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.domain.text import TEXT_LIMIT_CHARS
from tallystick.store import codec
from tests.actors.outside import PATIENCE_S, FaultyLog, StillRunning, wait_until
from tests.actors.stage import Stage
from tests.actors.workshop import Do, Order

HALF: str = json.loads('"nice \\ud83d"')
"""A text of which somebody's program has cut half of an emoji off."""
LARGE = "x" * 1_100_000
"""More than an event may have."""


class Rude(ts.Rejected):
    """Its type does without what ours would have set."""

    def __init__(self) -> None:
        Exception.__init__(self)


class Hasty(ts.RetryAfter):
    """As rude as that."""

    def __init__(self, delay: object = None) -> None:
        Exception.__init__(self)
        if delay is not None:
            self.delay = delay  # type: ignore[assignment]  # of an untyped program


class Brooding(ts.Rejected):
    """Its code cannot be had."""

    @property
    def code(self) -> str:
        raise RuntimeError

    @code.setter
    def code(self, _code: str) -> None:
        """Whatever it is told."""


class SpeechlessError(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError


class Fragile:
    """Cannot be written, in a way of its own."""

    def __init__(self) -> None:
        self.itself: list[Any] = []
        self.itself.append(self.itself)


class Fetch(ts.Action[str]):
    what: str


class Fetched(ts.Event):
    aggregate_type = "Fetch"
    what: str

    @property
    def aggregate_id(self) -> str:
        return self.what


class Fetching(ts.Intent[str]):
    what: str
    retry = ts.FixedDelay(interval=timedelta(milliseconds=1), max_retries=1)
    ends_with = (Fetched,)


class Want(ts.Command[ts.Token]):
    what: str


class Fetchers(ts.Module):
    name = "fetchers"

    @ts.handles(Want)
    def want(self, turn: ts.Turn, command: Want) -> ts.Decision[ts.Token]:
        token = turn.new_token()
        yield ts.Begin(intent=Fetching(what=command.what), actions=(Fetch(what=command.what),), token=token)
        return token

    @Fetching.settled
    def settle(self, _turn: ts.Turn, fetching: Fetching, _outcome: ts.Outcome[str]) -> ts.Effects:
        yield Fetched(what=fetching.what)


class Listener(ts.Module):
    name = "listener"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    @ts.reacts_to(Fetched)
    def fetched(self, _turn: ts.Turn, event: Fetched) -> ts.Effects:
        if self.error is not None and event.what == "odd":
            raise self.error
        return ()


def own_loop() -> Any:
    return Fragile().itself


def endless_name() -> Exception:
    error: Exception = type(LARGE, (Exception,), {})("x")
    return error


RAISED: dict[str, Callable[[], Exception]] = {
    "half an emoji": lambda: ValueError(HALF),
    "large": lambda: ValueError(LARGE),
    "speechless": SpeechlessError,
    "endless name": endless_name,
    "refusal with half an emoji": lambda: ts.Rejected(HALF, HALF),
    "large refusal": lambda: ts.Rejected("NO", LARGE),
    "large code": lambda: ts.Rejected(LARGE),
    "no text": lambda: ts.Rejected(5, None),  # type: ignore[arg-type]
    "refusal of its own": Rude,
    "refusal for no reason": lambda: Brooding("NO"),
    "later of its own": Hasty,
    "later, but when": lambda: Hasty("soon"),
    "later with a large code": lambda: ts.RetryAfter(timedelta(milliseconds=1), LARGE, code=LARGE),
}
RETURNED: dict[str, Callable[[], object]] = {
    "large": lambda: LARGE,
    "of another type": lambda: {"body": LARGE},
    "half an emoji": lambda: HALF,
    "contains itself": own_loop,
    "nothing that JSON knows": Fragile,
}


def pass_time(runtime: Runtime) -> None:
    if isinstance(runtime, ts.SteppedRuntime):
        runtime.advance(timedelta(minutes=10))


def fetching(answer: Callable[[], object]) -> Callable[[Fetch, ts.Call], Any]:
    """A performer that gives what is odd once that is asked for."""

    def fetch(action: Fetch, _call: ts.Call) -> Any:
        found = answer() if action.what == "odd" else "found"
        if isinstance(found, Exception):
            raise found
        return found

    return fetch


def is_served(system: ts.System, runtime: Runtime) -> bool:
    """Whether others are, and the engine was never rebuilt."""
    token = system.ask(Want(what="even"), timeout_s=PATIENCE_S)
    pass_time(runtime)
    wait_until(lambda: system.open_execution(token) is None)
    return (system.health().status, system.health().restarts) == ("running", 0)


@pytest.mark.parametrize("what", RAISED)
def test_whatever_a_performer_raises_its_token_ends_and_others_are_served(runtime: Runtime, what: str) -> None:
    performers, log = [Fetch.performed_by(fetching(RAISED[what]))], FaultyLog()
    with ts.System([Fetchers(), Listener()], performers=performers, log=log, runtime=runtime) as system:
        token = system.ask(Want(what="odd"), timeout_s=PATIENCE_S)
        assert is_served(system, runtime)
        wait_until(lambda: system.open_execution(token) is None)
        ended = [each for each in system.events(token=token) if each.settles is not None]
        assert [each.settles for each in ended] == ["failed"]


@pytest.mark.parametrize("what", RETURNED)
def test_whatever_a_performer_returns_its_token_is_a_persons_and_others_are_served(runtime: Runtime, what: str) -> None:
    performers, log = [Fetch.performed_by(fetching(RETURNED[what]))], FaultyLog()
    with ts.System([Fetchers(), Listener()], performers=performers, log=log, runtime=runtime) as system:
        token = system.ask(Want(what="odd"), timeout_s=PATIENCE_S)
        assert is_served(system, runtime)
        wait_until(lambda: bool(system.dead_letters()))
        (letter,) = system.dead_letters()
        assert (letter.kind, letter.aggregate_id) == ("person", token)
        assert letter.error.startswith("its performer returned what Fetching does not promise")
        assert len(letter.error) <= 2_000
    with ts.System([Fetchers(), Listener()], performers=performers, log=log.reopened(), runtime=ts.SteppedRuntime()) as system:
        (letter,) = system.dead_letters()
        system.settle(letter, ts.Succeeded(result="found by hand"))
        assert [each.settles for each in system.events(token=token) if each.settles is not None] == ["succeeded"]


@pytest.mark.parametrize("what", RAISED)
def test_whatever_a_reaction_raises_parks_its_source_and_others_are_served(runtime: Runtime, what: str) -> None:
    performers, log = [Fetch.performed_by(fetching(lambda: "found"))], FaultyLog()
    with ts.System([Fetchers(), Listener(RAISED[what]())], performers=performers, log=log, runtime=runtime) as system:
        token = system.ask(Want(what="odd"), timeout_s=PATIENCE_S)
        wait_until(lambda: system.open_execution(token) is None)
        assert is_served(system, runtime)
        wait_until(lambda: any(each.event_type == "ReactionFailed" for each in system.events()))
    with ts.System([Fetchers(), Listener()], performers=performers, log=log.reopened(), runtime=ts.SteppedRuntime()) as system:
        assert system.health().owners["listener"].parked == 1


def abandon_at_length(system: ts.System, token: ts.Token) -> None:
    (waiting,) = (each for each in system.open_executions() if each.execution.token == token)
    system.abandon(waiting, LARGE)


def retry_at_length(system: ts.System, token: ts.Token) -> None:
    (waiting,) = (each for each in system.open_executions() if each.execution.token == token)
    system.retry(waiting, who="Ann", why=LARGE)


def redrive_large_actions(system: ts.System, _token: ts.Token) -> None:
    (letter,) = system.dead_letters()
    system.redrive(letter, edited=[Fetch(what=LARGE)], who="Ann")


SAID: dict[str, Callable[[ts.System, ts.Token], object]] = {
    "a result": lambda system, token: system.complete(token, LARGE),
    "a failure": lambda system, token: system.fail(token, ts.Failed(code=LARGE)),
    "who": lambda system, token: system.complete(token, "found", who=LARGE),
    "a reason to abandon": abandon_at_length,
    "a reason to retry": retry_at_length,
    "edited actions": redrive_large_actions,
    "a reason to discard": lambda system, _token: system.discard(system.dead_letters()[0], why=LARGE),
    "an outcome": lambda system, _token: system.settle(system.dead_letters()[0], ts.Succeeded(result=LARGE)),
}


@pytest.mark.parametrize("what", SAID)
def test_what_a_host_says_at_too_great_a_length_is_refused_and_changes_nothing(runtime: Runtime, what: str) -> None:
    with ts.System([Fetchers(), Listener()], performers=[Fetch.performed_by(fetching(lambda: HALF))], runtime=runtime) as system:
        token = system.ask(Want(what="odd"), timeout_s=PATIENCE_S)
        pass_time(runtime)
        wait_until(lambda: bool(system.dead_letters()))
        with pytest.raises(ts.InvalidPayload, match="the limit is"):
            SAID[what](system, token)
        assert is_served(system, runtime)
        assert [each.kind for each in system.dead_letters()] == ["person"]


ENDED: dict[str, Callable[[ts.System, str], object]] = {
    "why": lambda system, operation_id: system.operations.abandon(operation_id, by="Ann", why=LARGE),
    "a result": lambda system, operation_id: system.record_completion(operation_id, result={"found": LARGE}),
    "a code": lambda system, operation_id: system.operations.fail(operation_id, LARGE),
}


@pytest.mark.parametrize("what", ENDED)
def test_an_operation_that_is_ended_at_too_great_a_length_stays_open(runtime: Runtime, what: str) -> None:
    with ts.System(runtime=runtime) as system:
        operation_id = system.operations.start("Billing.Run")
        with pytest.raises(ts.InvalidPayload, match="the limit is"):
            ENDED[what](system, operation_id)
        system.operations.succeed(operation_id)
        assert not system.record_completion(operation_id, "success", result={"found": LARGE}), "too late, and too large to be kept"
        assert (system.health().status, system.health().restarts) == ("running", 0)


def test_a_refusal_is_the_answer_to_its_key_whatever_it_says(stage: Stage) -> None:
    def hook(_what: str, _job_id: str) -> None:
        raise ts.Rejected(HALF, LARGE)

    stage.workshop.hook = hook
    for _ in range(2):
        with pytest.raises(ts.Rejected):
            stage.system.ask(Do(job_id="a"), idempotency_key="a")
    assert stage.counted("repeated_commands") == 1


def test_a_refusal_of_what_was_sent_later_is_its_answer_whatever_it_says(stage: Stage) -> None:
    def hook(_what: str, _job_id: str) -> None:
        raise ts.Rejected(HALF, LARGE)

    stage.workshop.hook = hook
    stage.system.schedules.after(timedelta(seconds=1), Do(job_id="a"), id="later")
    stage.advance(60)
    (settled,) = stage.events("CommandSettled")
    assert (settled.rejected, settled.code, len(settled.message)) == (True, "nice \\ud83d", TEXT_LIMIT_CHARS)
    assert stage.system.dead_letters() == ()


def test_texts_beside_payloads_have_a_limit(stage: Stage) -> None:
    stage.system.ask(Order(order_id="x" * TEXT_LIMIT_CHARS), idempotency_key="k" * TEXT_LIMIT_CHARS)
    with pytest.raises(ts.InvalidPayload, match="the limit is"):
        stage.system.ask(Order(order_id="x" * (TEXT_LIMIT_CHARS + 1)))
    with pytest.raises(ts.InvalidPayload, match="the limit is"):
        stage.system.ask(Order(order_id="x"), idempotency_key="k" * (TEXT_LIMIT_CHARS + 1))


# The last line of defence.


def test_what_the_engine_cannot_write_of_an_execution_leaves_it_to_a_person(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    stage.engine.router.post.tell(QueueFailed(Context("workshop", stage.token("a")), 1, ts.Failed(code=HALF)))
    stage.idle()
    (letter,) = stage.system.dead_letters()
    assert letter.error == "what was reported of it cannot be written down as RetryScheduled"
    assert stage.system.health().restarts == 0
    stage.system.settle(letter, ts.Succeeded(result="by hand"))
    assert [each.result for each in stage.events("JobDone")] == ["by hand"]


@pytest.mark.parametrize("given_by", ["a performer", "a person"])
def test_an_outcome_that_cannot_be_kept_for_its_handler_leaves_its_execution_to_a_person(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, given_by: str
) -> None:
    def hook(what: str, _job_id: str) -> None:
        if what == "settle":
            raise SpeechlessError

    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    stage.workshop.hook = hook
    monkeypatch.setattr(codec, "ANSWER_LIMIT_BYTES", 10)
    if given_by == "a performer":
        stage.open_call("a").raises(ts.Rejected("NO"))
    else:
        stage.system.fail(stage.token("a"), ts.Failed(code="NO"), who="Ann", why="she knows")
    stage.idle()
    (letter,) = stage.system.dead_letters()
    assert letter.kind == "person"
    assert "its settlement handler raised SpeechlessError" in letter.error
    assert "its outcome cannot be kept: Failed has" in letter.error
    assert ("PersonActed" in stage.types()) == (given_by == "a person")
    monkeypatch.undo()
    stage.workshop.hook = lambda _what, _job_id: None
    stage.crash()
    stage.system.settle(stage.system.dead_letters()[0], ts.Succeeded(result="by hand"))
    assert [each.result for each in stage.events("JobDone")] == ["by hand"]
    assert stage.system.health().restarts == 0
