"""The brackets of operations by their names: the table of the original pattern, on a running system, and the library's own names."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

import tallystick as ts


class OfOrder(ts.Event):
    aggregate_type = "Order"
    order_id: str

    @property
    def aggregate_id(self) -> str:
        return self.order_id


class OfPayment(OfOrder):
    aggregate_type = "Payment"


class OfStock(OfOrder):
    aggregate_type = "Stock"


class OrderSubmitted(OfOrder):
    pass


class OrderSubmissionFailed(OfOrder):
    pass


class OrderSubmissionAbandoned(OfOrder):
    pass


class PaymentCompleted(OfPayment):
    pass


class PaymentFailed(OfPayment):
    pass


class StockReserved(OfStock):
    pass


class ReservationFailed(OfStock):
    pass


class OrderSubmission(ts.Intent[str]):
    order_id: str
    timeout = timedelta(minutes=5)
    ends_with = (OrderSubmitted, OrderSubmissionFailed, OrderSubmissionAbandoned)


class PaymentProcessing(ts.Intent[str]):
    order_id: str
    timeout = timedelta(minutes=5)
    ends_with = (PaymentCompleted, PaymentFailed)


class StockReservation(ts.Intent[str]):
    order_id: str
    timeout = timedelta(minutes=5)
    started = "ReservationRequested"
    ends_with = (StockReserved, ReservationFailed)


class Backup(ts.Intent[str]):
    """An operation without names of its own."""

    order_id: str
    timeout = timedelta(minutes=5)


class Submit(ts.Command[None]):
    order_id: str


class Pay(ts.Command[None]):
    order_id: str


class Reserve(ts.Command[None]):
    order_id: str


class BackUp(ts.Command[None]):
    order_id: str


class Submissions(ts.Module):
    name = "submissions"

    @ts.handles(Submit)
    def submit(self, _turn: ts.Turn, command: Submit) -> ts.Decision[None]:
        yield ts.Begin(intent=OrderSubmission(order_id=command.order_id))

    @OrderSubmission.settled
    def settle(self, _turn: ts.Turn, intent: OrderSubmission, outcome: ts.Outcome[str]) -> ts.Effects:
        match outcome:
            case ts.Succeeded():
                yield OrderSubmitted(order_id=intent.order_id)
            case ts.Failed():
                yield OrderSubmissionFailed(order_id=intent.order_id)
            case _:
                yield OrderSubmissionAbandoned(order_id=intent.order_id)


class Payments(ts.Module):
    name = "payments"

    @ts.handles(Pay)
    def pay(self, _turn: ts.Turn, command: Pay) -> ts.Decision[None]:
        yield ts.Begin(intent=PaymentProcessing(order_id=command.order_id))

    @PaymentProcessing.settled
    def settle(self, _turn: ts.Turn, intent: PaymentProcessing, outcome: ts.Outcome[str]) -> ts.Effects:
        if isinstance(outcome, ts.Succeeded):
            yield PaymentCompleted(order_id=intent.order_id)
        else:
            yield PaymentFailed(order_id=intent.order_id)


class Reservations(ts.Module):
    name = "reservations"

    @ts.handles(Reserve)
    def reserve(self, _turn: ts.Turn, command: Reserve) -> ts.Decision[None]:
        yield ts.Begin(intent=StockReservation(order_id=command.order_id))

    @StockReservation.settled
    def settle(self, _turn: ts.Turn, intent: StockReservation, outcome: ts.Outcome[str]) -> ts.Effects:
        if isinstance(outcome, ts.Succeeded):
            yield StockReserved(order_id=intent.order_id)
        else:
            yield ReservationFailed(order_id=intent.order_id)


class Backups(ts.Module):
    name = "backups"

    @ts.handles(BackUp)
    def back_up(self, _turn: ts.Turn, command: BackUp) -> ts.Decision[None]:
        yield ts.Begin(intent=Backup(order_id=command.order_id))

    @Backup.settled
    def settle(self, _turn: ts.Turn, _intent: Backup, _outcome: ts.Outcome[str]) -> ts.Effects:
        return ()


How = Literal["success", "failure", "timeout"]
MODULES = (Submissions, Payments, Reservations, Backups)

TABLE: list[tuple[type[ts.Command[None]], How, str, str, str]] = [
    (Submit, "success", "OrderSubmissionStarted", "OrderSubmitted", "succeeded"),
    (Submit, "failure", "OrderSubmissionStarted", "OrderSubmissionFailed", "failed"),
    (Submit, "timeout", "OrderSubmissionStarted", "OrderSubmissionAbandoned", "abandoned"),
    (Pay, "success", "PaymentProcessingStarted", "PaymentCompleted", "succeeded"),
    (Pay, "failure", "PaymentProcessingStarted", "PaymentFailed", "failed"),
    (Pay, "timeout", "PaymentProcessingStarted", "PaymentFailed", "abandoned"),
    (Reserve, "success", "ReservationRequested", "StockReserved", "succeeded"),
    (Reserve, "failure", "ReservationRequested", "ReservationFailed", "failed"),
    (Reserve, "timeout", "ReservationRequested", "ReservationFailed", "abandoned"),
    (BackUp, "success", "BackupStarted", "BackupSucceeded", "succeeded"),
    (BackUp, "failure", "BackupStarted", "BackupFailed", "failed"),
    (BackUp, "timeout", "BackupStarted", "BackupAbandoned", "abandoned"),
]


def running() -> tuple[ts.System, ts.SteppedRuntime]:
    runtime = ts.SteppedRuntime(ts.ManualClock(datetime(2026, 1, 1, tzinfo=UTC)), seed=1)
    return ts.System([module() for module in MODULES], log=ts.MemoryLog(), runtime=runtime), runtime


def ended(system: ts.System, runtime: ts.SteppedRuntime, how: How) -> None:
    """End what is open."""
    (opened,) = system.open_executions()
    if how == "success":
        assert system.complete(opened.execution.token, "well")
    elif how == "failure":
        assert system.fail(opened.execution.token, ts.Failed(code="NO"))
    else:
        runtime.advance(timedelta(minutes=5))
    runtime.run_until_idle()


@pytest.mark.parametrize(("command", "how", "opening", "closing", "settles"), TABLE)
def test_an_operation_is_bracketed_by_the_events_of_the_table(
    command: type[Any], how: How, opening: str, closing: str, settles: str
) -> None:
    system, runtime = running()
    with system:
        system.ask(command(order_id="o-1"))
        ended(system, runtime, how)
        brackets = [each for each in system.events() if each.token and each.event_type != "TimeoutFired"]
        assert [(each.event_type, each.settles) for each in brackets] == [(opening, None), (closing, settles)]
        assert brackets[0].token == brackets[1].token
        assert system.open_executions() == ()


def test_an_operation_whose_handler_yields_no_end_is_ended_by_the_library_also_when_the_programs_events_have_its_names() -> None:
    class Silent(Submissions):
        @OrderSubmission.settled
        def settle(self, _turn: ts.Turn, intent: OrderSubmission, outcome: ts.Outcome[str]) -> ts.Effects:
            del intent, outcome
            return ()

    runtime = ts.SteppedRuntime(ts.ManualClock(datetime(2026, 1, 1, tzinfo=UTC)))
    log = ts.MemoryLog()
    with ts.System([Silent()], log=log, runtime=runtime) as system:
        system.ask(Submit(order_id="o-1"))
        ended(system, runtime, "failure")
        (closing,) = [each for each in system.events() if each.settles]
        assert (closing.event_type, closing.settles) == ("OrderSubmissionEndedFailed", "failed")
    with ts.System([Silent()], log=log.reopened(), runtime=ts.SteppedRuntime(runtime.clock)) as again:
        assert again.open_executions() == ()


def test_the_name_of_an_intent_event_is_the_operations_unless_it_is_given() -> None:
    assert (Backup.started_name(), StockReservation.started_name()) == ("BackupStarted", "ReservationRequested")
    assert [Backup.ended_name(end) for end in ("succeeded", "failed", "abandoned")] == [
        "BackupSucceeded",
        "BackupFailed",
        "BackupAbandoned",
    ]


def test_only_an_end_of_the_librarys_own_name_makes_it_take_another() -> None:
    class Zebra(ts.Event):
        aggregate_type = "Backup"

    class Archiving(ts.Intent[str]):
        ends_with = (Zebra,)

    assert Archiving.ended_name("failed") == "ArchivingFailed"
