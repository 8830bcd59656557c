"""Long-running operations that must not get lost: whatever was begun is either completed or visible.

This is the public face; programs import it as `import tallystick as ts`. Each name is fetched from its module when it is first used
(PEP 562), so that the import itself costs next to nothing. To add a name: import it below from the module that defines it, and enter it
in `__all__` and in `_ROOMS`; a test holds the three together.
"""

TYPE_CHECKING = False  # what type checkers take for true; importing typing for it would cost more than all the rest
if TYPE_CHECKING:
    from tallystick.actors.admission import Limits, WhenFull
    from tallystick.actors.clock import ManualClock, SeededIdentity, SystemClock
    from tallystick.actors.dead_letters import DeadLetter, DeadLetterQuery, Decided, Refusal
    from tallystick.actors.metering import Measured, Meter
    from tallystick.actors.operating import OpenExecution
    from tallystick.actors.operations.brackets import Operation, OperationScope, current_operation
    from tallystick.actors.operations.explaining import InLine
    from tallystick.actors.operations.queries import OpenIntent, OperationFilters, OperationPage
    from tallystick.actors.operations.tracker import OperationTerms, OperationTracker
    from tallystick.actors.operations.watching import Look, OperationWatcher, Sweep
    from tallystick.actors.retaining import Archived, ArchiveMade, Leaving
    from tallystick.actors.runtimes.dispatcher import DispatcherRuntime
    from tallystick.actors.runtimes.stepped import SteppedRuntime
    from tallystick.actors.runtimes.threads import ThreadsRuntime
    from tallystick.actors.sagas import SagaHandle, SagaStatus, Waiting
    from tallystick.actors.saves.document import SaveFormat
    from tallystick.actors.scheduling import Scheduler
    from tallystick.actors.supervision import Health, OwnerHealth, RestartPolicy
    from tallystick.actors.surroundings import Surroundings, surroundings
    from tallystick.actors.system import System
    from tallystick.domain.action import Action, Call, Done, Later, NotDone, Performer, Probe, Running, Ticker, Unknown
    from tallystick.domain.command import Command
    from tallystick.domain.effect import Begin, Decision, Effect, Effects, NeedsPerson, Settle
    from tallystick.domain.envelope import Recorded
    from tallystick.domain.errors import (
        AlreadySettled,
        ArchiveDamaged,
        ArchiveError,
        CommitUnknown,
        DefinitionError,
        EffectError,
        Fenced,
        IdempotencyConflict,
        InvalidPayload,
        InvalidStep,
        KeyMissing,
        KeyStoreError,
        LogCorrupt,
        LogError,
        LogLocked,
        LogPoisoned,
        LogVersionError,
        MalformedPayload,
        NotAccepted,
        NotCommitted,
        NotStepped,
        Overloaded,
        PersonalDataRefused,
        PositionConflict,
        Rejected,
        RetryAfter,
        SagaCompensated,
        SagaNeedsPerson,
        SagaVersionMissing,
        SaveDamaged,
        SaveError,
        SaveMismatch,
        SaveVersionError,
        SnapshotError,
        StepFailed,
        TallystickError,
        TimedOutWaiting,
        UnknownCommand,
        UnknownEventType,
        UnknownEventVersion,
        UnknownSaga,
        UnreadableEvent,
        VersionConflict,
    )
    from tallystick.domain.event import Aggregate, Event, Resident
    from tallystick.domain.execution import Execution, ExecutionRecord
    from tallystick.domain.intent import Intent
    from tallystick.domain.line import Line, Priority
    from tallystick.domain.module import Module, Turn, each_step, folds, handles, reacts_to
    from tallystick.domain.operations.events import Anchor, Failure, OperationNoted, Verdict
    from tallystick.domain.operations.explanation import Explanation, UnknownToken
    from tallystick.domain.operations.figures import Durations, OperationStatistics
    from tallystick.domain.operations.operation import (
        AlreadyEnded,
        Ending,
        InvalidOperation,
        OperationId,
        OperationSnapshot,
        OperationStatus,
        parsed_id,
    )
    from tallystick.domain.operations.timeline import Timeline
    from tallystick.domain.operations.watching import Alert
    from tallystick.domain.outcome import Cancelled, Failed, Outcome, Refused, Succeeded, TimedOut
    from tallystick.domain.process_module import Process, awaits, begun_by, failed_by
    from tallystick.domain.progress import Progress
    from tallystick.domain.rate import Rate
    from tallystick.domain.record import Record
    from tallystick.domain.retention import Retention
    from tallystick.domain.retry import AnyRetry, ExponentialBackoff, FixedDelay, LinearBackoff, RetryPolicy
    from tallystick.domain.sagas.composition import saga_modules
    from tallystick.domain.sagas.saga import Results, Saga, SagaStep, step, sub_saga
    from tallystick.domain.schedules import Schedule
    from tallystick.domain.sensitive import Forgotten, Sensitive, sensitive
    from tallystick.domain.step import Step
    from tallystick.domain.token import Token
    from tallystick.store.key_file import KeyFile
    from tallystick.store.keys import KeyStore, MemoryKeys
    from tallystick.store.log import EventLog, Query
    from tallystick.store.memory import MemoryLog
    from tallystick.store.sqlite.log import SqliteLog
    from tallystick.store.sqlite.reader import SqliteReader
