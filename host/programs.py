"""The programs whose logs the command line can read with understanding, by name. Without one a log is records and bytes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import tallystick as ts
from tallystick.domain.operations.events import OfOperation, OperationStarted
from tallystick.domain.operations.operation import STATUS_OF
from tallystick.domain.operations.owner import AttendOperation, Operations
from tallystick.host.catalogue import Additions
from tallystick.scenarios.agent import script as agent_script
from tallystick.scenarios.nightly_import import script as import_script
from tallystick.scenarios.order_fulfilment import fulfilment
from tallystick.scenarios.order_fulfilment import script as fulfilment_script
from tallystick.scenarios.settlers import system as settlers
from tallystick.scenarios.settlers.audit import WoodAudit
from tallystick.scenarios.settlers.land import Land
from tallystick.scenarios.settlers.works import Works
from tallystick.scenarios.subscription_renewal import script as subscription_script
from tallystick.scenarios.subscription_renewal import subscriptions
from tallystick.scenarios.tiny_store import ours
from tallystick.scenarios.tiny_store.audit import StockAudit
from tallystick.scenarios.tiny_store.inventory import Stock
from tallystick.scenarios.tiny_store.scripts import SCRIPTS
from tallystick.scenarios.tiny_store.system import ACTIONS, modules
from tallystick.scenarios.travel_booking import script as travel_script
from tallystick.scenarios.travel_booking import system as travel
from tallystick.scenarios.travel_booking.audit import EndsAudit
from tallystick.scenarios.webhook import script as webhook_script
from tallystick.scenarios.webhook.deliveries import Deliveries, Post

Residents = Mapping[type[ts.Resident], ts.Resident]


class Audit(Protocol):
    """A check of a whole log in a program's own terms."""

    def take(self, event: Any) -> None:
        """One more event, in order."""
        ...

    def problems(self, residents: Residents) -> Iterator[str]:
        """What does not hold, when all events have been taken."""
        ...


class Program(NamedTuple):
    """What it takes to read a program's log."""

    name: str
    modules: Callable[[], Sequence[ts.Module]]
    actions: Sequence[type[ts.Action[Any]]]
    additions: Additions
    audit: Callable[[], Audit]


class _StoreAudit:
    def __init__(self) -> None:
        self._stock = StockAudit()

    def take(self, event: Any) -> None:
        self._stock.take(event)

    def problems(self, residents: Residents) -> Iterator[str]:
        stock = residents.get(Stock, Stock())
        return self._stock.problems(stock if isinstance(stock, Stock) else Stock())


class _ColonyAudit:
    def __init__(self) -> None:
        self._wood = WoodAudit()

    def take(self, event: Any) -> None:
        self._wood.take(event)

    def problems(self, residents: Residents) -> Iterator[str]:
        works = residents.get(Works, Works())
        return self._wood.problems(works if isinstance(works, Works) else Works())


class _OperationsAudit:
    """Each operation begins once, and ends once at most."""

    def __init__(self) -> None:
        self._open: set[str] = set()
        self._wrong: list[str] = []

    def take(self, event: Any) -> None:
        if not isinstance(event, OfOperation):
            return
        which = event.operation_id
        if isinstance(event, OperationStarted):
            self._open.add(which)
        elif type(event) in STATUS_OF:
            if which not in self._open:
                self._wrong.append(f"operation {which} ends without being open")
            self._open.discard(which)

    def problems(self, residents: Residents) -> Iterator[str]:
        del residents
        yield from self._wrong


TINY_STORE: Final = Program(
    name="tiny-store",
    modules=modules,
    actions=ACTIONS,
    additions=Additions(ours.EVENTS, ours.FIELDS, ours.SUBSCRIPTIONS),
    audit=_StoreAudit,
)

SETTLERS: Final = Program(
    name="settlers",
    modules=lambda: settlers.modules(Land.generated(0, 1)),  # reading a log asks for no way: any land will do
    actions=settlers.ACTIONS,
    additions=Additions(),
    audit=_ColonyAudit,
)

TRAVEL_BOOKING: Final = Program(
    name=travel_script.NAME,
    modules=travel.modules,
    actions=travel.actions(),
    additions=Additions(),
    audit=EndsAudit,
)

ORDER_FULFILMENT: Final = Program(
    name=fulfilment_script.NAME,
    modules=fulfilment.modules,
    actions=ACTIONS,
    additions=Additions(ours.EVENTS, ours.FIELDS, ours.SUBSCRIPTIONS),
    audit=fulfilment.FulfilmentAudit,
)

SUBSCRIPTION_RENEWAL: Final = Program(
    name=subscription_script.NAME,
    modules=subscriptions.modules,
    actions=(subscriptions.ChargeCard, subscriptions.GiveBack),
    additions=Additions(),
    audit=subscriptions.MonthsAudit,
)

WEBHOOK: Final = Program(
    name=webhook_script.NAME,
    modules=lambda: (Deliveries(), Operations()),
    actions=(Post, AttendOperation),
    additions=Additions(),
    audit=_OperationsAudit,
)

NIGHTLY_IMPORT: Final = Program(
    name=import_script.NAME, modules=lambda: (Operations(),), actions=(AttendOperation,), additions=Additions(), audit=_OperationsAudit
)

AGENT: Final = NIGHTLY_IMPORT._replace(name=agent_script.NAME)

PROGRAMS: Final[Mapping[str, Program]] = {
    TINY_STORE.name: TINY_STORE,
    SETTLERS.name: SETTLERS,
    TRAVEL_BOOKING.name: TRAVEL_BOOKING,
    ORDER_FULFILMENT.name: ORDER_FULFILMENT,
    SUBSCRIPTION_RENEWAL.name: SUBSCRIPTION_RENEWAL,
    WEBHOOK.name: WEBHOOK,
    NIGHTLY_IMPORT.name: NIGHTLY_IMPORT,
    AGENT.name: AGENT,
    **dict.fromkeys(SCRIPTS, TINY_STORE),
}
"""By name; a scenario's name stands for the program that it plays on."""
