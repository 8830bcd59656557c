"""What was revealed is in no evidence: not of brackets and calls inside of each other, of groups, nor of results that nobody promised."""

import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from datetime import timedelta
from typing import Any, Literal

import pytest

import tallystick as ts
from tests.actors.register import ADA, ada

WITHHELD = "(withheld: personal data was revealed where this was raised)"
Sent = Literal["sent", "bounced"]


class Write(ts.Action[Sent]):
    email: ts.Sensitive[str]


class Writing(ts.Intent[Sent]):
    customer_id: str


class Ask(ts.Command[None]):
    email: ts.Sensitive[str]


class Writers(ts.Module):
    name = "writers"

    @ts.handles(Ask)
    def ask(self, _turn: ts.Turn, command: Ask) -> ts.Decision[None]:
        yield ts.Begin(intent=Writing(customer_id="c-ada"), actions=(Write(email=command.email),))

    @Writing.settled
    def written(self, _turn: ts.Turn, _writing: Writing, _outcome: ts.Outcome[Sent]) -> ts.Effects:
        return ()


def refuse(text: object) -> None:
    raise ConnectionError(str(text))


Performing = Callable[[ts.System, Write, ts.Call], object]


def bracketed_before_it_reveals(system: ts.System, action: Write, call: ts.Call) -> Sent:
    with pytest.raises(ConnectionError), system.bracket("Mail.Send"):
        refuse(call.reveal(action.email))
    return "sent"


def bracketed_after_it_revealed(system: ts.System, action: Write, call: ts.Call) -> Sent:
    address = call.reveal(action.email)
    with pytest.raises(ConnectionError), system.bracket("Mail.Send"):
        refuse(address)
    return "sent"


def bracketed_beside_another_that_revealed(system: ts.System, action: Write, call: ts.Call) -> Sent:
    with system.bracket("Mail.Look"):
        address = call.reveal(action.email)
    with pytest.raises(ConnectionError), system.bracket("Mail.Send"):
        refuse(address)
    return "sent"


def revealed_by_the_host(system: ts.System, action: Write, _call: ts.Call) -> Sent:
    refuse(system.reveal(action.email))
    return "sent"


def returned(_system: ts.System, action: Write, call: ts.Call) -> object:
    return call.reveal(action.email)


@pytest.mark.parametrize(
    "performing",
    [
        bracketed_before_it_reveals,
        bracketed_after_it_revealed,
        bracketed_beside_another_that_revealed,
        revealed_by_the_host,
        returned,
    ],
    ids=lambda performing: performing.__name__,
)
def test_what_was_revealed_in_a_call_is_in_no_evidence_of_it(performing: Performing, lines: list[dict[str, object]]) -> None:
    def perform(action: Write, call: ts.Call) -> Any:
        return performing(here[0], action, call)

    here: list[ts.System] = []
    runtime = ts.SteppedRuntime(ts.ManualClock())
    with ts.System([Writers()], performers=[Write.performed_by(perform)], runtime=runtime) as system:
        here.append(system)
        system.ask(Ask(email=ada()))
        runtime.run_until_idle()
        written = "\n".join(recorded.payload.decode() for recorded in system.events())
        assert ADA not in written + str(lines) + str(system.dead_letters())
        assert WITHHELD in written


def test_what_a_probe_found_and_nobody_promised_is_not_quoted(lines: list[dict[str, object]]) -> None:
    def probe(action: Write, call: ts.Call) -> ts.Done[Sent]:
        return ts.Done(result=call.reveal(action.email))  # type: ignore[arg-type]

    def hangs(_action: Write, _call: ts.Call) -> ts.Later:
        return ts.Later()

    def opened(log: ts.EventLog) -> ts.System:
        runtime = ts.SteppedRuntime(ts.ManualClock())
        return ts.System([Writers()], performers=[Write.performed_by(hangs, probe=probe)], log=log, runtime=runtime)

    log = ts.MemoryLog()
    with opened(log) as system:
        system.ask(Ask(email=ada()))
    with opened(log.reopened()) as system:
        system.step(timedelta(seconds=1))
        (letter,) = system.dead_letters()
        assert WITHHELD in letter.error
        assert ADA not in str(lines)


@pytest.fixture
def system() -> Iterator[ts.System]:
    with ts.System([Writers()], performers=[Write.performed_by(lambda _action, _call: "sent")]) as system:
        yield system


def failures(system: ts.System) -> dict[str, str]:
    return {each.name: each.message for each in system.operations.find() if each.status == ts.OperationStatus.FAILED}


def test_a_bracket_that_was_begun_before_the_one_around_it_revealed_withholds_as_well(system: ts.System) -> None:
    begun, told = threading.Event(), threading.Event()
    address: list[object] = []

    def waits_and_fails() -> None:
        begun.set()
        assert told.wait(10)
        refuse(address[0])

    def inside() -> None:
        with pytest.raises(ConnectionError), system.bracket("Inner"):
            waits_and_fails()

    with system.bracket("Outer"):
        thread = threading.Thread(target=copy_context().run, args=(inside,))
        thread.start()
        assert begun.wait(10)
        address.append(system.reveal(system.seal(ada())))
        told.set()
        thread.join()
    assert failures(system) == {"Inner": WITHHELD}


def test_a_group_with_an_exception_that_is_withheld_is_withheld(system: ts.System) -> None:
    caught: list[ConnectionError] = []
    try:
        with system.bracket("Inner"):
            refuse(system.reveal(ada()))
    except ConnectionError as error:
        caught.append(error)
    group = ExceptionGroup("outer", [ValueError("other"), ExceptionGroup(f"all failed: {caught[0]}", caught)])
    with pytest.raises(ExceptionGroup), system.bracket("Sibling"):
        raise group
    assert failures(system) == {"Inner": WITHHELD, "Sibling": WITHHELD}


def test_an_exception_that_was_raised_while_one_that_is_withheld_was_handled_is_withheld_whatever_it_is_chained_to(
    system: ts.System,
) -> None:
    def wrap() -> None:
        try:
            with system.bracket("Inner"):
                refuse(system.reveal(ada()))
        except ConnectionError as error:
            raise LookupError(str(error)) from ValueError("another cause")

    with pytest.raises(LookupError) as wrapped:
        wrap()
    with pytest.raises(LookupError), system.bracket("Sibling"):
        raise wrapped.value
    assert failures(system) == {"Inner": WITHHELD, "Sibling": WITHHELD}


def test_a_bracket_beside_those_in_which_nothing_was_revealed_keeps_its_message(system: ts.System) -> None:
    with pytest.raises(ConnectionError), system.bracket("Open"):
        refuse("no route")
    assert failures(system) == {"Open": "no route"}
