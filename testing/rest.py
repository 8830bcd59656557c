"""What must hold when nothing is left to happen: the liveness invariants (L1, L2, L4), and what the customers were promised (S4, S16)."""

from collections.abc import Iterator
from typing import Final

from tallystick.actors.system import System
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import LogError
from tallystick.testing.customers import Customers
from tallystick.testing.model import LogModel
from tallystick.testing.simulated import SimulatedRuntime
from tallystick.testing.violations import InvariantViolation
from tallystick.testing.world import DAY

KEYS_KEPT_US: Final = 30 * DAY
"""For so long a key has one answer."""


def check_at_rest(system: System, runtime: SimulatedRuntime, model: LogModel | None, customers: Customers) -> None:
    """Everything has ended but what waits for a person; a poisoned message holds up nothing but its own aggregate.

    Raises:
        InvariantViolation: L1, L2, L4, P8, P13 or S16.
    """
    if model is not None:
        for violation in (*_open(model), *_overtaken(model), *_parked(model), *_waiting(system, runtime, customers)):
            raise violation


def _open(model: LogModel) -> Iterator[InvariantViolation]:
    for owner, executions in model.open.items():
        for token, execution in executions.items():
            waits = execution["status"] == "person" or ("Execution", token) in model.parked[owner]
            if execution["status"] == "fired" and not waits:
                text = f"the timeout of {owner}'s {execution['type']} has fired, and nobody decides what follows"
                yield InvariantViolation("P8", text, position=execution["position"], token=token)
            if execution["timed"] and not waits:
                text = f"{owner}'s {execution['type']} has not ended, nor does it wait for a person: {execution}"
                yield InvariantViolation("L1", text, position=execution["position"], token=token)


def _overtaken(model: LogModel) -> Iterator[InvariantViolation]:
    for token, execution in model.executions.items():
        if execution["overtaken"] and not execution["late"]:
            text = f"{execution['owner']}'s {execution['type']} was {execution['settled']}, and the success that it had kept is forgotten"
            yield InvariantViolation("P13", text, position=execution["settled_at"], token=token)


def _parked(model: LogModel) -> Iterator[InvariantViolation]:
    for owner, parked in model.parked.items():
        for source, letter in parked.items():
            if not letter["dead"]:
                yield InvariantViolation("L4", f"{owner} has parked {source}, and nobody tries it again", position=letter["position"])


def _waiting(system: System, runtime: SimulatedRuntime, customers: Customers) -> Iterator[InvariantViolation]:
    armed = runtime.armed()
    if armed:
        yield InvariantViolation("L2", f"{len(armed)} timers are armed, and none of them ever rings, that of {armed[0]} for one")
    health = system.health()
    if health.commands_in_flight:
        yield InvariantViolation("S16", f"{health.commands_in_flight} commands are in flight, and will never be answered")
    for owner, stands in health.owners.items():
        if stands.lag:
            yield InvariantViolation("L4", f"{owner} is {stands.lag} positions behind, and takes no more of them")
    if customers.limit is not None and customers.most_in_flight > customers.limit:
        yield InvariantViolation("S16", f"{customers.most_in_flight} commands were let in at once; the limit is {customers.limit}")
    if customers.unanswered:
        yield InvariantViolation("L1", f"{customers.unanswered[0]} was never answered")


def check_the_end(system: System, customers: Customers, model: LogModel | None) -> None:
    """After mending, redriving and settling by hand nothing is left, and whatever was answered is in the log.

    Raises:
        InvariantViolation: L1, P15, P23, S4, S5 or S13.
    """
    if model is None:
        return
    _check_nobody_is_waited_for(model)
    _check_chain(system, model)
    _check_keys(model)
    for owner, parked in model.parked.items():
        if parked:
            raise InvariantViolation("S13", f"{owner} still has {sorted(parked)}, though mended and redriven")
    missing = [key for key in customers.keys_answered() if key not in model.commands]
    if missing:
        raise InvariantViolation("S4", f"the command with key {missing[0]!r} was answered, and is not in the log")
    watermark = system.health().watermark
    if model.tail != watermark:
        raise InvariantViolation("S5", f"at rest the log is durable up to {watermark} of {model.tail}")


def _check_nobody_is_waited_for(model: LogModel) -> None:
    for owner, executions in model.open.items():
        for token, execution in executions.items():
            if execution["status"] == "person":
                raise InvariantViolation("L1", f"{owner}'s {execution['type']} waits for a person, who has settled all", token=token)


def _check_keys(model: LogModel) -> None:
    """A command with a key is settled once, as long as the key is kept (P15)."""
    settled: dict[str, Recorded] = {}
    for recorded in model.records:
        if recorded.event_type == "CommandSettled":
            key, last = recorded.aggregate_id, settled.get(recorded.aggregate_id)
            if last is not None and recorded.occurred_at_us - last.occurred_at_us < KEYS_KEPT_US:
                text = f"the command with key {key!r} is carried out again, which {last.position} had settled"
                raise InvariantViolation("P15", text, position=recorded.position)
            settled[key] = recorded


def _check_chain(system: System, model: LogModel) -> None:
    """Each record's hash is linked to the one before, and they are as many as were taken (P23)."""
    log = system._life.log  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the very one
    try:
        verified = sum(1 for _ in log.verify())
    except LogError as error:
        raise InvariantViolation("P23", str(error)) from error
    if verified != model.tail:
        raise InvariantViolation("P23", f"{verified} records are chained, {model.tail} were appended")
