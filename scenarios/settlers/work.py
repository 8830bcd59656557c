"""Work: finds every settler a job and leads it through the job's tasks, whatever comes in between."""

from datetime import timedelta
from typing import ClassVar, assert_never

import msgspec

import tallystick as ts
from tallystick.scenarios.settlers.actions import Build, Fell, Walk
from tallystick.scenarios.settlers.events import (
    JobDone,
    JobDropped,
    JobTaken,
    NeedMet,
    NeedNotMet,
    NothingToDo,
    OrderDone,
    OrderDropped,
    OrderPutOff,
    SettlerArrived,
    SettlerReset,
    TaskBegun,
    TaskDone,
    TaskFailed,
    TaskPutOff,
    TaskTakenUp,
    TreeFelled,
    WorkerEnrolled,
    WorkerUnassigned,
)
from tallystick.scenarios.settlers.jobs import (
    DROPPED_FOR_US,
    FAILURES_LIMIT,
    FOR_GOOD,
    INTERRUPTION,
    LOOKS_AGAIN_US,
    PUT_OFF_US,
    RETRIED_AFTER_US,
    Job,
    Task,
    target,
)
from tallystick.scenarios.settlers.land import Land, Tile
from tallystick.scenarios.settlers.levels import micros
from tallystick.scenarios.settlers.line import SETTLERS, WORK
from tallystick.scenarios.settlers.paths import Paths
from tallystick.scenarios.settlers.roster import Roster
from tallystick.scenarios.settlers.wellbeing import Wellbeing
from tallystick.scenarios.settlers.works import Works

_replace = msgspec.structs.replace

Actions = tuple[ts.Action[Tile | None], ...]


class Working(ts.Intent[Tile | None]):
    """To have a settler do its job's next task."""

    line: ClassVar[str] = SETTLERS.name
    timeout: ClassVar[timedelta | None] = timedelta(minutes=10)
    on_timeout: ClassVar = "abandon"
    ends_with: ClassVar[tuple[type[ts.Event], ...]] = (TaskDone, JobDone, TaskPutOff, TaskFailed, JobDropped)

    settler: str
    task: Task

    @property
    def subject(self) -> str:
        """The settler."""
        return self.settler


class Unassign(ts.Command[None]):
    """Give a settler no work any more, and take away what it has."""

    settler: str


class Assign(ts.Command[None]):
    """Give a settler work again."""

    settler: str


class FellTree(ts.Command[None]):
    """Have a tree vanish, whoever is cutting it."""

    tree: int


