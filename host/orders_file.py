"""A file of orders to be replayed, one JSON object a line: read as a stream, each line checked. What is done with them is the replay's."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final, Literal, Self

import msgspec

import tallystick as ts

LINE_LIMIT_BYTES: Final = 1 << 20
YEARS: Final = range(1970, 9000)
"""What a clock of microseconds since 1970 can show, in UTC, with room for timeouts."""

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Cents = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Quantity = Annotated[int, msgspec.Meta(ge=1, le=10**6)]
FinalStatus = Literal["delivered", "shipped", "canceled", "unavailable", "invoiced", "processing", "approved", "created"]

STANDARD_INPUT: Final = "-"

_BEGINS: Final = datetime(YEARS.start, 1, 1, tzinfo=UTC)
_ENDS: Final = datetime(YEARS.stop, 1, 1, tzinfo=UTC)

_WHOLE_LINE: Final = ""
_ORDER_ID: Final = "order_id"
_PLACED_AT: Final = "placed_at"


class OrderedItem(msgspec.Struct, frozen=True):
    """A line of an order; `freight_cents` is for all of its units."""

    sku: Id
    quantity: Quantity
    unit_price_cents: Cents
    freight_cents: Cents


class PaidBy(msgspec.Struct, frozen=True):
    """How a part of an order was paid."""

    type: str
    installments: int
    cents: int


class RecordedOrder(msgspec.Struct, frozen=True):
    """What a marketplace recorded of an order; a moment is null where the thing never happened."""

    order_id: Id
    customer_id: Id
    placed_at: Moment
    final_status: FinalStatus
    approved_at: Moment | None
    handed_to_carrier_at: Moment | None
    delivered_at: Moment | None
    items: tuple[OrderedItem, ...]
    estimated_delivery_at: Moment | None = None
    payments: tuple[PaidBy, ...] = ()


class MalformedLine(ts.TallystickError):
    """A line of the file is not an order; the message names line and field."""

    def __init__(self, name: str, line: int, field: str, problem: str) -> None:
        where = f"line {line}, field {field}" if field else f"line {line}"
        super().__init__(f"{name}, {where}: {problem}")
        self.line = line
        self.field = field


class OrdersFile:
    """The orders in a file, in order. `line` is the number of the last line read, `position` the bytes read so far.

    Lines must be sorted by `placed_at`, and no order stands in the file twice; blank lines do not count as orders. The file is read
    once, from its beginning on: it may be a pipe, and "-" is standard input.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        piped = str(path) == STANDARD_INPUT
        self.name = "standard input" if piped else str(path)
        self.line = 0
        self.position = 0
        self._decoder = msgspec.json.Decoder(RecordedOrder, strict=True)
        self._file = open(0, "rb", closefd=False) if piped else Path(path).open("rb")  # noqa: SIM115 - a descriptor; closed on exit
        self._known: set[str] = set()
        self._last: datetime | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[RecordedOrder]:
        """The orders that have not been read yet.

        Raises:
            MalformedLine: a line is no order, or not in its place.
        """
        while line := self._file.readline(LINE_LIMIT_BYTES + 1):
            self.line += 1
            self.position += len(line)
            if len(line) > LINE_LIMIT_BYTES:
                raise self._malformed(_WHOLE_LINE, f"longer than {LINE_LIMIT_BYTES} bytes")
            if line.strip():
                yield self._order(line)

    def _order(self, line: bytes) -> RecordedOrder:
        try:
            order = self._decoder.decode(line)
        except msgspec.MsgspecError as error:
            raise self._malformed(*field_and_problem(str(error))) from error
        except UnicodeDecodeError as error:
            raise self._malformed(_WHOLE_LINE, _not_utf8(error, line)) from error
        except RecursionError as error:
            raise self._malformed(_WHOLE_LINE, "nested too deeply") from error
        for field in (_PLACED_AT, "approved_at", "handed_to_carrier_at", "delivered_at"):
            moment: datetime | None = getattr(order, field)
            if moment is not None and not _BEGINS <= moment < _ENDS:
                raise self._malformed(field, f"the year is from {YEARS[0]} to {YEARS[-1]} in UTC, and that of {moment.isoformat()} is not")
        if order.order_id in self._known:
            raise self._malformed(_ORDER_ID, f"order {order.order_id} stands in an earlier line already")
        if self._last is not None and order.placed_at < self._last:
            raise self._malformed(_PLACED_AT, f"{order.placed_at.isoformat()} is before the line above; sort the file by placed_at")
        self._known.add(order.order_id)
        self._last = order.placed_at
        return order

    def _malformed(self, field: str, problem: str) -> MalformedLine:
        return MalformedLine(self.name, self.line, field, problem)


def _not_utf8(error: UnicodeDecodeError, line: bytes) -> str:
    """Where a line is no text; the decoder counts from the beginning of one of its values."""
    try:
        line.decode()
    except UnicodeDecodeError as whole:
        error = whole
    return f"byte {error.start + 1}, {error.object[error.start]:#04x}, is not UTF-8"


_AT: Final = re.compile(r"^(?P<problem>.*) - at `\$\.?(?P<path>.*)`$", re.DOTALL)
_MISSING: Final = re.compile(r"^Object missing required field `(?P<name>.*)`$")


def field_and_problem(message: str) -> tuple[str, str]:
    """The field that a decoder's message is about, empty when it is about the whole line, and what is wrong."""
    found = _AT.match(message)
    problem, path = (found["problem"], found["path"]) if found else (message, "")
    missing = _MISSING.match(problem)
    if missing:
        return (f"{path}.{missing['name']}" if path else missing["name"]), "missing"
    return path, problem if problem[1:2].isupper() else problem[:1].lower() + problem[1:]
