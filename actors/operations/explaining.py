"""Explaining: timelines, and why something is stuck, from a running system: its log, its queue, its timer and its threads."""

import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import PurePath
from threading import enumerate as all_threads
from typing import Any, Literal, NamedTuple

from tallystick.actors.engine import QUEUE, Program
from tallystick.actors.lifecycle import Lifecycle
from tallystick.actors.operations.bracketing import BracketsOperations
from tallystick.actors.operations.tracker import Runner
from tallystick.actors.queue.queue import QueueActor
from tallystick.actors.reading import matching
from tallystick.domain.envelope import from_micros
from tallystick.domain.errors import DefinitionError
from tallystick.domain.execution import ExecutionRecord
from tallystick.domain.line import Place, Standing
from tallystick.domain.operations.events import OfOperation
from tallystick.domain.operations.explanation import Explanation, Here, UnknownToken, explained, standing_of, with_last
from tallystick.domain.operations.explanation import Standing as Stands
from tallystick.domain.operations.operation import OperationSnapshot
from tallystick.domain.operations.owner import OperationAttention
from tallystick.domain.operations.saved import NOTHING_SAVED, SavedOperations, saved_operations
from tallystick.domain.operations.timeline import Timeline, timeline_of
from tallystick.domain.parking import Source
from tallystick.domain.protocol import EXECUTION
from tallystick.domain.text import checked_text
from tallystick.domain.token import Token
from tallystick.store.log import Query

STACK_FRAMES = 20


class InLine(NamedTuple):
    """Whose tokens stand in the line of one subject: the one that is served, those that it interrupted, the latest last, and who waits."""

    active: Token | None = None
    parked: tuple[Token, ...] = ()
    waiting: tuple[Token, ...] = ()


class ExplainsItself(BracketsOperations):
    """The part of a `System` that says what is going on."""

    _life: Lifecycle
    _program: Program

    def _in_turn(self, actor: str, look: Callable[[Any], Any]) -> Any:
        """Look something up while an actor does nothing else."""
        raise NotImplementedError

    def _inspect(self, owner: str) -> Any:
        """An owner's state."""
        raise NotImplementedError

    def _saved_operations(self) -> SavedOperations:
        beginning = self._life.present_log().beginning
        return NOTHING_SAVED if beginning is None else saved_operations(beginning.streams)

    def timeline(self, correlation: str) -> Timeline:
        """All that one correlation has led to, as far as it is durable: operations, evidence, events, attempts, timers, audit records.

        An operation's correlation is `operations.correlation_of(id)`. `tallystick operations timeline --mermaid`
        draws it, `as_objects()` is for JSON.
        """
        checked_text("a correlation", correlation)
        return timeline_of(correlation, matching(self._life, Query(correlation=correlation)))

    def why(self, token: str) -> Explanation:
        """What an execution or operation waits for: its facts, and a sentence.

        Raises:
            UnknownToken: nothing was ever begun with it.
        """
        checked_text("a token", token)
        standing = standing_of(matching(self._life, Query(token=token)))
        if standing is None:
            msg = f"Nothing was ever begun with token {token}; an operation's token is its id."
            raise UnknownToken(msg)
        operation = None
        if standing.operation:
            operation = self.operations.get(token)
            newest = Query(aggregate_type=OfOperation.aggregate_type, aggregate_id=token, newest_first=True, limit=1)
            standing = with_last(standing, next(matching(self._life, newest), None))
        return explained(standing, operation, self._here(standing, operation), from_micros(self._runtime.clock.now_us()))

    def queues(self, line: str) -> dict[str, InLine]:
        """Who is served, interrupted and waiting in one of the system's lines, by subject; subjects of whom there is nothing are left out.

        Raises:
            DefinitionError: the system has no such line.
        """
        if line not in self._program.lines:
            msg = f"This system has no line {line!r}; it has {sorted(self._program.lines)}."
            raise DefinitionError(msg)
        found: dict[str, InLine] = self._in_turn(QUEUE, lambda queue: _in_line(queue, line))
        return found

    def _here(self, standing: Stands, operation: OperationSnapshot | None) -> Here:
        token = Token(standing.token)
        here: Here = self._in_turn(QUEUE, lambda queue: _in_queue(queue, token))
        runner = self.operations.running.get(token) if standing.operation else None
        if runner is not None:
            here = here._replace(thread=_name_of(runner.thread), stack=_stack_of(runner))
        view = self._inspect(standing.owner)
        parked, record = Source(EXECUTION, token) in view.parking, view.executions.get(token)
        due_us = None if record is None or parked else record.due_us
        if operation is not None and operation.on_overdue == "handler":
            here = here._replace(handler=_handler_of(token, view.executions.values()))
        return here._replace(next_timer=None if due_us is None else from_micros(due_us), parked=parked)


def _in_line(queue: QueueActor, line: str) -> dict[str, InLine]:
    """Everybody in a line that owners share; in the queue's own turn."""

    def tokens(places: Iterable[Place]) -> tuple[Token, ...]:
        return tuple(place.candidate.token for place in places)

    shared = (line, "shared")
    found = {key[0]: InLine(token) for key, token in queue.held.alone.items() if key[1:] == shared}
    for key, standing in queue.held.standings.items():
        if key[1:] == shared:
            active = None if standing.active is None else standing.active.candidate.token
            arrived = tuple(candidate.token for candidate in standing.arrived)
            found[key[0]] = InLine(active, tokens(standing.parked), (*tokens(standing.waiting), *arrived))
    return found


def _handler_of(operation_id: str, executions: Iterable[ExecutionRecord]) -> Literal["asked", "waits", "answered"]:
    """How the host's handler of an operation stands, if its time is up."""
    asked = (each for each in executions if type(each.intent) is OperationAttention and each.intent.operation_id == operation_id)
    attention = next(asked, None)
    if attention is None:
        return "answered"
    return "waits" if attention.status == "person" else "asked"


def _in_queue(queue: QueueActor, token: Token) -> Here:
    """What the queue knows of a token; in the queue's own turn."""
    entry = queue.held.entries.of(token)
    if entry is None:
        return Here()
    call = entry.call
    here = Here(_behind(queue.held.standings.get(entry.key), token), call is not None or entry.later, entry.later)
    thread = None if call is None else call.thread
    return here if thread is None else here._replace(thread=_name_of(thread), stack=_stack_of(Runner(thread)))


def _behind(standing: Standing | None, token: Token) -> int | None:
    """How many of its subject go before it; none where it stands alone."""
    if standing is None:
        return None
    waiting = [place.candidate.token for place in standing.waiting]
    return waiting.index(token) + (standing.active is not None) if token in waiting else 0


def _name_of(thread: int) -> str:
    found = next((each for each in all_threads() if each.ident == thread), None)
    return f"thread {found.name}" if found is not None else f"thread {thread}"


def _stack_of(runner: Runner) -> tuple[str, ...]:
    """Where a task or a thread is, innermost last; names of files and functions only."""
    if runner.task is not None:
        frames = [(frame, frame.f_lineno) for frame in runner.task.get_stack(limit=STACK_FRAMES)]
    else:
        # There is no other way to see what another thread does.
        frame = sys._current_frames().get(runner.thread)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        frames = list(traceback.walk_stack(frame))[:STACK_FRAMES][::-1] if frame is not None else []
    return tuple(f"{PurePath(frame.f_code.co_filename).name}:{line} in {frame.f_code.co_name}" for frame, line in frames)
