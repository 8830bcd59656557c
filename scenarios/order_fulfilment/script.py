"""The story of four orders on the store's stage: one arrives, one asks for too much, one is cancelled, and one parcel takes three weeks."""

from datetime import timedelta
from typing import Final

import tallystick as ts
from tallystick.scenarios.order_fulfilment.fulfilment import OrderFulfilment, modules
from tallystick.scenarios.telling import Audience, must_be
from tallystick.scenarios.tiny_store.shipments import Deliver, Dispatch
from tallystick.scenarios.tiny_store.stage import Stage

NAME: Final = "order-fulfilment"
SUMMARY: Final = "A process follows orders from payment to delivery; one parcel takes three weeks, and somebody has it go on."
DAY: Final = timedelta(days=1)


def play(log: ts.EventLog, audience: Audience) -> None:
    """Tell it.

    Raises:
        PlayedWrong: it goes another way.
    """
    with Stage(log, audience) as stage:
        stage.store = tuple(modules())
        _tell(stage)


def _tell(stage: Stage) -> None:
    stage.open()
    stage.stock(tea=10)
    stage.say("Order 1 is reserved before it is paid: the process remembers it, and counts it when it is its turn.")
    stage.place("order-1")
    stage.run()
    _sent(stage, "order-1")
    _delivered(stage, "order-1")
    _expect(stage, "order-1", "completed")

    stage.say("Order 2 asks for more than there is.")
    stage.place("order-2", tea=50)
    stage.run()
    _expect(stage, "order-2", "failed")

    stage.say("Order 3 is cancelled at once.")
    stage.place("order-3")
    stage.cancel("order-3")
    _expect(stage, "order-3", "failed")

    stage.say("Order 4 is on its way, and does not arrive: five days, and two retries of five days.")
    stage.place("order-4")
    stage.run()
    _sent(stage, "order-4")
    stage.wait(20 * DAY)
    _expect(stage, "order-4", "failed")
    stage.say("Ann has asked the carrier, and has it go on; two days later it is there.")
    stage.system.ask(OrderFulfilment.retry_command("order-4", who="ann", why="it is at the customs"))
    stage.wait(DAY)
    _delivered(stage, "order-4")
    _expect(stage, "order-4", "completed")
    stage.say("A hundred days later nothing has changed: a process that has ended is not failed by its deadline.")
    stage.wait(100 * DAY)
    _expect(stage, "order-1", "completed")


def _sent(stage: Stage, order_id: str) -> None:
    stage.at_once(Dispatch(order_id=order_id, at=stage.clock.now))


def _delivered(stage: Stage, order_id: str) -> None:
    stage.wait(timedelta(hours=30))
    stage.at_once(Deliver(order_id=order_id, at=stage.clock.now))


def _expect(stage: Stage, order_id: str, phase: str) -> None:
    state = stage.system.get(OrderFulfilment.State, order_id) or OrderFulfilment.State()
    must_be(state.phase, phase, f"The fulfilment of {order_id} is {state.phase}, where {phase} was expected.")
    why = f": {state.reason}" if state.reason else ""
    stage.say(f"The fulfilment of {order_id} has {phase}{why}. Done: {', '.join(state.done) or 'nothing'}.")
