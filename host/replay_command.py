"""`tallystick replay`."""

import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from tallystick.host.output import print_json, print_table, progress_bar
from tallystick.host.parameters import LOG_TO_WRITE
from tallystick.host.replay import replay
from tallystick.host.replay_result import Result, counted


@click.command("replay")
@click.argument("orders", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--log", "log_path", required=True, type=LOG_TO_WRITE, metavar="FILE", help="The log to write.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object, in the last line.")
def command(*, orders: Path, log_path: Path, as_json: bool) -> None:
    """Run recorded orders through the store, in virtual time.

    ORDERS holds one JSON object a line, sorted by placed_at; - is standard input. A replay that was stopped or killed goes on when it
    is started again with the same orders and the same log; more orders may stand behind them by then.
    """
    started_s = time.monotonic()
    size_bytes = _size_bytes(orders)
    with progress_bar("Replaying") as progress, _stopped_between_turns() as stop_if_asked:

        def on_each_order(done_bytes: int) -> None:
            progress(done_bytes, size_bytes)
            stop_if_asked()

        open_executions = replay(orders, log_path, on_each_order)
    result = counted(log_path, open_executions=open_executions, seconds=time.monotonic() - started_s)
    if as_json:
        print_json(result)
    else:
        _print(result)


def _size_bytes(orders: Path) -> int | None:
    """None where it cannot be known before the end."""
    return orders.stat().st_size if orders.is_file() else None


@contextmanager
def _stopped_between_turns() -> Generator[Callable[[], None]]:
    """Hold an interrupt from the keyboard back until it is asked for, since inside a turn it would pass for a fault of the engine.

    A second one is not held back.
    """
    asked = False

    def ask(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    def stop_if_asked() -> None:
        if asked:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop_if_asked
    finally:
        signal.signal(signal.SIGINT, before)


def _print(result: Result) -> None:
    rows = [
        ("orders", result.orders),
        *result.statuses.items(),
        ("delivered", result.delivered),
        ("cancels refused", result.cancel_refused),
        ("late payments", result.late_successes.payment),
        ("late shipments", result.late_successes.shipment),
        ("open executions", result.open_executions),
        ("events", result.events),
        ("seconds", result.seconds),
    ]
    print_table(("", "Count"), [(name, str(count)) for name, count in rows])
