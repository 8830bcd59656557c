"""A log opened by a fresh system that has nothing to do and nobody to call: what it makes of the events is the recovered state (S7, S8)."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apsw

import tallystick as ts
from tallystick.scenarios.tiny_store.inventory import Stock
from tallystick.scenarios.tiny_store.orders import Order
from tallystick.scenarios.tiny_store.system import ACTIONS
from tests.crash.worker import store


class Recovered(NamedTuple):
    """What a system knows after it was opened."""

    orders: dict[str, str | None]
    stock: dict[str, list[int]]
    owners: dict[str, tuple[Any, ...]]
    called: tuple[str, ...]
    snapshots: int


def recovered(log: Path, folder: Path, order_ids: Sequence[str], *, snapshots: bool) -> Recovered:
    """Open a copy of a log, with its snapshots or without; the copy is put into a folder of its own."""
    folder.mkdir()
    copy = folder / "log.db"
    shutil.copy(log, copy)
    connection = apsw.Connection(str(copy))
    if not snapshots:
        connection.execute("DELETE FROM snapshot")
    ((left,),) = connection.execute("SELECT count(*) FROM snapshot")
    connection.close()
    called: list[str] = []
    performers = [_noted(action, called) for action in ACTIONS]
    with ts.System(store(), performers=performers, log=copy) as system:
        statuses = {each: system.get(Order, each) for each in order_ids}
        views = [system._inspect(name) for name in system._behaviours]
        return Recovered(
            orders={key: None if order is None else str(order.status) for key, order in statuses.items()},
            stock={sku: [level.on_hand, level.reserved, level.shipped] for sku, level in system.resident(Stock).levels.items()},
            owners={each.owner: (each.seen, dict(each.executions), dict(each.parking)) for each in views},
            called=tuple(called),
            snapshots=left,
        )


def _noted(action: type[ts.Action[Any]], called: list[str]) -> ts.Performer:
    """A performer that should not be asked for anything."""

    def run(_action: Any, _call: ts.Call) -> ts.Later:
        called.append(action.__name__)
        return ts.Later()

    return action.performed_by(run)
