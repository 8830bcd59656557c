"""What a body leaves behind may be of any kind: its operation is ended all the same, and its own exception goes on as it was."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.domain.evidence import name_of

HALF_AN_EMOJI = "nice \ud83d"


class Unsayable(Exception):
    def __str__(self) -> str:
        msg = "no words"
        raise LookupError(msg)


class NoText(Exception):
    def __str__(self) -> Any:
        return 5  # noqa: PLE0307 - as some do


@pytest.fixture
def system(runtime: Runtime) -> Iterator[ts.System]:
    with ts.System(runtime=runtime) as system:
        yield system


Body = Callable[[ts.Operation], None]
Run = Callable[[ts.System, Body], None]


def plain(system: ts.System, body: Body) -> None:
    with system.bracket("Import") as operation:
        body(operation)


def in_a_loop(system: ts.System, body: Body) -> None:
    async def main() -> None:
        async with system.bracket("Import") as operation:
            body(operation)

    asyncio.run(main())


runs = pytest.mark.parametrize("run", [plain, in_a_loop], ids=["with", "async-with"])


def only(system: ts.System) -> ts.OperationSnapshot:
    (operation,) = system.operations.find()
    assert system.open_executions() == ()
    assert system.health().restarts == 0
    return operation


@runs
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Unsayable(), "(its message raises LookupError)"),
        (NoText(), "(its message raises TypeError)"),
        (type("E" * 3_000_000, (ValueError,), {})("x"), "x"),
    ],
    ids=["str-raises", "str-is-no-text", "name-of-millions"],
)
def test_an_exception_of_any_kind_is_a_failure_and_goes_on(run: Run, error: Exception, message: str, system: ts.System) -> None:
    def fails(_operation: ts.Operation) -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        run(system, fails)
    assert raised.value is error
    operation = only(system)
    assert (operation.status, operation.code, operation.message) == (ts.OperationStatus.FAILED, name_of(error), message)
    assert operation.failure is not None
    assert operation.failure.stack[-1].startswith("test_endings.py:")


@runs
def test_half_an_emoji_in_what_an_exception_says_and_comes_from_is_written_out(run: Run, system: ts.System) -> None:
    code = compile("def fails(_operation): raise ValueError('nice ' + chr(0xD83D))", "import\udcff.py", "exec")
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - the only way to a file of that name
    with pytest.raises(ValueError, match="nice"):
        run(system, names["fails"])
    operation = only(system)
    assert (operation.status, operation.code, operation.message) == (ts.OperationStatus.FAILED, "ValueError", "nice \\ud83d")
    assert operation.failure is not None
    assert operation.failure.stack[-1] == "import\\udcff.py:1 in fails"


def says_a_message(operation: ts.Operation) -> None:
    operation.message = HALF_AN_EMOJI


def holds_progress_back(operation: ts.Operation) -> None:
    operation.progress(1)
    operation.progress(2, HALF_AN_EMOJI)


@runs
@pytest.mark.parametrize("body", [says_a_message, holds_progress_back], ids=["message", "progress"])
def test_half_an_emoji_keeps_no_success_from_being_one(run: Run, body: Body, system: ts.System) -> None:
    run(system, body)
    operation = only(system)
    assert (operation.status, operation.message) == (ts.OperationStatus.SUCCEEDED, "nice \\ud83d")


class NotText:
    def __str__(self) -> str:
        raise LookupError


@runs
def test_progress_whose_message_cannot_be_said_fails_the_body_and_not_the_end(run: Run, system: ts.System) -> None:
    def body(operation: ts.Operation) -> None:
        operation.progress(1)
        message: Any = NotText()
        operation.progress(2, message)

    with pytest.raises(LookupError):
        run(system, body)
    assert (only(system).status, only(system).code) == (ts.OperationStatus.FAILED, "LookupError")


@runs
def test_a_result_that_was_changed_into_none_is_a_failure_and_told(run: Run, system: ts.System) -> None:
    def body(operation: ts.Operation) -> None:
        data: dict[str, Any] = {"lines": 3}
        operation.data = data
        data["seen"] = {1, 2}

    with pytest.raises(ts.InvalidPayload, match="Ending"):
        run(system, body)
    assert (only(system).status, only(system).code) == (ts.OperationStatus.FAILED, "InvalidPayload")


@pytest.fixture
def refusing(system: ts.System, monkeypatch: pytest.MonkeyPatch) -> list[ts.Ending]:
    """Endings with evidence, or a result, which the log has refused, as it may for reasons that nobody foresaw; the others it takes."""
    tracker = system.operations
    at_once, in_loop = tracker.try_complete, tracker.try_complete_in_loop
    refused: list[ts.Ending] = []

    def looked_at(ending: ts.Ending) -> None:
        if ending.failure is not None or ending.data:
            refused.append(ending)
            msg = "not today"
            raise ts.InvalidPayload(msg)

    def try_complete(operation_id: str, ending: ts.Ending) -> bool:
        looked_at(ending)
        return at_once(operation_id, ending)

    async def try_complete_in_loop(operation_id: str, ending: ts.Ending) -> Any:
        looked_at(ending)
        return await in_loop(operation_id, ending)

    monkeypatch.setattr(tracker, "try_complete", try_complete)
    monkeypatch.setattr(tracker, "try_complete_in_loop", try_complete_in_loop)
    return refused


@runs
def test_evidence_that_is_refused_is_left_out_and_what_the_body_raised_says_so(run: Run, system: ts.System, refusing: Any) -> None:
    def fails(_operation: ts.Operation) -> None:
        msg = "the body's"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="the body's") as raised:
        run(system, fails)
    assert len(refusing) == 1
    assert "without its evidence: InvalidPayload: not today" in raised.value.__notes__[0]
    assert (only(system).status, only(system).code, only(system).message) == (ts.OperationStatus.FAILED, "ValueError", "")


@runs
def test_a_result_that_is_refused_is_a_failure_and_told(run: Run, system: ts.System, refusing: Any) -> None:
    def body(operation: ts.Operation) -> None:
        operation.data = {"lines": 3}

    with pytest.raises(ts.InvalidPayload, match="not today"):
        run(system, body)
    assert len(refusing) == 1
    assert (only(system).status, only(system).code) == (ts.OperationStatus.FAILED, "InvalidPayload")


def test_a_task_that_is_cancelled_while_its_ending_is_refused_has_ended_it(real_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(system: ts.System) -> None:
        through = system.operations.try_complete_in_loop

        async def refuses(operation_id: str, ending: ts.Ending) -> Any:
            if ending.status == "Succeeded":
                raise asyncio.CancelledError from ts.InvalidPayload("not today")
            return await through(operation_id, ending)

        monkeypatch.setattr(system.operations, "try_complete_in_loop", refuses)
        with pytest.raises(asyncio.CancelledError):
            async with system.bracket("Import"):
                pass

    with ts.System(runtime=real_runtime) as system:
        asyncio.run(main(system))
        assert only(system).code == "InvalidPayload"


def child() -> None:
    msg = "no bread"
    raise ValueError(msg)


async def fails_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(child))


@runs
def test_evidence_of_a_group_has_what_its_members_say_and_where_they_came_through(run: Run, system: ts.System) -> None:
    def body(_operation: ts.Operation) -> None:
        msg = "unhandled"
        raised: list[Exception] = []
        for _ in range(2):
            try:
                child()
            except ValueError as error:
                raised.append(error)
        raise ExceptionGroup(msg, [raised[0], ExceptionGroup("inner", raised[1:])])

    with pytest.raises(ExceptionGroup):
        run(system, body)
    operation = only(system)
    assert (operation.code, operation.message) == (
        "ExceptionGroup",
        "unhandled (2 sub-exceptions): ValueError: no bread; ValueError: no bread",
    )
    assert operation.failure is not None
    frames = [line.partition(" in ")[2] for line in operation.failure.stack]
    assert frames[-7:] == ["body", "the group:", "body", "child", "the group:", "body", "child"]
    assert operation.failure.stack[-3].startswith("ValueError in")


def test_evidence_of_a_group_of_tasks_tells_which_failed(real_runtime: Runtime) -> None:
    with ts.System(runtime=real_runtime) as system:

        async def main() -> None:
            async with system.bracket("Import"):
                await fails_in_a_group()

        with pytest.raises(ExceptionGroup):
            asyncio.run(main())
        operation = only(system)
        assert operation.message == "unhandled errors in a TaskGroup (1 sub-exception): ValueError: no bread"
        assert operation.failure is not None
        assert operation.failure.stack[-1].endswith(" in child")
