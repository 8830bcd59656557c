"""A model of a log in plain dicts, written on its own: what must hold of any record that comes next, and where everything then stands.

It shares nothing with the library's book-keeping but the program's own folds. It reads the payloads' JSON, not the decoded events.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tallystick.domain.behaviour import Behaviour
from tallystick.domain.envelope import MICROSECOND, Recorded, to_micros
from tallystick.domain.schedules import CommandDue, takes_deliveries
from tallystick.testing.parked import Parked, holds_success, take_parking
from tallystick.testing.payload import NOTHING, Payload, read
from tallystick.testing.violations import InvariantViolation

CALLS_LIMIT = 20
UNDECIDED = frozenset({"TimeoutFired", "RetryScheduled", "AttemptStarted"})
"""What does not happen to an execution whose outcome is decided."""

Stream = tuple[str, str]
Violated = Callable[[str, str], InvariantViolation]


class Rules:
    """What the model knows of a program: which events are folded how, how often an intent may be tried, who reacts to what."""

    def __init__(self, behaviours: Mapping[str, Behaviour]) -> None:
        self.behaviours = behaviours
        self.decoders: dict[str, msgspec.json.Decoder[Any]] = {}
        self.folds: dict[str, list[tuple[str, type[Any], bool, Any]]] = {}
        self.reactions = {owner: {kind.__name__ for kind in behaviour.reactions} for owner, behaviour in behaviours.items()}
        for owner, behaviour in behaviours.items():
            if takes_deliveries(behaviour):
                self.reactions[owner].add(CommandDue.__name__)
        self.owners = {event.__name__: owner for owner, behaviour in behaviours.items() for event in behaviour.published}
        self.retries: dict[str, int] = {}
        self.timeouts: dict[str, int | None] = {}
        self.closings: dict[str, int | None] = {}
        self.beating: set[str] = set()
        for owner, behaviour in behaviours.items():
            for event in (*behaviour.published, *behaviour.reactions):
                self.decoders[event.__name__] = msgspec.json.Decoder(event, strict=True)
            for event, folds in behaviour.folds.items():
                rows = self.folds.setdefault(event.__name__, [])
                rows += [(owner, fold.into, fold.resident, fold.after) for fold in folds]
            for intent in (*behaviour.settlements, *behaviour.late):
                self.timeouts[intent.started_name()] = None if intent.timeout is None else intent.timeout // MICROSECOND
                bound = intent.schedule_to_close
                self.closings[intent.started_name()] = None if bound is None else bound // MICROSECOND
                if intent.heartbeat is not None:
                    self.beating.add(intent.started_name())
                self.retries[intent.started_name()] = intent.retry.max_retries if intent.retry is not None else 0


class LogModel:
    """Takes every record once, in order.

    Raises, from `take`:
        InvariantViolation: the record must not be where it is.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.records: list[Recorded] = []
        self.versions: dict[Stream, int] = {}
        self.executions: dict[str, dict[str, Any]] = {}
        """Every execution that was ever begun, by token; `settled` says how it ended, None while it is open."""
        self.open: dict[str, dict[str, dict[str, Any]]] = {}
        """The open ones of each owner."""
        self.parked: dict[str, Parked] = {}
        self.commands: dict[str, bytes] = {}
        self.states: dict[Stream, dict[type[Any], Any]] = {}
        self.residents: dict[str, dict[type[Any], Any]] = {}
        self.seen: dict[str, int] = {}
        self.joined: dict[str, int] = {}
        """From where on an owner takes events (P3)."""
        self._answered: dict[tuple[str, int], int] = {}
        self._last_answered: dict[tuple[str, Stream], int] = {}
        self.continued(rules)

    def continued(self, rules: Rules) -> "LogModel":
        """This one, in another process: its program is the same, and may have more modules."""
        self.rules = rules
        for owner, behaviour in rules.behaviours.items():
            self.open.setdefault(owner, {})
            self.parked.setdefault(owner, {})
            self.residents.setdefault(owner, {kind: kind() for kind in behaviour.residents})
        return self

    @property
    def tail(self) -> int:
        """The last position taken."""
        return len(self.records)

    def take(self, recorded: Recorded, now_us: int | None = None) -> Any:
        """One more record; the program's event in it, None for the library's own. `now_us`: the clock when it was appended, if known."""
        self._check_place(recorded)
        self.records.append(recorded)
        if recorded.seen is not None:
            self._check_cursor(recorded, recorded.seen)
        kind = recorded.aggregate_type
        if recorded.token is not None:
            self._take_execution(recorded, recorded.token, now_us)
        elif recorded.event_type == "OwnerJoined":
            self._join(recorded)
        elif kind == "Owner":
            reactions = None if now_us is None else self.rules.reactions.get(recorded.owner, ())
            take_parking(self.parked[recorded.owner], recorded, read(recorded.payload), self.records, reactions)
        elif kind == "Command":
            self.commands[recorded.aggregate_id] = recorded.payload
        if recorded.causation is not None and kind != "Owner":
            self._check_reaction(recorded, recorded.causation)
        decoder = self.rules.decoders.get(recorded.event_type)
        return None if decoder is None else self._fold(recorded, decoder.decode(recorded.payload))

    def _check_place(self, recorded: Recorded) -> None:
        position = len(self.records) + 1
        if recorded.position != position:
            text = f"position {recorded.position} stands where {position} is due: the log has a gap, or repeats itself"
            raise InvariantViolation("S5", text, position=recorded.position)
        stream = (recorded.aggregate_type, recorded.aggregate_id)
        version = self.versions.get(stream, 0) + 1
        if recorded.aggregate_version != version:
            text = f"{stream[0]} {stream[1]!r} has version {recorded.aggregate_version} after {version - 1}"
            raise InvariantViolation("S6", text, position=position)
        self.versions[stream] = version
        if self.rules.owners.get(recorded.event_type, recorded.owner) != recorded.owner:
            text = f"{recorded.owner} writes {recorded.event_type}, which is {self.rules.owners[recorded.event_type]}'s"
            raise InvariantViolation("P20", text, position=position)
        if self.records and recorded.occurred_at_us < self.records[-1].occurred_at_us:
            raise InvariantViolation("P23", "it occurred before the record that stands before it", position=position)

    def _check_cursor(self, recorded: Recorded, seen: int) -> None:
        owner, position = recorded.owner, recorded.position
        if seen < self.seen.get(owner, 0):
            raise InvariantViolation("P1", f"{owner}'s cursor went back from {self.seen[owner]} to {seen}", position=position)
        if seen >= position:
            raise InvariantViolation("P1", f"{owner} had seen {seen}, which is itself or later", position=position)
        self.seen[owner] = seen

    def _check_reaction(self, recorded: Recorded, cause: int) -> None:
        """An owner answers an event once, in one append, and an aggregate's events in their order."""
        owner, position = recorded.owner, recorded.position
        if cause >= position:
            raise InvariantViolation("P1", f"it answers position {cause}, which comes later", position=position)
        answered = self.records[cause - 1]
        if answered.event_type not in self.rules.reactions.get(owner, ()):
            return
        if cause <= self.joined.get(owner, 0):
            text = f"{owner} answers position {cause}, and was new to the log at {self.joined[owner]}"
            raise InvariantViolation("P3", text, position=position)
        source = (answered.aggregate_type, answered.aggregate_id)
        waits = self.parked[owner].get(source)
        if waits is not None and cause > waits["position"]:
            text = f"{owner} answers position {cause}, while {waits['position']} of the same aggregate is parked"
            raise InvariantViolation("P12", text, position=position)
        key = (owner, cause)
        last = self._answered.get(key)
        if last is not None and last != position - 1:
            raise InvariantViolation("P1", f"{owner} answers position {cause} again, after it did so at {last}", position=position)
        self._answered[key] = position
        if cause < self._last_answered.get((owner, source), 0):
            text = f"{owner} answers position {cause} after {self._last_answered[owner, source]} of the same aggregate"
            raise InvariantViolation("S6", text, position=position)
        self._last_answered[owner, source] = cause

    # Executions.

    def _take_execution(self, recorded: Recorded, token: str, now_us: int | None) -> None:
        execution = self.executions.get(token)
        if execution is None:
            if recorded.aggregate_type != "Execution" or recorded.settles is not None:
                text = f"{recorded.event_type} refers to an execution that was never begun"
                raise InvariantViolation("S2", text, position=recorded.position, token=token)
            self._begin(recorded, token)
            return
        if execution["owner"] != recorded.owner:
            text = f"{recorded.owner} writes {recorded.event_type} of an execution of {execution['owner']}"
            raise InvariantViolation("S2", text, position=recorded.position, token=token)
        if recorded.settles is not None:
            if execution["settled"] is not None:
                text = f"{recorded.event_type} completes it, which {execution['settled']} at {execution['settled_at']} did before"
                raise InvariantViolation("S1", text, position=recorded.position, token=token)
            execution |= {"settled": recorded.settles, "settled_at": recorded.position}
            del self.open[recorded.owner][token]
            kept = self.parked[recorded.owner].pop(("Execution", token), None)
            execution["overtaken"] = recorded.settles != "succeeded" and holds_success(kept)
        elif recorded.aggregate_type == "Execution":
            # On threads the timer may be about to write when the settlement fails; then its timeout is stale.
            may_be_stale = now_us is None and recorded.event_type == "TimeoutFired"
            if recorded.event_type in UNDECIDED and not may_be_stale and self._is_decided(recorded.owner, token):
                text = f"{recorded.event_type}: its outcome is decided, and waits for a settlement handler that has failed"
                raise InvariantViolation("P13", text, position=recorded.position, token=token)
            self._go_on(recorded, execution, token, now_us)

    def _begin(self, recorded: Recorded, token: str) -> None:
        started = read(recorded.payload)
        if started.intent == NOTHING:
            text = f"{recorded.event_type} is the first that is heard of an execution; what it is for was never written down"
            raise InvariantViolation("S2", text, position=recorded.position, token=token)
        allowed = self.rules.retries.get(recorded.event_type, 0) if started.retry is None else started.retry["maxRetries"]
        self.executions[token] = self.open[recorded.owner][token] = {
            "owner": recorded.owner,
            "type": recorded.event_type,
            "position": recorded.position,
            "attempt": 1,
            "call": 1,
            "calls": CALLS_LIMIT if started.actions else None,
            "starts": {1: recorded.position},
            "status": "running",
            "due_us": None if started.deadline is None else to_micros(started.deadline),
            "timed": started.deadline is not None,
            "timeout_us": self.rules.timeouts.get(recorded.event_type) if started.timeout_us is None else started.timeout_us,
            "closing_us": self.rules.closings.get(recorded.event_type),
            "beats": recorded.event_type in self.rules.beating,
            "opened_us": recorded.occurred_at_us,
            "retries": allowed,
            "granted": allowed,
            "settled": None,
            "settled_at": None,
            "late": False,
            "overtaken": False,
        }

    def _go_on(self, recorded: Recorded, execution: dict[str, Any], token: str, now_us: int | None) -> None:
        event, payload, position = recorded.event_type, read(recorded.payload), recorded.position

        def violated(invariant: str, text: str) -> InvariantViolation:
            return InvariantViolation(invariant, f"{event}: {text}", position=position, token=token)

        if event == "LateSuccess":
            self._succeed_late(execution, violated)
        elif event == "TimeoutFired":
            self._fire(execution, payload, now_us, violated)
        elif execution["settled"] is not None:
            raise violated("S3", f"it was settled at {execution['settled_at']}, and goes on")
        elif event == "RetryScheduled":
            self._schedule_retry(execution, payload, now_us, violated)
        elif event == "AttemptStarted":
            self._start_attempt(execution, payload, now_us, violated)
            execution["starts"][payload.attempt] = position
        elif event == "PersonNeeded":
            execution |= {"status": "person", "due_us": None}
        elif event == "ExecutionRedriven":
            self._redrive(execution, payload, violated)
            execution["opened_us"] = recorded.occurred_at_us
        elif event in {"HeartbeatRecorded", "ProgressReported"}:
            self._stay_alive(event, payload, execution, violated)

    def _is_decided(self, owner: str, token: str) -> bool:
        """Whether its outcome is kept with its settlement handler, which has failed (P13)."""
        letter = self.parked[owner].get(("Execution", token))
        return letter is not None and letter["role"] == "settlement"

    def _stay_alive(self, event: str, payload: Payload, execution: dict[str, Any], violated: Violated) -> None:
        if payload.attempt != execution["attempt"]:
            raise violated("P4", f"attempt {payload.attempt} says that it is alive, and {execution['attempt']} runs")
        if execution["status"] == "running" and (payload.deadline is not None or event == "HeartbeatRecorded"):
            execution |= {"due_us": None if payload.deadline is None else to_micros(payload.deadline), "beats": True}

    def _succeed_late(self, execution: dict[str, Any], violated: Violated) -> None:
        if execution["settled"] in (None, "succeeded") or execution["late"]:
            raise violated("P10", "there can be one, of what was settled and has not succeeded")
        execution["late"] = True

    def _fire(self, execution: dict[str, Any], payload: Payload, now_us: int | None, violated: Violated) -> None:
        if execution["settled"] is not None or execution["status"] != "running" or payload.attempt != execution["attempt"]:
            return
        if now_us is not None and execution["due_us"] is not None and now_us < execution["due_us"]:
            raise violated("S12", f"it fires {execution['due_us'] - now_us} µs early")
        execution["status"] = "fired"

    def _schedule_retry(self, execution: dict[str, Any], payload: Payload, now_us: int | None, violated: Violated) -> None:
        runs = now_us is not None  # else its program may have had other limits when this was written
        if payload.attempt != execution["attempt"] + 1 or (runs and payload.attempt > execution["retries"] + 1):
            text = f"attempt {payload.attempt} follows {execution['attempt']}; {execution['retries']} retries are allowed"
            raise violated("S13", text)
        due_us = None if payload.retry_at is None else to_micros(payload.retry_at)
        closing_us = execution["closing_us"]
        if runs and due_us is not None and closing_us is not None and due_us >= execution["opened_us"] + closing_us:
            raise violated("S13", f"it is to begin at {due_us}, when the time for all attempts is up")
        execution |= {"status": "retrying", "attempt": payload.attempt, "due_us": due_us}

    def _redrive(self, execution: dict[str, Any], payload: Payload, violated: Violated) -> None:
        """A person starts it anew: as many retries and calls as at the beginning, and a number that no attempt had before (P4)."""
        if payload.attempt != execution["attempt"] + 1:
            raise violated("S13", f"attempt {payload.attempt} follows {execution['attempt']}")
        retries = execution["granted"] + payload.attempt - 1
        execution |= {"status": "running", "attempt": payload.attempt, "call": 0, "due_us": None, "retries": retries}

    def _start_attempt(self, execution: dict[str, Any], payload: Payload, now_us: int | None, violated: Violated) -> None:
        if payload.attempt != execution["attempt"]:
            raise violated("S13", f"attempt {payload.attempt} is started, and {execution['attempt']} is due")
        limit = execution["calls"]
        if payload.call != execution["call"] + 1 or (limit is not None and payload.call > limit):
            raise violated("P6", f"call {payload.call} of attempt {payload.attempt} follows {execution['call']}, of {CALLS_LIMIT} at most")
        if execution["status"] == "person":  # not "fired": a timeout that a snapshot has lost fires again (P8)
            raise violated("P6", f"attempt {payload.attempt} is started, although the execution waits for a person")
        if execution["status"] == "retrying" and now_us is not None and now_us < execution["due_us"]:
            raise violated("S12", f"it starts {execution['due_us'] - now_us} µs before its time")
        due_us = None if payload.deadline is None else to_micros(payload.deadline)
        retrying = execution["status"] == "retrying"
        if retrying and execution["timeout_us"] is not None and now_us is not None:
            should_us = execution["due_us"] + execution["timeout_us"]
            if execution["closing_us"] is not None:
                should_us = min(should_us, execution["opened_us"] + execution["closing_us"])
            if due_us != should_us:
                raise violated("P24", f"its deadline is {due_us}, not {should_us}: the moment of the retry and the timeout")
        elif not retrying and execution["call"] and not execution["beats"] and due_us != execution["due_us"]:
            raise violated("P8", f"its deadline was {execution['due_us']}; it is called again, and now it is {due_us}")
        execution |= {"status": "running", "call": payload.call, "due_us": due_us}

    # Owners.

    def _join(self, recorded: Recorded) -> None:
        """An owner is new to the log: it takes what comes, not what was, unless it was told to begin at the beginning (P3).

        One that joins when it is used takes nothing, so that it does not matter how far it has looked by then.
        """
        owner, position, start = recorded.owner, recorded.position, read(recorded.payload).start
        joins_at = self.rules.behaviours[owner].module.joins_at
        others = any(each.event_type != "OwnerJoined" for each in self.records[start : position - 1]) and joins_at != "use"
        if owner in self.joined or start >= position or (start if joins_at == "beginning" else others):
            raise InvariantViolation("P3", f"{owner} joins the log, and is to take what comes after {start}", position=position)
        self.joined[owner] = start

    # The program's states.

    def _fold(self, recorded: Recorded, event: Any) -> Any:
        stream = (recorded.aggregate_type, recorded.aggregate_id)
        for owner, into, resident, after in self.rules.folds.get(recorded.event_type, ()):
            if owner != recorded.owner:
                continue
            states = self.residents[owner] if resident else self.states.setdefault(stream, {})
            before = states.get(into)
            states[into] = after(into() if before is None else before, event, recorded)
        return event
