"""What a system makes of its sagas: modules, and performers that ask whether a step in doubt was done, by the probe of its performer."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tallystick.domain.action import Call, Done, Later, NotDone, Performer, Unknown
from tallystick.domain.errors import DefinitionError, Rejected, TallystickError
from tallystick.domain.module import Module
from tallystick.domain.sagas.composition import saga_modules
from tallystick.domain.sagas.owner import SagaOwner
from tallystick.domain.sagas.saga import Saga
from tallystick.domain.sagas.types_in_log import Answer, Ask
from tallystick.domain.sensitive import Forgotten, Sensitive
from tallystick.domain.token import Token


class StillOutside(TallystickError):
    """The outside world has it, and has not done it yet; it is asked again."""


class AskedCall:
    """The call that is asked about, as its probe sees it."""

    def __init__(self, ask: Ask, call: Call) -> None:
        self.token = Token(ask.key)
        self.key = ask.key
        self.attempt = 0
        self._call = call

    @property
    def deadline(self) -> datetime | None:
        """When the answer is due."""
        return self._call.deadline

    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._call.cancelled()

    def heartbeat(self) -> None:
        """The question is alive."""
        self._call.heartbeat()

    def progress(self, percent: float | None = None, message: str = "") -> None:
        """How far the question is."""
        self._call.progress(percent, message)

    def reveal(self, value: Sensitive[str]) -> str | Forgotten:
        """What a sensitive value says."""
        return self._call.reveal(value)


def with_sagas(
    modules: Sequence[Module], sagas: Sequence[Saga[Any, Any]], performers: Sequence[Performer]
) -> tuple[Sequence[Module], Sequence[Performer]]:
    """The modules, and those that the sagas become; the performers, and those that ask for the sagas, which are told whom they can ask.

    Raises:
        DefinitionError: a saga is declared in a way that cannot work, or nobody performs an action of one.
    """
    modules = (*modules, *saga_modules(*sagas))
    owners = [module for module in modules if isinstance(module, SagaOwner)]
    if not owners:
        return modules, performers
    performed = frozenset(performer.action for performer in performers)
    check_performed(owners, performed)
    probed = {performer.action: performer for performer in performers if performer.probe is not None}
    asking: list[Performer] = []
    for owner in owners:
        asking += [_asks(step.ask, probed) for step in owner.types.steps.values() if not step.child and step.ask not in performed]
    modules = [module.that_may_ask(frozenset(probed)) if isinstance(module, SagaOwner) else module for module in modules]
    return modules, (*performers, *asking)


def check_performed(owners: Sequence[SagaOwner], performed: frozenset[type[Any]]) -> None:
    """Refuse a saga of whose actions it would be found out too late that nobody performs them.

    Raises:
        DefinitionError: an action has no performer.
    """
    for owner in owners:
        for plan in owner.plans.values():
            for step in plan.steps:
                for action in step.actions:
                    if action not in performed:
                        name = action.__name__
                        msg = (
                            f"{plan.name}.{step.name} is done by {name}, which nobody performs: pass {name}.performed_by(…) to the system."
                        )
                        raise DefinitionError(msg)


def _asks(kind: type[Ask], probed: Mapping[type[Any], Performer]) -> Performer:
    def run(ask: Ask, call: Call) -> Answer[Any]:
        performer = probed.get(type(ask.asked))
        if performer is None or performer.probe is None:
            code = "NO_PROBE"
            raise Rejected(code, f"the performer of {type(ask.asked).__name__} has no probe any more")
        match performer.probe(ask.asked, AskedCall(ask, call)):
            case Done(result=result):
                return Answer(done=True, result=result)
            case NotDone():
                return Answer(done=False)
            case Later():
                raise StillOutside
            case Unknown():
                code = "UNKNOWN"
                raise Rejected(code, "the outside world cannot tell whether it was done")
            case other:
                msg = f"The probe of {type(ask.asked).__name__} answered {other!r}, which is no probe's answer."
                raise TypeError(msg)

    return kind.performed_by(run)
