"""The Tiny Store under the system machine: customers, schedules and all faults as Hypothesis likes."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tallystick.scenarios.tiny_store.events import OrderItem
from tallystick.scenarios.tiny_store.inventory import ReceiveStock
from tallystick.scenarios.tiny_store.money import Money
from tallystick.scenarios.tiny_store.orders import CancelOrder, PlaceOrder
from tallystick.scenarios.tiny_store.simulated import SimulatedStore
from tallystick.testing import SystemMachine

ORDERS = st.sampled_from(("o1", "o2"))
CENT = Money(cents=1, currency="EUR")


class StoreMachine(SystemMachine):
    simulates = SimulatedStore

    @rule(quantity=st.integers(1, 3))
    def receives_tea(self, quantity: int) -> None:
        self.ask(ReceiveStock(sku="tea", quantity=quantity))

    @rule(order_id=ORDERS)
    def places(self, order_id: str) -> None:
        tea = OrderItem(sku="tea", quantity=2, unit_price=CENT)
        self.ask(PlaceOrder(customer_id="c1", items=(tea,), address="1 High Street", order_id=order_id), key=order_id)

    @rule(order_id=ORDERS)
    def cancels(self, order_id: str) -> None:
        self.ask(CancelOrder(order_id=order_id))


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=100, stateful_step_count=15, deadline=None)
