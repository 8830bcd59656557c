"""Sagas: several steps in the outside world that are all done, or all undone. What a program writes; what is made of it is `plan`.

A saga is data: a class whose methods only say what is to be asked of the outside world. It has no engine of its own: it becomes an
ordinary owner, each step and each compensation an ordinary execution.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Generic, TypeVar, cast, overload

from tallystick.domain.action import Action
from tallystick.domain.command import Command
from tallystick.domain.errors import DefinitionError, EffectError
from tallystick.domain.retry import AnyRetry
from tallystick.domain.sagas import types_in_log as saga_types
from tallystick.domain.sagas.plan import STEP_RETRY, STEP_TIMEOUT, UNDO_RETRY, InDoubt, Patience

M = TypeVar("M")
In = TypeVar("In")
R = TypeVar("R")
T = TypeVar("T")
ChildIn = TypeVar("ChildIn")


class Results:
    """The results of the steps that are done: `done[BookTrip.hotel]` has the type of that step's result."""

    __slots__ = ("_by_step",)

    def __init__(self, by_step: dict[str, Any]) -> None:
        self._by_step = by_step

    def __getitem__(self, step: "SagaStep[Any, T]") -> T:
        """A step's result.

        Raises:
            EffectError: it is not done by then; name it in `after`.
        """
        if step.name not in self._by_step:
            msg = f"{step.name} is not done by now; a step that needs its result says after=({step.name},)."
            raise EffectError(msg)
        result: T = self._by_step[step.name]
        return result


class SagaStep(Generic[In, R]):
    """One step of a saga: what `@ts.step` makes of a method. `R` is the result of its action."""

    name = ""
    child: "type[Saga[Any, Any]] | None" = None

    def __init__(
        self,
        act: Callable[..., Any],
        *,
        patience: Patience,
        after: "Sequence[SagaStep[Any, Any]] | None",
        pivot: bool,
        in_doubt: InDoubt,
    ) -> None:
        self.act = act
        self.patience = patience
        self.after = after
        self.pivot = pivot
        self.in_doubt: InDoubt = in_doubt
        self.undo: Callable[..., Any] | None = None
        self.undo_by_key: Callable[..., Any] | None = None
        self.undo_patience = Patience(STEP_TIMEOUT, UNDO_RETRY)
        self.__doc__ = act.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        """The method's name is the step's."""
        self.name = name

    @overload
    def undone_by(self, fn: Callable[[M, In, R], Action[Any]], /) -> Callable[[M, In, R], Action[Any]]: ...

    @overload
    def undone_by(self, /, *, timeout: timedelta | None = STEP_TIMEOUT, retry: AnyRetry | None = UNDO_RETRY) -> "UndoMaker[In, R]": ...

    def undone_by(
        self,
        fn: Callable[..., Any] | None = None,
        /,
        *,
        timeout: timedelta | None = STEP_TIMEOUT,
        retry: AnyRetry | None = UNDO_RETRY,
    ) -> Any:
        """Mark the method `(self, given, result) -> action` that undoes the step; it must do no harm where it is done twice.

        `timeout` bounds one attempt, five minutes if nothing is said; `retry` repeats it, ten times if nothing is said, which wait for
        17 minutes in all; when all have failed the saga waits for a person.
        """
        self._check_no_child()
        self.undo_patience = Patience(timeout, retry)

        make: UndoMaker[In, R] = UndoMaker(self)
        return make if fn is None else make(fn)

    def undone_in_doubt(self, fn: Callable[[M, In, str], Action[Any]], /) -> Callable[[M, In, str], Action[Any]]:
        """Mark the method `(self, given, key) -> action` that undoes the step where nobody knows whether it was done.

        `key` is the `call.key` under which it was asked for. The action must hold for whatever comes: where the effect is there it undoes
        it, where it is still on its way it keeps it from happening. Without such a method the outside world is asked first, by the
        performer's `probe`.
        """
        self._check_no_child()
        self.undo_by_key = fn
        return fn

    def _check_no_child(self) -> None:
        if self.child is not None:
            msg = f"{self.act.__qualname__} is a saga of its own, which undoes itself; it needs no compensation."
            raise DefinitionError(msg)


class UndoMaker(Generic[In, R]):
    """`@hotel.undone_by(…)`: gives a step its compensation."""

    def __init__(self, step: SagaStep[In, R]) -> None:
        self._step = step

    def __call__(self, fn: Callable[[M, In, R], Action[Any]], /) -> Callable[[M, In, R], Action[Any]]:
        """The same method."""
        if self._step.undo is not None:
            msg = f"{self._step.act.__qualname__} has two compensations; a step has one."
            raise DefinitionError(msg)
        self._step.undo = fn
        return fn


class StepMaker:
    """`@ts.step(…)`: makes a step of a method."""

    def __init__(self, patience: Patience, after: Sequence[SagaStep[Any, Any]] | None, *, pivot: bool, in_doubt: InDoubt) -> None:
        self._patience = patience
        self._after = after
        self._pivot = pivot
        self._in_doubt: InDoubt = in_doubt

    def __call__(self, fn: Callable[[M, In, Results], Action[R]], /) -> SagaStep[In, R]:
        """The step."""
        return SagaStep(fn, patience=self._patience, after=self._after, pivot=self._pivot, in_doubt=self._in_doubt)


