"""Why is it stuck? What an open execution waits for, in one sentence, from its records and from what the process knows of it."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypeGuard

import msgspec

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import TallystickError
from tallystick.domain.operations.operation import OperationSnapshot, OperationStatus
from tallystick.domain.operations.timeline import title_of
from tallystick.domain.progress import Progress, progress_after
from tallystick.domain.protocol import EXECUTION, ProgressReported
from tallystick.domain.record import Record


class UnknownToken(TallystickError):
    """Nothing was ever begun with that token."""


class Standing(Record):
    """Where an execution stands, as far as its records say. `status` is that of its `ExecutionRecord`, or "ended".

    `last_event` is the one that ended it, if it has ended, even where evidence has come since.
    """

    token: str
    owner: str
    title: str
    correlation: str
    began_at: datetime
    last_event: str
    last_at: datetime
    actions: tuple[str, ...] = ()
    operation: bool = False
    status: str = "running"
    settles: str = ""
    attempt: int = 1
    index: int = 0
    deadline: datetime | None = None
    retry_at: datetime | None = None
    reason: str = ""
    progress: Progress | None = None


class Here(NamedTuple):
    """What the running process knows besides. `waits_behind`: how many are served before it; None when it stands in no line.

    `gone`: no process has the log, so that nothing runs. `handler`: of an overdue operation, whether the host's handler is asked, its
    answer waits for a person, or it has answered and left it open; empty where that is not known.
    """

    waits_behind: int | None = None
    calls_out: bool = False
    answers_later: bool = False
    thread: str = ""
    stack: tuple[str, ...] = ()
    next_timer: datetime | None = None
    parked: bool = False
    gone: bool = False
    handler: Literal["", "asked", "waits", "answered"] = ""


class Explanation(Record):
    """The answer: the facts, and a sentence that says what it waits for. `next_timer` is when something happens by itself."""

    standing: Standing
    sentence: str
    operation: OperationSnapshot | None = None
    queue_position: int | None = None
    thread: str = ""
    stack: tuple[str, ...] = ()
    next_timer: datetime | None = None


# The fold.


def standing_of(records: Iterable[Recorded]) -> Standing | None:
    """Fold the records of one token; None when it was never begun. Payloads are read as plain JSON: no program is needed."""
    standing: Standing | None = None
    for recorded in records:
        content = msgspec.json.decode(recorded.payload)
        if recorded.aggregate_type == EXECUTION and recorded.aggregate_version == 1:
            standing = _begun(recorded, content)
        if standing is not None and standing.status != "ended":
            ended = {"status": "ended", "settles": recorded.settles}
            changes = ended if recorded.settles else _changes(standing, recorded, content)
            standing = msgspec.structs.replace(standing, last_event=recorded.event_type, last_at=recorded.occurred_at, **changes)
    return standing


def with_last(standing: Standing, last: Recorded | None) -> Standing:
    """The same with what its operation last said, if that came later than what its execution did; an end stays the last."""
    if last is None or standing.status == "ended" or last.occurred_at < standing.last_at or last.event_type == "OperationStarted":
        return standing
    return msgspec.structs.replace(standing, last_event=last.event_type, last_at=last.occurred_at)


def _begun(recorded: Recorded, content: Mapping[str, Any]) -> Standing:
    intent = content.get("intent")
    return Standing(
        token=recorded.token or "",
        owner=recorded.owner,
        title=title_of(recorded.event_type, content),
        correlation=recorded.correlation,
        began_at=recorded.occurred_at,
        last_event=recorded.event_type,
        last_at=recorded.occurred_at,
        actions=tuple(str(action.get("type", "?")) for action in content.get("actions", ())),
        operation=isinstance(intent, dict) and "operationName" in intent and recorded.event_type == "BracketStarted",
        deadline=_moment(content.get("deadline")),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else msgspec.convert(text, datetime)


_CHANGES: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "AttemptStarted": lambda it: {"status": "running", "attempt": it["attempt"], "deadline": _moment(it.get("deadline")), "retry_at": None},
    "HeartbeatRecorded": lambda it: {"deadline": _moment(it.get("deadline"))},
    "RetryScheduled": lambda it: {
        "status": "retrying",
        "attempt": it["attempt"],
        "deadline": None,
        "retry_at": _moment(it["retryAt"]),
        "reason": it["code"],
    },
    "ActionsAdvanced": lambda it: {"index": it["index"], "progress": None},
    "TimeoutFired": lambda _: {"status": "fired"},
    "PersonNeeded": lambda it: {"status": "person", "reason": it["reason"], "deadline": None},
    "ExecutionRedriven": lambda it: {"status": "running", "attempt": it["attempt"], "deadline": None, "retry_at": None},
}


def _changes(standing: Standing, recorded: Recorded, content: Mapping[str, Any]) -> dict[str, Any]:
    if recorded.event_type == ProgressReported.__name__:
        said = msgspec.convert(content, ProgressReported)
        deadline = standing.deadline if said.deadline is None else said.deadline
        return {"progress": progress_after(standing.progress, said, recorded.occurred_at), "deadline": deadline}
    change = _CHANGES.get(recorded.event_type)
    changes = {} if change is None else change(content)
    return changes if changes.get("attempt", standing.attempt) == standing.attempt else {**changes, "progress": None}


# The sentence.


def explained(standing: Standing, operation: OperationSnapshot | None, here: Here | None, now: datetime) -> Explanation:
    """The answer; `here` is None where only the log is at hand, which a process has."""
    known = here or Here()
    by_itself = known.next_timer
    if by_itself is None and (here is None or here.gone):
        by_itself = standing.retry_at if standing.status == "retrying" else standing.deadline if standing.status == "running" else None
    if by_itself is None and standing.status == "running" and _is_handled(operation, now):
        by_itself = operation.overdue_at
    return Explanation(
        standing=standing,
        sentence=_sentence(standing, operation, here, now),
        operation=operation,
        queue_position=known.waits_behind,
        thread=known.thread,
        stack=known.stack,
        next_timer=by_itself,
    )


def _sentence(standing: Standing, operation: OperationSnapshot | None, here: Here | None, now: datetime) -> str:
    title = standing.title
    if here is not None and here.parked:
        return f"{title} waits for {standing.owner} to take its outcome, which is known: its handler failed; see dead letters."
    match standing.status:
        case "ended":
            ended = f"{_end(standing, operation)}, by {standing.last_event} at {standing.last_at:%Y-%m-%d %H:%M:%S}"
            return f"{title} waits for nothing: it {ended}."
        case "person":
            return f"{title} waits for a person: {standing.reason}. Redrive it, settle it, or give it up."
        case "retrying":
            failed = f"attempt {standing.attempt - 1} failed with {standing.reason}"
            return f"{title} waits for attempt {standing.attempt}, due {_when(standing.retry_at, now)}: {failed}."
        case "fired":
            return f"{title} waits for {standing.owner} to decide: the time of attempt {standing.attempt} is up."
        case _:
            waits = _work(standing, here) if standing.actions else _completion(standing, operation, here)
            time = _time(standing, operation, "" if here is None else here.handler, now)
            return f"{title} waits for {waits}{_progress(standing, now)}{_stall(standing, operation)}{time}"


def _end(standing: Standing, operation: OperationSnapshot | None) -> str:
    """How it ended: an operation by its own last word, which may be a failure where its execution timed out."""
    if operation is not None and operation.status.ended:
        ended = operation.status.value.lower()
        return f"was {ended}" if operation.status in {OperationStatus.CANCELED, OperationStatus.ABANDONED} else f"has {ended}"
    return "was abandoned" if standing.settles == "abandoned" else f"has {standing.settles}"


def _work(standing: Standing, here: Here | None) -> str:
    action = standing.actions[min(standing.index, len(standing.actions) - 1)]
    attempt = f"{action}, attempt {standing.attempt}"
    if here is None or here.gone:
        return f"the answer of {attempt}" if here is None else f"a process to open the log: {attempt}, was out when the last one left it"
    if here.answers_later:
        return f"the outside world, which has promised {action}'s answer for later: complete it by its token"
    if here.waits_behind:
        go = "goes" if here.waits_behind == 1 else "go"
        return f"its turn: {here.waits_behind} of its subject {go} before {action}"
    if here.thread:
        where = f" at {here.stack[-1]}" if here.stack else ""
        return f"{attempt}, which runs in {here.thread}{where}"
    return f"the answer of {attempt}: it is called, or waits for a free worker" if here.calls_out else f"{attempt}, to be called"


def _completion(standing: Standing, operation: OperationSnapshot | None, here: Here | None) -> str:
    if operation is not None and operation.held:
        if here is None:
            return "the code inside its bracket to leave"
        if here.thread:
            where = f" at {here.stack[-1]}" if here.stack else ""
            return f"the code inside its bracket, which runs in {here.thread}{where}"
        return "a person: the process that ran it is gone, and nobody knows how far it came"
    return f"somebody to complete it by its {'id' if standing.operation else 'token'}"


def _progress(standing: Standing, now: datetime) -> str:
    progress = standing.progress
    if progress is None:
        return ""
    share = () if progress.percent is None else (f"{progress.percent:.3g} %",)
    said = ", ".join((*share, *([f'"{progress.message}"'] if progress.message else ())))
    seconds = max(0, round((now - progress.at).total_seconds()))
    return f"; {seconds} s ago it said {said or 'that it goes on'}"


def _stall(standing: Standing, operation: OperationSnapshot | None) -> str:
    if operation is None or operation.status is not OperationStatus.STALLED:
        return ""
    since = operation.updated_at or standing.began_at
    return f"; it is stalled, without {operation.missed or 'progress'} since {since:%Y-%m-%d %H:%M:%S}"


def _time(standing: Standing, operation: OperationSnapshot | None, handler: str, now: datetime) -> str:
    """When its time is up, and what happens then, where that is not its end."""
    until = standing.deadline
    if until is None and operation is not None:
        until = operation.overdue_at
    if until is None:
        return "; nothing ends it by itself."
    is_up = f"; its time {'was' if until < now else 'is'} up {_when(until, now)}"
    if standing.deadline is not None or operation is None:
        return f"{is_up}."
    if operation.on_overdue != "handler":
        return f"{is_up}, which ends nothing: the watcher tells of it."
    if until > now:
        return f"{is_up}: its handler is asked then."
    return f"{is_up}: {_HANDLERS[handler]}."


_HANDLERS: Final[Mapping[str, str]] = {
    "": "its handler decides what follows",
    "asked": "its handler is asked what follows",
    "waits": "its handler was asked, whose answer waits for a person; see dead letters",
    "answered": "its handler was asked, and has left it open",
}


def _is_handled(operation: OperationSnapshot | None, now: datetime) -> TypeGuard[OperationSnapshot]:
    """Whether its handler is asked by itself at a time to come."""
    return operation is not None and operation.on_overdue == "handler" and operation.overdue_at is not None and operation.overdue_at > now


def _when(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "at a time that nobody knows"
    seconds = round((moment - now).total_seconds())
    return f"in {seconds} s" if seconds >= 0 else f"{-seconds} s ago"
