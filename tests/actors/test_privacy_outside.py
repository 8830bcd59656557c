"""Sensitive values where handlers are not: probes, tickers and sagas."""

import json
from datetime import timedelta

import pytest

import tallystick as ts
from tests.actors.register import ADA, Customer, OfCustomer, ada

FORGOTTEN = ts.Forgotten(subject="c-ada")


def plain(system: ts.System) -> str:
    return "\n".join(recorded.payload.decode() for recorded in system.events())


class Asked(ts.Action[None]):
    email: ts.Sensitive[str]


class Asking(ts.Intent[None]):
    customer_id: str
    timeout = timedelta(minutes=1)


class Ask(ts.Command[None]):
    customer_id: str
    email: ts.Sensitive[str]


class Asker(ts.Module):
    name = "asker"

    @ts.handles(Ask)
    def ask(self, _turn: ts.Turn, command: Ask) -> ts.Decision[None]:
        yield ts.Begin(intent=Asking(customer_id=command.customer_id), actions=(Asked(email=command.email),))

    @Asking.settled
    def asked(self, _turn: ts.Turn, _asking: Asking, _outcome: ts.Outcome[None]) -> ts.Effects:
        return ()


def test_a_probe_may_reveal_and_what_it_raises_is_not_told(lines: list[dict[str, object]]) -> None:
    seen: list[str | ts.Forgotten] = []

    def probe(action: Asked, call: ts.Call) -> ts.NotDone:
        seen.append(call.reveal(action.email))
        raise ConnectionError(seen[-1])

    def hangs(_action: Asked, _call: ts.Call) -> ts.Later:
        return ts.Later()

    def opened(log: ts.EventLog) -> ts.System:
        performers = [Asked.performed_by(hangs, probe=probe)]
        return ts.System([Asker()], performers=performers, log=log, runtime=ts.SteppedRuntime(ts.ManualClock()))

    log = ts.MemoryLog()
    with opened(log) as system:
        system.ask(Ask(customer_id="c-ada", email=ada()))
    with opened(log.reopened()):
        assert seen == [ADA]
    (failed,) = [line for line in lines if line["event"] == "probe.failed"]
    assert str(failed["error"]).startswith("ConnectionError: (withheld")


class Begins(ts.Ticker[Asked, None]):
    text: str = ""

    @classmethod
    def begin(cls, action: Asked, call: ts.Call) -> "Begins":
        text = call.reveal(action.email)
        return cls(text=text if isinstance(text, str) else "")


def test_a_ticker_whose_progress_is_saved_as_it_is_is_told_nothing(lines: list[dict[str, object]]) -> None:
    runtime = ts.SteppedRuntime(ts.ManualClock())
    with ts.System([Asker()], performers=[Asked.ticked_by(Begins)], runtime=runtime) as system:
        system.ask(Ask(customer_id="c-ada", email=ada()))
        system.step(timedelta(seconds=1))
        (ended,) = [each for each in system.events() if each.settles is not None]
        assert json.loads(ended.payload)["outcome"]["code"] == "PersonalDataRefused"
        assert "lovelace" not in plain(system) + str(lines)


class Trip(ts.Record):
    email: ts.Sensitive[str]


class BookTrip(ts.Saga[Trip, str]):
    name = "book_trip"

    @ts.step
    def write(self, trip: Trip, done: ts.Results) -> Asked:
        del done
        return Asked(email=trip.email)

    def result(self, given: Trip, done: ts.Results) -> str:
        del given, done
        return "written"


def test_a_saga_passes_on_what_is_sealed_and_its_performer_reveals_it() -> None:
    seen: list[str | ts.Forgotten] = []
    performers = [Asked.performed_by(lambda action, call: seen.append(call.reveal(action.email)))]
    with ts.System(sagas=[BookTrip()], performers=performers, runtime=ts.SteppedRuntime()) as system:
        assert [system.start(BookTrip, Trip(email=ada()), id="t-1").result() for _ in range(2)] == ["written"] * 2
        with pytest.raises(ts.IdempotencyConflict):
            system.start(BookTrip, Trip(email=ada("other@example.org")), id="t-1")
        assert seen == [ADA]
        assert "lovelace" not in plain(system)
        system.forget("c-ada", who="dpo", why="asked")
        assert system.start(BookTrip, Trip(email=ada()), id="t-2").result() == "written"
        assert seen == [ADA, FORGOTTEN]
        assert system.start(BookTrip, Trip(email=ada()), id="t-1").result() == "written", "it is the one that was begun"
        assert len(seen) == 2


def test_handlers_may_compare_what_a_command_says_with_what_a_state_has() -> None:
    class Moved(OfCustomer):
        email: ts.Sensitive[str]

    class Move(ts.Command[bool]):
        customer_id: str
        email: ts.Sensitive[str]

    class Movers(ts.Module):
        name = "movers"

        @ts.handles(Move, emits=[Moved])
        def move(self, turn: ts.Turn, command: Move) -> ts.Decision[bool]:
            before = turn.get(Customer, command.customer_id)
            if before is not None and before.email == command.email:
                return False
            yield Moved(customer_id=command.customer_id, email=command.email)
            return True

        @ts.folds(Moved, Customer)
        def moved(self, customer: Customer, event: Moved) -> Customer:
            return Customer(customer_id=customer.customer_id, email=event.email)

    with ts.System([Movers()], runtime=ts.SteppedRuntime()) as system:
        moves = [Move(customer_id="c-ada", email=ada(text)) for text in ("a", "a", "b", "a")]
        assert [system.ask(move) for move in moves] == [True, False, True, True]


class Fetch(ts.Intent[None]):
    customer_id: str
    on_exhausted = "dead_letter"


class Fetching(ts.Module):
    name = "fetching"

    @ts.handles(Ask)
    def ask(self, _turn: ts.Turn, command: Ask) -> ts.Decision[None]:
        yield ts.Begin(intent=Fetch(customer_id=command.customer_id), actions=(Asked(email=command.email),))

    @Fetch.settled
    def fetched(self, _turn: ts.Turn, _fetch: Fetch, _outcome: ts.Outcome[None]) -> ts.Effects:
        return ()


def test_actions_are_edited_with_their_values_sealed_and_text_in_the_place_of_a_box_is_refused() -> None:
    seen: list[str | ts.Forgotten] = []
    runtime = ts.SteppedRuntime(ts.ManualClock())

    def ask(action: Asked, call: ts.Call) -> None:
        seen.append(call.reveal(action.email))
        if len(seen) == 1:
            raise ConnectionError

    with ts.System([Fetching()], performers=[Asked.performed_by(ask)], runtime=runtime) as system:
        system.ask(Ask(customer_id="c-ada", email=ada()))
        runtime.run_until_idle()
        (letter,) = system.dead_letters()
        in_plain = json.loads(bytes(letter.payload))
        in_plain[0]["email"]["box"] = ADA
        with pytest.raises(ts.InvalidPayload) as refused:
            system.redrive(letter, edited=json.dumps(in_plain).encode(), who="Ann", why="mended")
        assert "lovelace" not in str(refused.value) + plain(system)
        system.redrive(letter, edited=bytes(letter.payload), who="Ann", why="mended")
        runtime.run_until_idle()
        assert seen == [ADA, ADA]
