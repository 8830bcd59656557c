"""The owner that a saga becomes: a module like any other, whose handlers ask `state` what follows and carry it out.

Nothing here knows how an execution is retried, timed out or recovered: that is the library's, as for every module.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, Self, cast

from msgspec import structs

from tallystick.domain.action import Action
from tallystick.domain.effect import Begin, Decision, Effect, Effects, NeedsPerson, Settle
from tallystick.domain.errors import IdempotencyConflict, Rejected
from tallystick.domain.module import Module, Turn
from tallystick.domain.outcome import Cancelled, Failed, Outcome, Refused, Succeeded, TimedOut
from tallystick.domain.sagas import events as said
from tallystick.domain.sagas.endings import Redriving, Withdrawn, reason_of
from tallystick.domain.sagas.events import Parent
from tallystick.domain.sagas.plan import SagaPlan, StepPlan
from tallystick.domain.sagas.saga import Results, Saga
from tallystick.domain.sagas.state import Instance, Move, apply, moves, past_pivot
from tallystick.domain.sagas.types_in_log import (
    Answer,
    AskIntent,
    AttentionIntent,
    CancelSaga,
    RedriveSaga,
    SagaTypes,
    StartSaga,
    StepIntent,
    UndoIntent,
    commands_of,
)
from tallystick.domain.sensitive import says_the_same
from tallystick.domain.token import Token

Told = tuple[Sequence[Effect], said.SagaEvent | None]
"""What a move takes, and the event among it that changes where the instance stands."""


class SagaOwner(Module):
    """One saga, in all the versions that a system was given. Made by `composition`, which marks its methods."""

    def __init__(self, sagas: Sequence[Saga[Any, Any]], plans: Sequence[SagaPlan], types: SagaTypes) -> None:
        self.types = types
        self.plans: Mapping[int, SagaPlan] = {plan.version: plan for plan in plans}
        self.askable: frozenset[type[Any]] = frozenset()
        """The actions whose performers have a probe: `that_may_ask`."""
        self._sagas = {saga.version: saga for saga in sagas}
        self._version_of = {commands_of(type(saga)).start: saga.version for saga in sagas}

    def that_may_ask(self, probed: frozenset[type[Any]]) -> Self:
        """This owner among performers of whom those of these actions have a probe. A system's own: another one has other performers."""
        owner = copy(self)
        owner.askable = probed
        return owner

    # What is asked of it.

    def start(self, turn: Turn, command: StartSaga) -> Decision[None]:
        """Begin an instance, once. Raises IdempotencyConflict where that id stands for another input."""
        found = turn.get(self.types.instance, command.saga_id)
        if found is None:
            yield from self._begin(turn, self._version_of[type(command)], command.saga_id, command.input, None)
        elif not says_the_same(found.input, command.input):
            msg = f"There is a {self.types.name} {command.saga_id!r} already, with another input; choose another id."
            raise IdempotencyConflict(msg)

    def cancel(self, turn: Turn, command: CancelSaga) -> Decision[None]:
        """Turn back. Rejects with NO_SUCH_SAGA, COMPLETED, PAST_PIVOT; what turns back already is left to do so."""
        instance = self._instance(turn, command.saga_id)
        code, text = "", ""
        if instance.phase == "completed":
            code, text = "COMPLETED", "is completed"
        elif instance.phase == "running" and past_pivot(self.plans[instance.version], instance):
            code, text = "PAST_PIVOT", "has passed the step after which there is no way back"
        if code:
            raise Rejected(code, f"{self.types.name} {command.saga_id!r} {text}.")
        yield from self._turn_back(turn, instance, command.saga_id, command.reason)

    def redrive(self, turn: Turn, command: RedriveSaga) -> Decision[None]:
        """Let all go on that waits for a person. Rejects with NO_SUCH_SAGA, NOT_WAITING, ONLY_BY_HAND, NOT_BY_HAND."""
        instance = self._instance(turn, command.saga_id)
        plan = self.plans[instance.version]
        waiting = [(step, state) for step, state in zip(plan.steps, instance.steps, strict=True) if state.needs_person]
        if not waiting:
            raise Rejected("NOT_WAITING", f"{self.types.name} {command.saga_id!r} waits for nobody.")  # noqa: EM101 - a code, and its words
        step, state = waiting[0]
        may_ask = self._may_ask(step)
        if state.status == "stuck_doubt" and not command.by_hand and not may_ask:
            msg = f"Nobody can be asked whether {step.name} was done: see that it is undone, and say by_hand=True."
            raise Rejected("ONLY_BY_HAND", msg)  # noqa: EM101 - as above
        if state.status == "stuck_step" and command.by_hand:
            raise Rejected("NOT_BY_HAND", f"{step.name} has a result, which a redrive cannot give.")  # noqa: EM101 - as above
        told = self.types.redriven(
            saga_id=command.saga_id, step=step.name, who=command.who, why=command.why, by_hand=command.by_hand, may_ask=may_ask
        )
        yield Settle(token=self._attention(turn, command.saga_id, step.name), outcome=Redriving(reason=command.why, event=told))

    def _instance(self, turn: Turn, saga_id: str) -> Instance:
        instance = turn.get(self.types.instance, saga_id)
        if instance is None or instance.version not in self.plans:
            raise Rejected("NO_SUCH_SAGA", f"There is no {self.types.name} {saga_id!r} that could be changed.")  # noqa: EM101 - as above
        return instance

    # What becomes of what it has begun.

    def step_ended(self, turn: Turn, intent: StepIntent, outcome: Outcome[Any]) -> Effects:
        """A step is done, failed, or in doubt."""
        if isinstance(outcome, Withdrawn):
            yield outcome.event
            return
        types, before = self.types.steps[intent.step], self._before(turn, intent.saga_id)
        event: said.StepEvent
        match outcome:
            case Succeeded(result=result):
                event = types.done(saga_id=intent.saga_id, result=result)
            case Failed(in_doubt=False):
                event = types.failed(saga_id=intent.saga_id, code=outcome.code, message=outcome.message)
            case Refused():
                event = types.failed(saga_id=intent.saga_id, code=outcome.cause.upper())
            case _:
                event = self._doubt(turn, intent, outcome)
        yield from self._advance(turn, before, event)

    def _doubt(self, turn: Turn, intent: StepIntent, outcome: Failed | TimedOut | Cancelled) -> said.StepInDoubt:
        code, message = reason_of(outcome)
        return self.types.steps[intent.step].in_doubt(
            saga_id=intent.saga_id,
            key=turn.open(type(intent), intent.subject)[0].key,
            code=code,
            message=message,
            may_ask=self._may_ask(self._step(intent.version, intent.step)),
        )

    def asked(self, turn: Turn, intent: AskIntent, outcome: Outcome[Answer[Any]]) -> Effects:
        """The outside world has said whether a step was done, or could not."""
        if isinstance(outcome, Withdrawn):
            yield outcome.event
            return
        types, before = self.types.steps[intent.step], self._before(turn, intent.saga_id)
        event: said.StepEvent
        match outcome:
            case Succeeded(result=answer):
                event = (
                    types.done_after_all(saga_id=intent.saga_id, result=answer.result)
                    if answer.done
                    else types.not_done(saga_id=intent.saga_id)
                )
            case _:
                code, message = reason_of(outcome)
                event = types.doubt_remains(saga_id=intent.saga_id, code=code, message=message)
        yield from self._advance(turn, before, event)

    def undo_ended(self, turn: Turn, intent: UndoIntent, outcome: Outcome[Any]) -> Effects:
        """A step is undone, or cannot be."""
        types, before = self.types.steps[intent.step], self._before(turn, intent.saga_id)
        event: said.StepEvent
        match outcome:
            case Succeeded():
                event = types.undone(saga_id=intent.saga_id)
            case _:
                code, message = reason_of(outcome)
                event = types.undo_failed(saga_id=intent.saga_id, code=code, message=message)
        yield from self._advance(turn, before, event)

    def attended(self, turn: Turn, intent: AttentionIntent, outcome: Outcome[Any]) -> Effects:
        """A person has looked: by a redrive, or by ending this execution by hand, of which a success means that it is put right."""
        if isinstance(outcome, Withdrawn):
            yield outcome.event
            return
        if isinstance(outcome, Redriving):
            event = outcome.event
        else:
            before = self._before(turn, intent.saga_id)
            state = before.steps[self._step(before.version, intent.step).place]
            event = self.types.redriven(
                saga_id=intent.saga_id,
                step=intent.step,
                why="" if isinstance(outcome, Succeeded) else reason_of(outcome)[1],
                by_hand=isinstance(outcome, Succeeded) and state.status != "stuck_step",
                may_ask=self._may_ask(self._step(before.version, intent.step)),
            )
        yield from self._advance(turn, self._before(turn, intent.saga_id), event)

    def done_late(self, turn: Turn, intent: StepIntent, result: Any) -> Effects:
        """A step has succeeded when it had been given up: it is undone like the others."""
        event = self.types.steps[intent.step].done_late(saga_id=intent.saga_id, round=intent.round, result=result)
        before = turn.get(self.types.instance, intent.saga_id)
        plan = None if before is None else self.plans.get(before.version)
        if before is None or plan is None:
            yield event
        elif before.steps[plan.places[intent.step]].status == "running" and before.steps[plan.places[intent.step]].rounds == intent.round:
            yield event  # it was given up in this very turn, which goes on with what it decides
        else:
            yield from self._advance(turn, before, event)

    def undone_late(self, turn: Turn, intent: UndoIntent, result: object) -> Effects:
        """A compensation has succeeded when it had been given up: nobody need look any more."""
        del result
        before = self._before(turn, intent.saga_id)
        if before.steps[self._step(before.version, intent.step).place].status == "stuck_undo":
            yield from self._advance(turn, before, self.types.steps[intent.step].undone(saga_id=intent.saga_id))

    # Steps that are sagas.

    def requested(self, turn: Turn, event: said.StepRequested) -> Effects:
        """Another saga wants an instance as its step."""
        if turn.get(self.types.instance, event.child_id) is None:
            parent = Parent(saga=type(event).aggregate_type, saga_id=event.saga_id, step=event.step)
            yield from self._begin(turn, event.child_version, event.child_id, event.input, parent)

    def undo_requested(self, turn: Turn, event: said.StepUndoRequested) -> Effects:
        """Another saga wants its step undone."""
        instance = turn.get(self.types.instance, event.child_id)
        if instance is not None:
            yield from self._turn_back(turn, instance, event.child_id, f"undone by {type(event).aggregate_type}")

    def child_ended(self, turn: Turn, event: said.Completed | said.Compensated) -> Effects:
        """A saga that is a step of one of these has ended."""
        parent = event.parent
        if parent is None or parent.saga != self.types.name:
            return
        types = self.types.steps[parent.step]
        subject = f"{parent.step}:{parent.saga_id}"
        for step in turn.open(types.intent, subject):
            if isinstance(event, said.Completed):
                yield Settle(token=step.token, outcome=Succeeded(result=event.result))
            else:
                yield Settle(token=step.token, outcome=Failed(code=event.code, message=event.message))
        if isinstance(event, said.Compensated):
            for undo in turn.open(types.undoing, subject):
                yield Settle(token=undo.token, outcome=Succeeded(result=None))

    # Folding.

    def folded(self, instance: Instance, event: said.SagaEvent) -> Instance:
        """The instance after an event; of a version that is not here any more, as much as can be said."""
        version = event.definition_version if isinstance(event, said.Started) else instance.version
        plan = self.plans.get(version)
        if plan is not None:
            return apply(plan, instance, event)
        match event:
            case said.Started():
                return structs.replace(instance, phase="running", version=version, input=event.input, parent=event.parent)
            case said.Completed():
                return structs.replace(instance, phase="completed", result=event.result)
            case said.Compensated():
                return structs.replace(instance, phase="compensated", step=event.step, code=event.code, message=event.message)
            case _:
                return instance

    # Going on.

    def _begin(self, turn: Turn, version: int, saga_id: str, given: object, parent: Parent | None) -> Iterator[Effect]:
        event = self.types.started(saga_id=saga_id, definition_version=version, input=given, parent=parent)
        yield from self._advance(turn, self.types.instance(version=version), event)

    def _turn_back(self, turn: Turn, instance: Instance, saga_id: str, reason: str) -> Iterator[Effect]:
        if instance.phase in {"running", "completed"} and not instance.cancelled:
            yield from self._advance(turn, instance, self.types.cancel_requested(saga_id=saga_id, reason=reason))

    def _advance(self, turn: Turn, before: Instance, event: said.SagaEvent) -> Iterator[Effect]:
        """Write the event, and do what follows from it, to the end."""
        plan, saga_id = self.plans[before.version], event.saga_id
        yield event
        after = apply(plan, before, event)
        released = event.step if isinstance(event, said.Redriven) else ""  # that one is being settled now
        pending = deque(moves(plan, before, after))
        while pending:
            move = pending.popleft()
            if move.deed == "release" and plan.steps[move.place].name == released:
                continue
            effects, told = self._carry_out(turn, plan, saga_id, after, move)
            yield from effects
            if told is not None:
                later = apply(plan, after, told)
                pending.extend(moves(plan, after, later))
                after = later

    def _carry_out(self, turn: Turn, plan: SagaPlan, saga_id: str, after: Instance, move: Move) -> Told:
        match move.deed:
            case "complete":
                result = self._sagas[plan.version].result(after.input, _results(plan, after))
                completed = self.types.completed(saga_id=saga_id, result=result, parent=after.parent)
                return (completed,), completed
            case "compensated":
                compensated = self.types.compensated(
                    saga_id=saga_id, step=after.step, code=after.code, message=after.message, parent=after.parent
                )
                return (compensated,), compensated
            case _:
                step = plan.steps[move.place]
                return self._for_step[move.deed](self, turn, plan, saga_id, after, step)

    def _begin_step(self, turn: Turn, plan: SagaPlan, saga_id: str, after: Instance, step: StepPlan) -> Told:
        types = self.types.steps[step.name]
        intent = types.intent(saga_id=saga_id, version=plan.version, round=after.steps[step.place].rounds)
        made = step.act(self._sagas[plan.version], after.input, _results(plan, after))
        if step.child is None:
            return (_begin(intent, made, step.patience.timeout, step.patience.retry),), None
        event = types.requested(
            saga_id=saga_id, child_id=f"{saga_id}/{step.name}/{turn.new_id()}", child_version=step.child.version, input=made
        )
        return (event, Begin(intent=intent)), event

    def _ask(self, turn: Turn, plan: SagaPlan, saga_id: str, after: Instance, step: StepPlan) -> Told:
        del turn
        types = self.types.steps[step.name]
        asked = step.act(self._sagas[plan.version], after.input, _results(plan, after))
        action = types.ask(asked=asked, key=after.steps[step.place].key)
        return (_begin(types.asking(saga_id=saga_id, version=plan.version), action, *step.undo_patience),), None

    def _undo(self, turn: Turn, plan: SagaPlan, saga_id: str, after: Instance, step: StepPlan) -> Told:
        del turn
        types, state, saga = self.types.steps[step.name], after.steps[step.place], self._sagas[plan.version]
        intent = types.undoing(saga_id=saga_id, version=plan.version)
        if step.child is not None:
            return (types.undo_requested(saga_id=saga_id, child_id=state.child_id), Begin(intent=intent)), None
        by_key = step.undo_by_key
        if state.known or by_key is None:
            undo = cast("Callable[..., Action[Any]]", step.undo)
            action = undo(saga, after.input, state.result)
        else:
            action = by_key(saga, after.input, state.key)
        return (_begin(intent, action, *step.undo_patience),), None

    def _attend(self, turn: Turn, plan: SagaPlan, saga_id: str, after: Instance, step: StepPlan) -> Told:
        state, token = after.steps[step.place], turn.new_token()
        code = "DONE_TWICE" if state.surplus else state.status.upper()
        message = f"{state.code} {state.message}".strip()
        intent = self.types.attention(saga_id=saga_id, version=plan.version, step=step.name, code=code, message=message)
        return (Begin(intent=intent, token=token), NeedsPerson(token=token, reason=f"{code}: {step.name} {message}".strip())), None

    def _withdraw(self, turn: Turn, plan: SagaPlan, saga_id: str, after: Instance, step: StepPlan) -> Told:
        kind = self.types.steps[step.name].intent
        intent = kind(saga_id=saga_id, version=plan.version, round=after.steps[step.place].rounds)
        event = self._doubt(turn, intent, Cancelled(reason=after.code))
        token = self._token(turn, kind, intent.subject)
        return (Settle(token=token, outcome=Withdrawn(reason="the saga turns back", event=event)),), event

    def _release(self, turn: Turn, plan: SagaPlan, saga_id: str, after: Instance, step: StepPlan) -> Told:
        del plan, after
        event = self.types.resolved(saga_id=saga_id, step=step.name)
        token, nobody = self._attention(turn, saga_id, step.name), Withdrawn(reason="nobody need look any more", event=event)
        return (Settle(token=token, outcome=nobody),), None

    _for_step = {  # noqa: RUF012 - a table, never changed
        "begin": _begin_step,
        "ask": _ask,
        "undo": _undo,
        "attend": _attend,
        "withdraw": _withdraw,
        "release": _release,
    }

    # Looking up.

    def _before(self, turn: Turn, saga_id: str) -> Instance:
        return cast("Instance", turn.get(self.types.instance, saga_id))

    def _step(self, version: int, name: str) -> StepPlan:
        plan = self.plans[version]
        return plan.steps[plan.places[name]]

    def _may_ask(self, step: StepPlan) -> bool:
        return step.in_doubt != "ask_person" and bool(step.actions) and self.askable.issuperset(step.actions)

    def _attention(self, turn: Turn, saga_id: str, step: str) -> Token:
        return self._token(turn, self.types.attention, f"{step}:{saga_id}")

    def _token(self, turn: Turn, kind: type[Any], subject: str) -> Token:
        """The token of what is open; there is one."""
        return turn.open(kind, subject)[0].token


def _begin(intent: Any, action: Action[Any], timeout: Any, retry: Any) -> Begin:
    return Begin(intent=intent, actions=(action,), timeout=timeout, retry=retry)


def _results(plan: SagaPlan, instance: Instance) -> Results:
    return Results({step.name: state.result for step, state in zip(plan.steps, instance.steps, strict=True) if state.known})