class WorkManager(ts.Module):
    """The owner of jobs, trees, the stockpile and houses."""

    name: ClassVar[str] = WORK

    def __init__(self, land: Land, paths: Paths) -> None:
        self._land = land
        self._paths = paths

    # Deciding.

    @ts.each_step
    def dispatch(self, turn: ts.Turn, step: ts.Step) -> ts.Effects:
        """Give those something to do who are due, and need not eat first: the next task of their job, or a job."""
        works, now_us = turn.resident(Works), step.now_us
        due = works.agenda.due(now_us, longest_us=PUT_OFF_US)
        if due:
            wellbeing = step.resident(Wellbeing)
            due = [settler for settler in due if not wellbeing.has_to_eat(settler, now_us)]
        if not due:
            return
        roster = step.resident(Roster)
        offers = works.offers(self._land, now_us)
        for settler in due:
            at = roster.at[settler]
            job = works.jobs.get(settler)
            if job is None:
                job = offers.choose(at, self._land, self._paths)
                if job is None:
                    yield NothingToDo(settler=settler, until_us=now_us + LOOKS_AGAIN_US)
                    continue
                offers.take(job)
                yield JobTaken(settler=settler, kind=job.kind, tree=job.tree, house=job.house)
            actions = self._actions(job, at, roster.blocked)
            if actions is None:
                yield _failed(settler, job, "NO_WAY", now_us)
            else:
                yield TaskBegun(settler=settler, task=job.task)
                yield ts.Begin(
                    intent=Working(settler=settler, task=job.task),
                    actions=actions,
                    priority=ts.Priority.NORMAL,
                    origin=WORK,
                    interruption=INTERRUPTION[job.task],
                )

    def _actions(self, job: Job, at: Tile, blocked: frozenset[Tile]) -> Actions | None:
        """What the job's next task comes to for a settler that stands there; None if it cannot get to where it is done."""
        if job.task is Task.BUILD:
            return (Build(at=at),)
        goal = target(job, self._land)
        way = self._paths.way(at, goal, blocked)
        if way is None:
            return None
        walk = Walk(start=at, way=way)
        return (walk, Fell(tree=job.tree, at=goal)) if job.task is Task.FELL else (walk,)

    @Working.settled
    def settle(self, turn: ts.Turn, working: Working, outcome: ts.Outcome[Tile | None]) -> ts.Effects:
        """On with the job, or once more, or away with it. What follows is decided in the step's turn, which sees where everybody stands."""
        settler, now_us = working.settler, micros(turn.now)
        job = turn.resident(Works).jobs[settler]
        match outcome:
            case ts.Succeeded(result=at):
                at = at or target(job, self._land)
                if job.is_last:
                    yield JobDone(settler=settler, at=at, at_us=now_us)
                else:
                    yield TaskDone(settler=settler, task=job.task, at=at, at_us=now_us)
            case ts.Failed(code=code):
                yield _failed(settler, job, code, now_us)
            case ts.TimedOut():
                yield _failed(settler, job, "TIMED_OUT", now_us)
            case ts.Refused():
                yield TaskPutOff(settler=settler, until_us=now_us + PUT_OFF_US)
            case ts.Cancelled(reason=reason):
                yield JobDropped(settler=settler, reason=reason, until_us=now_us + DROPPED_FOR_US)
            case _:
                assert_never(outcome)

    # Others' decisions.

    @ts.reacts_to(SettlerArrived, emits=[WorkerEnrolled])
    def enrol(self, turn: ts.Turn, event: SettlerArrived) -> ts.Effects:
        """Whoever comes works, from when this is heard: it may have come long ago, or, by a clock that was put back since, later."""
        yield WorkerEnrolled(settler=event.settler, from_us=micros(turn.now))

    @ts.reacts_to(NeedMet)
    def after_relief(self, turn: ts.Turn, event: NeedMet) -> ts.Effects:
        """The settler is free again."""
        return _taken_up(turn, event.settler)

    @ts.reacts_to(NeedNotMet)
    def after_no_relief(self, turn: ts.Turn, event: NeedNotMet) -> ts.Effects:
        """The settler is free again."""
        return _taken_up(turn, event.settler)

    @ts.reacts_to(OrderDone, emits=[TaskTakenUp])
    def after_order(self, turn: ts.Turn, event: OrderDone) -> ts.Effects:
        """The settler is free again."""
        return _taken_up(turn, event.settler)

    @ts.reacts_to(OrderPutOff)
    def after_no_order(self, turn: ts.Turn, event: OrderPutOff) -> ts.Effects:
        """The settler is free again."""
        return _taken_up(turn, event.settler)

    @ts.reacts_to(OrderDropped)
    def after_dropped_order(self, turn: ts.Turn, event: OrderDropped) -> ts.Effects:
        """The settler is free again."""
        return _taken_up(turn, event.settler)

    @ts.reacts_to(SettlerReset)
    def reset(self, turn: ts.Turn, event: SettlerReset) -> ts.Effects:
        """Away with the job; another one is looked for."""
        return _let_go(turn, event.settler, "RESET")

    # The player's.

    @ts.handles(Unassign, emits=[WorkerUnassigned])
    def unassign(self, turn: ts.Turn, command: Unassign) -> ts.Decision[None]:
        """Rejects with NOT_A_WORKER."""
        if not _is_worker(turn.resident(Works), command.settler):
            code = "NOT_A_WORKER"
            raise ts.Rejected(code, f"{command.settler} has no work to be relieved of.")
        yield from _let_go(turn, command.settler, "UNASSIGNED")
        yield WorkerUnassigned(settler=command.settler)

    @ts.handles(Assign)
    def assign(self, turn: ts.Turn, command: Assign) -> ts.Decision[None]:
        """Rejects with NOT_UNASSIGNED."""
        if command.settler not in turn.resident(Works).unassigned:
            code = "NOT_UNASSIGNED"
            raise ts.Rejected(code, f"{command.settler} was not relieved of work.")
        yield WorkerEnrolled(settler=command.settler, from_us=micros(turn.now))

    @ts.handles(FellTree, emits=[TreeFelled])
    def fell(self, turn: ts.Turn, command: FellTree) -> ts.Decision[None]:
        """Rejects with UNKNOWN_TREE."""
        if not 0 <= command.tree < len(self._land.trees):
            code = "UNKNOWN_TREE"
            raise ts.Rejected(code, f"There is no tree {command.tree}.")
        yield TreeFelled(tree=command.tree, at_us=micros(turn.now))

    # State.

    @ts.folds(WorkerEnrolled, Works)
    def enrolled(self, works: Works, event: WorkerEnrolled) -> Works:
        """To be given something to do."""
        return _replace(works.looked_at(event.settler, event.from_us), unassigned=works.unassigned.discard(event.settler))

    @ts.folds(WorkerUnassigned, Works)
    def unassigned(self, works: Works, event: WorkerUnassigned) -> Works:
        """Not to be given anything."""
        return _replace(works, agenda=works.agenda.without(event.settler), unassigned=works.unassigned.set(event.settler, True))

    @ts.folds(NothingToDo, Works)
    def idle(self, works: Works, event: NothingToDo) -> Works:
        """Looked at again."""
        return works.looked_at(event.settler, event.until_us)

    @ts.folds(JobTaken, Works)
    def taken(self, works: Works, event: JobTaken) -> Works:
        """What the job takes is promised."""
        return works.taken(event.settler, Job(kind=event.kind, tree=event.tree, house=event.house))

    @ts.folds(TaskBegun, Works)
    def begun(self, works: Works, event: TaskBegun) -> Works:
        """At work."""
        job = _replace(works.jobs[event.settler], put_off=False)
        return _replace(works.with_job(event.settler, job), agenda=works.agenda.without(event.settler))

    @ts.folds(TaskDone, Works)
    def task_done(self, works: Works, event: TaskDone) -> Works:
        """One task further."""
        return works.task_done(event.settler, event.at_us)

    @ts.folds(JobDone, Works)
    def job_done(self, works: Works, event: JobDone) -> Works:
        """Another job is due."""
        return works.job_done(event.settler, event.at_us)

    @ts.folds(TaskPutOff, Works)
    def put_off(self, works: Works, event: TaskPutOff) -> Works:
        """The job is kept, and what is promised to it."""
        job = _replace(works.jobs[event.settler], put_off=True)
        return works.with_job(event.settler, job).looked_at(event.settler, event.until_us)

    @ts.folds(TaskTakenUp, Works)
    def taken_up(self, works: Works, event: TaskTakenUp) -> Works:
        """Due earlier than was thought."""
        return works.looked_at(event.settler, event.from_us)

    @ts.folds(TaskFailed, Works)
    def task_failed(self, works: Works, event: TaskFailed) -> Works:
        """Once more, after a while."""
        job = works.jobs[event.settler]
        works = works.with_job(event.settler, _replace(job, failures=job.failures + 1, put_off=False))
        return _replace(works.looked_at(event.settler, event.until_us), tasks_failed=works.tasks_failed + 1)

    @ts.folds(JobDropped, Works)
    def job_dropped(self, works: Works, event: JobDropped) -> Works:
        """What was promised is not any more."""
        return works.job_dropped(event.settler, event.until_us)

    @ts.folds(TreeFelled, Works)
    def tree_felled(self, works: Works, event: TreeFelled) -> Works:
        """No wood, until it has grown again."""
        return works.felled(event.tree, event.at_us)


