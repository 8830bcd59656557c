"""The limit on lag: it stops commands when an owner is behind, not when an owner has nothing to do."""

import tallystick as ts
from tallystick.scenarios.tiny_store.inventory import ReceiveStock
from tallystick.scenarios.tiny_store.providers import Carrier, Gateway
from tallystick.scenarios.tiny_store.system import modules, performers


def test_an_owner_that_nothing_concerns_never_holds_up_commands_s16() -> None:
    system = ts.System(
        modules(), performers=performers(Gateway(), Carrier()), runtime=ts.SteppedRuntime(), limits=ts.Limits(lag_records=20)
    )
    with system:
        for number in range(200):
            system.ask(ReceiveStock(sku=f"SKU-{number}", quantity=1))
        assert system.health().tail > 200
