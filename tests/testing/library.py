"""A small module for the tests of given, when, then: a library that has books fetched, and does wrong when it is asked to."""

# ruff: noqa: ARG002 - a handler's arguments are the library's, whether it needs them or not
from datetime import datetime, timedelta
from typing import ClassVar

import tallystick as ts


class Asked(ts.Event):
    aggregate_type: ClassVar[str] = "Question"
    who: str
    words: tuple[str, ...] = ()

    @property
    def aggregate_id(self) -> str:
        return self.who


class LoanEvent(ts.Event):
    aggregate_type: ClassVar[str] = "Loan"
    book: str

    @property
    def aggregate_id(self) -> str:
        return self.book


class Reserved(LoanEvent):
    who: str
    at: datetime


class Lent(LoanEvent):
    receipt: str


class NotLent(LoanEvent):
    reason: str


class Returned(LoanEvent):
    fine: int


class Fetch(ts.Action[str]):
    book: str


class Bind(ts.Action[str]):
    book: str


class Fetching(ts.Intent[str]):
    timeout: ClassVar[timedelta | None] = timedelta(minutes=10)
    retry: ClassVar[ts.FixedDelay] = ts.FixedDelay(interval=timedelta(minutes=1), max_retries=2)
    ends_with: ClassVar[tuple[type[ts.Event], ...]] = (Lent, NotLent)
    book: str

    @property
    def subject(self) -> str:
        return self.book


class Binding(ts.Intent[str]):
    book: str

    @property
    def subject(self) -> str:
        return self.book


class Loan(ts.Aggregate):
    who: str = ""
    receipt: str = ""


class Shelf(ts.Resident):
    out: int = 0


class Reserve(ts.Command[str]):
    book: str
    who: str = "ann"


class CallOff(ts.Command[None]):
    book: str
    how: str = "settle"


class Mend(ts.Command[int]):
    book: str
    reply: object = 3


class Library(ts.Module):
    name: ClassVar[str] = "library"

    @ts.handles(Reserve, emits=[Reserved])
    def reserve(self, turn: ts.Turn, command: Reserve) -> ts.Decision[str]:
        if turn.get(Loan, command.book) is not None:
            code = "TAKEN"
            raise ts.Rejected(code, f"{command.book} is out.")
        yield Reserved(book=command.book, who=command.who, at=turn.now)
        yield ts.Begin(intent=Fetching(book=command.book), actions=(Fetch(book=command.book),), tags={"who": command.who})
        return turn.new_id()

    @ts.handles(CallOff)
    def call_off(self, turn: ts.Turn, command: CallOff) -> ts.Decision[None]:
        for execution in turn.open(Fetching, command.book):
            match command.how:
                case "settle":
                    yield ts.Settle(token=execution.token, outcome=ts.Cancelled(reason="CALLED_OFF"))
                case "forget":
                    yield NotLent(book=command.book, reason="CALLED_OFF")
                case _:
                    yield ts.NeedsPerson(token=execution.token, reason="unclear")
        for binding in turn.open(Binding, command.book):
            yield ts.Settle(token=binding.token, outcome=ts.Cancelled(reason="CALLED_OFF"))

    @ts.handles(Mend)
    def mend(self, turn: ts.Turn, command: Mend) -> ts.Decision[int]:
        yield ts.Begin(intent=Binding(book=command.book), actions=(Bind(book=command.book),), timeout=timedelta(hours=1))
        return command.reply  # type: ignore[return-value]  # the point of the test

    @ts.reacts_to(Asked)
    def answer(self, turn: ts.Turn, event: Asked) -> ts.Effects:
        match event.words:
            case ("foreign",):
                yield event
            case ("wrong",):
                yield Returned(book="b", fine="much")  # type: ignore[arg-type]  # the point of the test
            case ("raise",):
                raise ZeroDivisionError("too much")  # noqa: EM101, TRY003 - any error
            case words:
                for word in words:
                    yield Returned(book=word, fine=1)

    @Fetching.settled
    def fetched(self, turn: ts.Turn, fetching: Fetching, outcome: ts.Outcome[str]) -> ts.Effects:
        match outcome:
            case ts.Succeeded(result="silence"):
                pass
            case ts.Succeeded(result=receipt):
                yield Lent(book=fetching.book, receipt=receipt)
                if receipt == "twice":
                    yield NotLent(book=fetching.book, reason="")
            case ts.TimedOut(attempts=attempts):
                yield NotLent(book=fetching.book, reason=f"NO_ANSWER {attempts} {turn.now:%H:%M} {dict(turn.tags)}")
            case _:
                yield NotLent(book=fetching.book, reason="NO")

    @Fetching.late
    def fetched_late(self, turn: ts.Turn, fetching: Fetching, receipt: str) -> ts.Effects:
        yield Returned(book=fetching.book, fine=0)

    @Binding.settled
    def bound(self, turn: ts.Turn, binding: Binding, outcome: ts.Outcome[str]) -> ts.Effects:
        return ()

    @ts.folds(Reserved, Loan)
    def reserved(self, loan: Loan, event: Reserved) -> Loan:
        return Loan(who=event.who)

    @ts.folds(Lent, Loan)
    def lent(self, loan: Loan, event: Lent) -> Loan:
        return Loan(who=loan.who, receipt=event.receipt)

    @ts.folds(Lent, Shelf)
    def counted(self, shelf: Shelf, event: Lent) -> Shelf:
        return Shelf(out=shelf.out + 1)

    @ts.folds(Returned, Loan)
    def returned(self, loan: Loan, event: Returned) -> Loan:
        return loan