@overload
def step(fn: Callable[[M, In, Results], Action[R]], /) -> SagaStep[In, R]: ...


@overload
def step(
    *,
    timeout: timedelta | None = STEP_TIMEOUT,
    retry: AnyRetry | None = STEP_RETRY,
    after: Sequence[SagaStep[Any, Any]] | None = None,
    pivot: bool = False,
    in_doubt: InDoubt = "undo",
) -> StepMaker: ...


def step(
    fn: Callable[[M, In, Results], Action[R]] | None = None,
    /,
    *,
    timeout: timedelta | None = STEP_TIMEOUT,
    retry: AnyRetry | None = STEP_RETRY,
    after: Sequence[SagaStep[Any, Any]] | None = None,
    pivot: bool = False,
    in_doubt: InDoubt = "undo",
) -> Any:
    """Mark the method `(self, given, done) -> action` that says what a step asks of the outside world.

    `given` is the saga's input, `done` has the results so far. A step begins when the step before it is done, or those in `after`: so
    steps with the same `after` run at once, and `after=()` begins at once. `timeout` bounds one attempt, five minutes if nothing is said;
    `retry` repeats it, three times if nothing is said, after 1, 2 and 4 seconds; when all have failed the step is in doubt. An outside
    world that takes days answers `Later`, and its step has a timeout of days, or None. After a `pivot` there is no way back: what fails
    then waits for a person, who has it tried again. `in_doubt` says what is done about a step that is to be undone and of which nobody
    knows whether it was done: "undo" asks the performer's probe (or takes `undone_in_doubt`), "ask_person" leaves it to somebody,
    "ignore" leaves it as it is.
    """
    make = StepMaker(Patience(timeout, retry), after, pivot=pivot, in_doubt=in_doubt)
    return make if fn is None else make(fn)


class SubSagaMaker(Generic[ChildIn, R]):
    """`@ts.sub_saga(…)`: makes a step of a method that says what another saga is given."""

    def __init__(self, child: "type[Saga[ChildIn, R]]", after: Sequence[SagaStep[Any, Any]] | None, *, pivot: bool) -> None:
        self._child = child
        self._after = after
        self._pivot = pivot

    def __call__(self, fn: Callable[[M, In, Results], ChildIn], /) -> SagaStep[In, R]:
        """The step."""
        made: SagaStep[In, R] = SagaStep(fn, patience=Patience(None, None), after=self._after, pivot=self._pivot, in_doubt="undo")
        made.child = self._child
        return made


def sub_saga(
    child: "type[Saga[ChildIn, R]]", /, *, after: Sequence[SagaStep[Any, Any]] | None = None, pivot: bool = False
) -> SubSagaMaker[ChildIn, R]:
    """Mark the method `(self, given, done) -> input` of a step that is another saga; its result is that saga's.

    Undoing the step undoes that saga, however far it came. One that has a pivot cannot be undone, so that its step is a `pivot`.
    """
    return SubSagaMaker(child, after, pivot=pivot)


class Saga(Generic[In, R]):
    """Several steps that are all done, or all undone: a class with a method for each step, and `result`.

    `name` (the class's, unless it says otherwise) identifies it in the log for ever. A change to the steps of a saga that has open
    instances is a new `version` in a class of its own with the same `name`; a system is given both, and each instance keeps the version
    that it began with. A step's name stands for its result type, in all versions. Steps that no version has any more are named in
    `former_steps`, so that old logs can be read.

    Raises:
        DefinitionError: when the class is made, or a system with it, if a declaration cannot work.
    """

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1
    former_steps: ClassVar[tuple[str, ...]] = ()
    _types: ClassVar[Any]
    _owner_kinds: ClassVar[Any]
    _plan: ClassVar[Any]

    def __init_subclass__(cls, **options: Any) -> None:
        """Its name is that of the class, unless it, or the class that it is derived from, says otherwise."""
        super().__init_subclass__(**options)
        if not cls.name:
            cls.name = cls.__name__

    def result(self, given: In, done: Results) -> R:
        """What the saga comes to, when all its steps are done. None, unless this is overridden."""
        del given, done
        return cast("R", None)

    @classmethod
    def start_command(cls, given: In, *, id: str) -> Command[None]:  # noqa: A002 - as everywhere: a saga's id
        """What `System.start` asks: begin an instance, unless there is one of that id."""
        return saga_types.commands_of(cls).start(saga_id=id, input=given)

    @classmethod
    def cancel_command(cls, id: str, reason: str) -> Command[None]:  # noqa: A002 - as above
        """What `SagaHandle.cancel` asks."""
        return saga_types.commands_of(cls).cancel(saga_id=id, reason=reason)

    @classmethod
    def redrive_command(cls, id: str, *, who: str = "", why: str = "", by_hand: bool = False) -> Command[None]:  # noqa: A002 - as above
        """What `SagaHandle.redrive` asks."""
        return saga_types.commands_of(cls).redrive(saga_id=id, who=who, why=why, by_hand=by_hand)