def _failed(settler: str, job: Job, reason: str, now_us: int) -> ts.Event:
    """Once more after a while, unless that cannot help or has been tried often enough."""
    if reason in FOR_GOOD or job.failures + 1 >= FAILURES_LIMIT:
        return JobDropped(settler=settler, reason=reason, until_us=now_us + DROPPED_FOR_US)
    return TaskFailed(settler=settler, reason=reason, until_us=now_us + RETRIED_AFTER_US)


def _taken_up(turn: ts.Turn, settler: str) -> ts.Effects:
    """What the settler's needs, or the player, had kept it from."""
    job = turn.resident(Works).jobs.get(settler)
    if job is not None and job.put_off:
        yield TaskTakenUp(settler=settler, from_us=micros(turn.now))


def _let_go(turn: ts.Turn, settler: str, reason: str) -> ts.Effects:
    """Away with the settler's job, whether a task of it is under way or not."""
    under_way = turn.open(Working, settler)
    for execution in under_way:
        yield ts.Settle(token=execution.token, outcome=ts.Cancelled(reason=reason))
    if not under_way and settler in turn.resident(Works).jobs:
        yield JobDropped(settler=settler, reason=reason, until_us=micros(turn.now) + DROPPED_FOR_US)


def _is_worker(works: Works, settler: str) -> bool:
    return settler in works.agenda or settler in works.jobs
