"""What must hold of every saga (S11, L3): a model of its own, in plain dicts, that reads what the log says happened, in that order.

Put `SagasEnd(modules)` among the invariants of a program that has sagas.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from tallystick.actors.system import System
from tallystick.domain.envelope import Recorded
from tallystick.domain.module import Module
from tallystick.domain.sagas import events as said
from tallystick.domain.sagas.owner import SagaOwner
from tallystick.domain.sagas.plan import StepPlan
from tallystick.domain.sagas.types_in_log import AskIntent, SagaIntent, StepIntent
from tallystick.testing.violations import InvariantViolation

ENDED: Final = frozenset({"completed", "compensated"})
NEVER_STARTED: Final = "though it was never started"


class _Intent(msgspec.Struct, rename="camel"):
    saga_id: str = ""
    version: int = 0
    step: str = ""


class _Begun(msgspec.Struct):
    intent: _Intent


class Deed(NamedTuple):
    """What an intent event of a saga begins."""

    kind: str
    saga: str
    step: str


class SagasEnd:
    """S11: a saga ends completed, compensated or needing a person; compensations run in reverse, for steps that were done or are in doubt.

    L3: none is unfinished without something open. And whatever the original got wrong: no step is begun twice, nothing is said by a saga
    that has ended, but for what came late.
    """

    def __init__(self, modules: Sequence[Module]) -> None:
        self._owners = {module.types.name: module for module in modules if isinstance(module, SagaOwner)}
        self._deeds = {kind.started_name(): deed for owner in self._owners.values() for kind, deed in _deeds(owner)}
        self._sagas: dict[tuple[str, str], dict[str, Any]] = {}
        self._tokens: dict[str, tuple[str, str]] = {}

    @property
    def states(self) -> dict[tuple[str, str], str]:
        """How each stands, by the saga's name and the instance's id: "running", "compensating", "completed" or "compensated"."""
        return {key: saga["state"] for key, saga in self._sagas.items()}

    def take(self, recorded: Recorded, event: Any) -> None:
        """One more record."""
        deed = self._deeds.get(recorded.event_type)
        if deed is not None and recorded.aggregate_type == "Execution":
            self._begin(recorded, deed)
        elif isinstance(event, said.SagaEvent):
            self._hear(recorded, event)
        if recorded.settles is not None and recorded.token in self._tokens:
            self._sagas[self._tokens.pop(recorded.token)]["open"].pop(recorded.token)

    # What is begun.

    def _begin(self, recorded: Recorded, deed: Deed) -> None:
        intent = msgspec.json.decode(recorded.payload, type=_Begun).intent
        key, token = (deed.saga, intent.saga_id), recorded.token or ""
        case = Case(recorded, key)
        saga = self._sagas.get(key)
        if saga is None:
            raise case.violation(NEVER_STARTED)
        plan = saga["plan"]
        if deed.kind == "step":
            _begin_step(case, saga, plan.steps[plan.places[deed.step]])
        elif deed.kind == "undo":
            _begin_undo(case, saga, plan.steps[plan.places[deed.step]])
        saga["open"][token] = (deed.kind, deed.step or intent.step)
        self._tokens[token] = key

    # What is heard.

    def _hear(self, recorded: Recorded, event: said.SagaEvent) -> None:
        key = (recorded.aggregate_type, event.saga_id)
        case, saga = Case(recorded, key), self._sagas.get(key)
        if isinstance(event, said.Started):
            case.holds(saga is None, "though it was started before")
            plan = self._owners[key[0]].plans[event.definition_version]
            steps = {step.name: {"state": "waiting", "known": False} for step in plan.steps}
            self._sagas[key] = {"plan": plan, "state": "running", "steps": steps, "open": {}, "child": event.parent is not None}
        elif saga is None:
            raise case.violation(NEVER_STARTED)
        elif isinstance(event, said.StepEvent):
            _hear_of_step(case, saga, event)
        else:
            _hear_of_whole(case, saga, event)

    # The end.

    def end(self, system: System) -> None:
        """Nothing is under way any more: whatever has not ended waits for a person, or for the outside world."""
        open_now = set(_open(system))
        for key, saga in self._sagas.items():
            if saga["state"] not in ENDED and key not in open_now:
                raise InvariantViolation("L3", f"{key[0]} {key[1]!r} is {saga['state']}, {saga['steps']}, and nothing is open of it")
            if saga["state"] in ENDED and any(kind in {"step", "ask"} for kind, _ in saga["open"].values()):
                raise InvariantViolation("S11", f"{key[0]} {key[1]!r} is {saga['state']}, and {saga['open']} is open of it")


class Case(NamedTuple):
    """A record of an instance, and what must hold of it."""

    recorded: Recorded
    key: tuple[str, str]

    def violation(self, text: str) -> InvariantViolation:
        """It does not hold."""
        saga, saga_id = self.key
        return InvariantViolation("S11", f"{saga} {saga_id!r}: {self.recorded.event_type}, {text}", position=self.recorded.position)

    def holds(self, what: object, text: str) -> None:
        """It must."""
        if not what:
            raise self.violation(text)


def _begin_step(case: Case, saga: dict[str, Any], step: StepPlan) -> None:
    plan, steps = saga["plan"], saga["steps"]
    case.holds(saga["state"] == "running", f"though it is {saga['state']}")
    case.holds(all(steps[plan.steps[place].name]["state"] == "done" for place in step.after), "though not all before it are done")
    again = {"failed", "not done", "doubt"} if _pivot(saga) == "done" else set[str]()  # past a pivot, what has failed is tried again
    case.holds(steps[step.name]["state"] in {"waiting", *again}, f"though it is {steps[step.name]['state']}")
    steps[step.name] = {"state": "running", "known": False}


def _begin_undo(case: Case, saga: dict[str, Any], step: StepPlan) -> None:
    its = saga["steps"][step.name]
    case.holds(saga["state"] in {"compensating", "compensated"}, f"though it is {saga['state']}")
    case.holds(its["state"] in {"done", "doubt"}, f"though it is {its['state']}")
    later = [each.name for each in saga["plan"].steps[step.place + 1 :] if each.undoable and _is_left(saga, each)]
    case.holds(not later, f"though {later} is still to be undone before it")
    under_way = [what for what in saga["open"].values() if what[0] != "attention"]
    case.holds(not under_way, f"while {under_way} is under way")


def _hear_of_whole(case: Case, saga: dict[str, Any], event: said.SagaEvent) -> None:
    steps, state = saga["steps"], saga["state"]
    match event:
        case said.CancelRequested():
            case.holds(state == "running" or (state == "completed" and saga["child"]), f"though it is {state}")
            if _pivot(saga) not in {"running", "doubt"}:
                saga["state"] = "compensating"
        case said.Completed():
            case.holds(state == "running" and all(each["state"] == "done" for each in steps.values()), f"though it is {state}: {steps}")
            saga["state"] = "completed"
        case said.Compensated():
            left = [step.name for step in saga["plan"].steps if step.undoable and _is_left(saga, step)]
            case.holds(state == "compensating" and not left and _pivot(saga) != "done", f"though it is {state}, and {left} not undone")
            saga["state"] = "compensated"
        case said.Redriven() if event.by_hand and steps[event.step]["state"] in {"done", "doubt"}:
            steps[event.step]["state"] = "undone" if steps[event.step]["state"] == "done" else "not done"
            _fall_back(saga)
        case _:
            pass


def _hear_of_step(case: Case, saga: dict[str, Any], event: said.StepEvent) -> None:
    its = saga["steps"][event.step]
    before = its["state"]
    expected = next((states for kinds, states in _EXPECTED if isinstance(event, kinds)), None)
    case.holds(expected is None or before in expected, f"though it is {before}")
    match event:
        case said.StepDone() | said.StepDoneAfterAll():
            its |= {"state": "done", "known": True}
        case said.StepDoneLate() if not its["known"] and before not in {"running", "undone"}:
            its |= {"state": "done", "known": True}
        case said.StepFailed():
            its["state"] = "failed"
            _fall_back(saga)
        case said.StepInDoubt():
            its["state"] = "doubt"
            if _pivot(saga) != "doubt":
                _fall_back(saga)
        case said.StepNotDone() if before == "doubt":
            its["state"] = "not done"
            _fall_back(saga)
        case said.StepUndone():
            its["state"] = "undone"
        case _:
            pass


_EXPECTED: Final = (
    ((said.StepDone, said.StepFailed, said.StepInDoubt), {"running"}),
    ((said.StepNotDone, said.StepUndone), {"doubt", "done"}),
)
"""How a step stands when something is heard of it."""


def _fall_back(saga: dict[str, Any]) -> None:
    if saga["state"] == "running" and _pivot(saga) != "done":
        saga["state"] = "compensating"


def _open(system: System) -> Iterator[tuple[str, str]]:
    for each in system.open_executions():
        if isinstance(each.execution.intent, SagaIntent):
            yield each.owner, each.execution.intent.saga_id


def _deeds(owner: SagaOwner) -> Iterator[tuple[type[SagaIntent], Deed]]:
    name = owner.types.name
    yield owner.types.attention, Deed("attention", name, "")
    for step, types in owner.types.steps.items():
        for kind in (types.intent, types.asking, types.undoing):
            what = "step" if issubclass(kind, StepIntent) else "ask" if issubclass(kind, AskIntent) else "undo"
            yield kind, Deed(what, name, step)


def _pivot(saga: dict[str, Any]) -> str:
    """How its last pivot that was begun stands; past one, "done"."""
    states = [saga["steps"][step.name]["state"] for step in saga["plan"].steps if step.pivot]
    return "done" if "done" in states else next((state for state in states if state != "waiting"), "")


def _is_left(saga: dict[str, Any], step: StepPlan) -> bool:
    state = saga["steps"][step.name]["state"]
    return state == "done" or (state == "doubt" and step.in_doubt != "ignore")