else:

    def __getattr__(name: str) -> object:
        """The public name, from the module that defines it; kept, so that each is asked for once.

        Raises:
            AttributeError: there is no such public name.
        """
        from importlib import import_module  # noqa: PLC0415 - only when a name is used

        room = next((room for room, names in _ROOMS.items() if name in names.split()), None)
        if room is None:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg, name=name)
        value = globals()[name] = getattr(import_module(f"{__name__}.{room}"), name)
        return value

    def __dir__() -> list[str]:
        """What is there already, and every public name."""
        return sorted({*globals(), *__all__})


__all__ = [
    "Action",
    "Aggregate",
    "Alert",
    "AlreadyEnded",
    "AlreadySettled",
    "Anchor",
    "AnyRetry",
    "ArchiveDamaged",
    "ArchiveError",
    "ArchiveMade",
    "Archived",
    "Begin",
    "Call",
    "Cancelled",
    "Command",
    "CommitUnknown",
    "DeadLetter",
    "DeadLetterQuery",
    "Decided",
    "Decision",
    "DefinitionError",
    "DispatcherRuntime",
    "Done",
    "Durations",
    "Effect",
    "EffectError",
    "Effects",
    "Ending",
    "Event",
    "EventLog",
    "Execution",
    "ExecutionRecord",
    "Explanation",
    "ExponentialBackoff",
    "Failed",
    "Failure",
    "Fenced",
    "FixedDelay",
    "Forgotten",
    "Health",
    "IdempotencyConflict",
    "InLine",
    "Intent",
    "InvalidOperation",
    "InvalidPayload",
    "InvalidStep",
    "KeyFile",
    "KeyMissing",
    "KeyStore",
    "KeyStoreError",
    "Later",
    "Leaving",
    "Limits",
    "Line",
    "LinearBackoff",
    "LogCorrupt",
    "LogError",
    "LogLocked",
    "LogPoisoned",
    "LogVersionError",
    "Look",
    "MalformedPayload",
    "ManualClock",
    "Measured",
    "MemoryKeys",
    "MemoryLog",
    "Meter",
    "Module",
    "NeedsPerson",
    "NotAccepted",
    "NotCommitted",
    "NotDone",
    "NotStepped",
    "OpenExecution",
    "OpenIntent",
    "Operation",
    "OperationFilters",
    "OperationId",
    "OperationNoted",
    "OperationPage",
    "OperationScope",
    "OperationSnapshot",
    "OperationStatistics",
    "OperationStatus",
    "OperationTerms",
    "OperationTracker",
    "OperationWatcher",
    "Outcome",
    "Overloaded",
    "OwnerHealth",
    "Performer",
    "PersonalDataRefused",
    "PositionConflict",
    "Priority",
    "Probe",
    "Process",
    "Progress",
    "Query",
    "Rate",
    "Record",
    "Recorded",
    "Refusal",
    "Refused",
    "Rejected",
    "Resident",
    "RestartPolicy",
    "Results",
    "Retention",
    "RetryAfter",
    "RetryPolicy",
    "Running",
    "Saga",
    "SagaCompensated",
    "SagaHandle",
    "SagaNeedsPerson",
    "SagaStatus",
    "SagaStep",
    "SagaVersionMissing",
    "SaveDamaged",
    "SaveError",
    "SaveFormat",
    "SaveMismatch",
    "SaveVersionError",
    "Schedule",
    "Scheduler",
    "SeededIdentity",
    "Sensitive",
    "Settle",
    "SnapshotError",
    "SqliteLog",
    "SqliteReader",
    "Step",
    "StepFailed",
    "SteppedRuntime",
    "Succeeded",
    "Surroundings",
    "Sweep",
    "System",
    "SystemClock",
    "TallystickError",
    "ThreadsRuntime",
    "Ticker",
    "TimedOut",
    "TimedOutWaiting",
    "Timeline",
    "Token",
    "Turn",
    "Unknown",
    "UnknownCommand",
    "UnknownEventType",
    "UnknownEventVersion",
    "UnknownSaga",
    "UnknownToken",
    "UnreadableEvent",
    "Verdict",
    "VersionConflict",
    "Waiting",
    "WhenFull",
    "awaits",
    "begun_by",
    "current_operation",
    "each_step",
    "failed_by",
    "folds",
    "handles",
    "parsed_id",
    "reacts_to",
    "saga_modules",
    "sensitive",
    "step",
    "sub_saga",
    "surroundings",
]

_ROOMS = {
    "domain.operations.timeline": "Timeline",
    "domain.operations.explanation": "Explanation UnknownToken",
    "domain.operations.watching": "Alert",
    "actors.operations.watching": "Look OperationWatcher Sweep",
    "actors.operations.brackets": "Operation OperationScope current_operation",
    "actors.surroundings": "Surroundings surroundings",
    "actors.operations.queries": "OpenIntent OperationFilters OperationPage",
    "actors.operations.tracker": "OperationTerms OperationTracker",
    "domain.operations.operation": "AlreadyEnded Ending InvalidOperation OperationId OperationSnapshot OperationStatus parsed_id",
    "actors.retaining": "ArchiveMade Archived Leaving",
    "domain.operations.events": "Anchor Failure OperationNoted Verdict",
    "domain.retention": "Retention",
    "domain.operations.figures": "Durations OperationStatistics",
    "actors.admission": "Limits WhenFull",
    "actors.clock": "ManualClock SeededIdentity SystemClock",
    "actors.dead_letters": "DeadLetter DeadLetterQuery Decided Refusal",
    "actors.operations.explaining": "InLine",
    "actors.metering": "Measured Meter",
    "actors.operating": "OpenExecution",
    "actors.runtimes.dispatcher": "DispatcherRuntime",
    "actors.runtimes.stepped": "SteppedRuntime",
    "actors.runtimes.threads": "ThreadsRuntime",
    "actors.saves.document": "SaveFormat",
    "actors.sagas": "SagaHandle SagaStatus Waiting",
    "actors.scheduling": "Scheduler",
    "actors.supervision": "Health OwnerHealth RestartPolicy",
    "actors.system": "System",
    "domain.action": "Action Call Done Later NotDone Performer Probe Running Ticker Unknown",
    "domain.command": "Command",
    "domain.effect": "Begin Decision Effect Effects NeedsPerson Settle",
    "domain.envelope": "Recorded",
    "domain.errors": (
        "AlreadySettled ArchiveDamaged ArchiveError CommitUnknown DefinitionError EffectError Fenced IdempotencyConflict InvalidPayload "
        "InvalidStep KeyMissing KeyStoreError LogCorrupt LogError LogLocked LogPoisoned LogVersionError MalformedPayload NotAccepted "
        "NotCommitted NotStepped Overloaded PersonalDataRefused PositionConflict Rejected RetryAfter SagaCompensated "
        "SagaNeedsPerson SagaVersionMissing SaveDamaged SaveError SaveMismatch SaveVersionError SnapshotError StepFailed "
        "TallystickError TimedOutWaiting UnknownCommand UnknownEventType UnknownEventVersion UnknownSaga UnreadableEvent "
        "VersionConflict"
    ),
    "domain.event": "Aggregate Event Resident",
    "domain.execution": "Execution ExecutionRecord",
    "domain.intent": "Intent",
    "domain.line": "Line Priority",
    "domain.module": "Module Turn each_step folds handles reacts_to",
    "domain.outcome": "Cancelled Failed Outcome Refused Succeeded TimedOut",
    "domain.process_module": "Process awaits begun_by failed_by",
    "domain.progress": "Progress",
    "domain.rate": "Rate",
    "domain.record": "Record",
    "domain.retry": "AnyRetry ExponentialBackoff FixedDelay LinearBackoff RetryPolicy",
    "domain.sagas.saga": "Results Saga SagaStep step sub_saga",
    "domain.sagas.composition": "saga_modules",
    "domain.schedules": "Schedule",
    "domain.sensitive": "Forgotten Sensitive sensitive",
    "domain.step": "Step",
    "domain.token": "Token",
    "store.key_file": "KeyFile",
    "store.keys": "KeyStore MemoryKeys",
    "store.log": "EventLog Query",
    "store.memory": "MemoryLog",
    "store.sqlite.log": "SqliteLog",
    "store.sqlite.reader": "SqliteReader",
}
