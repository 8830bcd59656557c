"""Every error of Tallystick, by whose fault it is: the caller's, the log's, the host's overload, or the code that was plugged in.

The class docstring is the default message; a message given when raising says what happened, to which id, and what to do next.
"""

from datetime import timedelta
from typing import Any, ClassVar


class TallystickError(Exception):
    """Something went wrong in Tallystick."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message if message is not None else (type(self).__doc__ or "").partition("\n")[0])

    def __reduce__(self) -> tuple[Any, ...]:
        """As it stands, whatever a subclass is made from: one that cannot be loaded breaks the pool of processes that it comes from."""
        return _loaded, (type(self), self.args), vars(self)


def _loaded(kind: type[TallystickError], arguments: tuple[Any, ...]) -> TallystickError:
    error = kind.__new__(kind)
    TallystickError.__init__(error, *arguments[:1])
    error.args = arguments
    return error


# The program's: wrong declarations, found when a class is made or a system is composed.


class DefinitionError(TallystickError):
    """A module, event, intent or performer is declared in a way that cannot work; the message names it and the mend."""


class EffectError(TallystickError):
    """A handler yielded effects that cannot be carried out; its turn is undone as a whole."""


# The caller's: a request that is refused; nothing was written.


class Rejected(TallystickError):
    """A business refusal: the caller gets it, and nothing is written but the answer to an idempotency key.

    `code` is stable and made for programs; `message` is for people. Raised by a command's handler it refuses the command; raised by a
    performer it is the outside world's final no, which is not retried.
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message


class RetryAfter(TallystickError):
    """What is asked of the outside world can be had later: raised by a performer, it says how long the next attempt has to wait.

    The delay stands in for the policy's, whose `max_retries` holds all the same, as does the intent's `schedule_to_close`. `code` and
    `message` are what the execution fails with if no retry is left.
    """

    def __init__(self, delay: timedelta, message: str = "", *, code: str = "RETRY_AFTER") -> None:
        super().__init__(message or f"Try again in {delay}.")
        if delay < timedelta():
            msg = f"RetryAfter: the delay is {delay}; time does not run backwards."
            raise ValueError(msg)
        self.delay = delay
        self.code = code
        self.message = message


class IdempotencyConflict(TallystickError):
    """This idempotency key was used before with other content; use a new key, or send the same content again."""


class UnknownCommand(TallystickError):
    """No module of this system handles that command."""


class NotStepped(TallystickError):
    """This system's time passes by itself; give it `runtime=SteppedRuntime()` to drive it by `system.step`."""


class InvalidStep(TallystickError, ValueError):
    """A step takes a timedelta that is not negative, such as timedelta(seconds=0.05)."""

    def __init__(self, delta: object) -> None:
        super().__init__(f"A step of {delta!r} is no time that could pass; give one that is not negative, such as timedelta(seconds=0.05).")


class StepFailed(TallystickError):
    """A module's `each_step` method raised; the step was taken all the same, without that module's turn. The cause is chained."""


class Overloaded(TallystickError):
    """The system has as much in flight as its limits allow; wait, or try again later."""


class TimedOutWaiting(TallystickError, TimeoutError):
    """The reply did not come in the time given. The command may still be carried out: ask again with its idempotency key."""


# What became of a command when the log failed under it (P18).


class NotAccepted(TallystickError):
    """The command was not run: the system was stopping, or its log had failed. It is safe to send it again."""


class NotCommitted(TallystickError):
    """The command was run, but its events were never written, so it did not happen. It is safe to send it again."""


class CommitUnknown(TallystickError):
    """The log failed while it wrote this command's events: they may or may not be there. Ask again with the idempotency key."""


# The log's.


class LogError(TallystickError):
    """The log cannot do what was asked."""


class VersionConflict(LogError):
    """The aggregate is not at the version that was expected; read it again and decide anew."""

    def __init__(self, aggregate_type: str, aggregate_id: str, *, expected: int, actual: int) -> None:
        super().__init__(
            f"{aggregate_type} {aggregate_id!r} is at version {actual}, not {expected} as expected; read it again and decide anew."
        )
        self.aggregate_type = aggregate_type
        self.aggregate_id = aggregate_id
        self.expected = expected
        self.actual = actual


class AlreadySettled(LogError):
    """That token has its settlement already; the first one stands (S1), and nothing was written."""

    def __init__(self, token: str) -> None:
        super().__init__(f"Token {token!r} has its settlement already; the first one stands, and nothing was written.")
        self.token = token


class PositionConflict(LogError):
    """Records were offered out of order: the next position must follow the log's last one without a gap."""


class LogLocked(LogError):
    """Another process writes this log."""

    def __init__(self, path: str, pid: int | None) -> None:
        who = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"{path} is being written by {who}; stop it first, or open the log for reading.")
        self.path = path
        self.pid = pid


class Fenced(LogError):
    """Another writer has opened this log since; this one may not append to it any more."""


class LogPoisoned(LogError):
    """The log met an I/O error and accepts no further write until it is opened again; the cause is chained."""


class LogCorrupt(LogError):
    """The log's content is not what was written; the message names the first bad position. Nothing was changed.

    `position` is the first bad position, None where no single one is to blame.
    """

    def __init__(self, message: str | None = None, *, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class ArchiveError(LogError):
    """Records could not be moved to an archive; those that were not moved are in the log as before."""


class ArchiveDamaged(LogCorrupt):
    """An archive of the log is missing, cut off, or not the file that was sealed; restore a copy of it. Nothing was deleted.

    `file` is its path, `position` the first position that cannot be read for it.
    """

    def __init__(self, message: str | None = None, *, file: str = "", position: int | None = None) -> None:
        super().__init__(message, position=position)
        self.file = file


class SnapshotError(LogError):
    """A snapshot does not belong to this log or this version; delete it to rebuild from the events."""


class LogVersionError(LogError):
    """The log was written by another version of Tallystick that this one cannot read."""


class UnreadableEvent(LogError):
    """An event in the log cannot be read; nothing is skipped."""

    problem: ClassVar[str] = "cannot be read"

    def __init__(self, position: int, event_type: str, detail: str) -> None:
        super().__init__(f"Event at position {position} of type {event_type!r} {self.problem}: {detail}")
        self.position = position
        self.event_type = event_type


class UnknownEventType(UnreadableEvent):
    """The log has an event of a type that this program does not declare."""

    problem = "has an unknown type"


class UnknownEventVersion(UnreadableEvent):
    """The log has an event in a schema version for which there is no upcaster."""

    problem = "has an unknown version"


class MalformedPayload(UnreadableEvent):
    """The log has an event whose payload does not have the declared form."""

    problem = "has a malformed payload"


class InvalidPayload(TallystickError):
    """A record was made with values that its own types do not allow; msgspec constructors do not check, so the turn did."""


# Personal data.


class PersonalDataRefused(InvalidPayload):
    """A sensitive value was given for something that identifies, and so stays readable for ever; use an id, or the value's token."""


class KeyStoreError(LogError):
    """The keys of sensitive values cannot be read or written; the cause is chained."""


class KeyMissing(TallystickError):
    """A sensitive value cannot be opened: its person was not forgotten, but the system's keys have none that fits."""


# Sagas.


class SagaCompensated(TallystickError):
    """The saga was not carried out; all that it had done is undone.

    `step` is the one that failed, empty where it was cancelled; `code` and `message` say why.
    """

    def __init__(self, saga: str, saga_id: str, *, step: str, code: str, message: str) -> None:
        why = f"its step {step} failed" if step else "it was cancelled"
        super().__init__(f"{saga} {saga_id!r} was not carried out, and is undone: {why} ({code}{message and f': {message}'}).")
        self.saga = saga
        self.saga_id = saga_id
        self.step = step
        self.code = code
        self.message = message


class SagaNeedsPerson(TallystickError):
    """The saga goes on only when somebody has looked: redrive it when the cause is mended, or say that it was put right by hand.

    `steps` are those that are stuck.
    """

    def __init__(self, saga: str, saga_id: str, *, steps: tuple[str, ...], reason: str) -> None:
        super().__init__(
            f"{saga} {saga_id!r} waits for a person: {', '.join(steps)} ({reason}). Redrive it when the cause is mended, "
            "or with by_hand=True when somebody has undone the step."
        )
        self.saga = saga
        self.saga_id = saga_id
        self.steps = steps


class UnknownSaga(TallystickError):
    """This system has no such saga, or no instance of it with that id."""


class SagaVersionMissing(LogError):
    """The log has open instances of saga versions that this system was not given: give it those versions until they have ended.

    `instances` are the saga's name, the version and the id of each.
    """

    def __init__(self, instances: tuple[tuple[str, int, str], ...]) -> None:
        shown = "".join(f"\n  {saga} version {version}: {saga_id!r}" for saga, version, saga_id in instances[:20])
        more = f"\n  and {len(instances) - 20} more" if len(instances) > 20 else ""  # noqa: PLR2004 - enough to see which
        super().__init__(f"The log has open instances of saga versions that this system lacks; give it those, too:{shown}{more}")
        self.instances = instances


# Saves.


class SaveError(TallystickError):
    """A save cannot be written or loaded; nothing was changed."""


class SaveDamaged(SaveError):
    """The file is cut off, or not as it was written; load an earlier save."""


class SaveMismatch(SaveError):
    """The save is of other modules, or of other forms of their states, than this program has; nothing was changed."""


class SaveVersionError(SaveError):
    """The save is of a version that this program does not read; nothing was changed.

    `found` is the version of the file, `read` are those that are read.
    """

    def __init__(self, path: str, what: str, *, found: int, read: tuple[int, ...]) -> None:
        readable = " and ".join(str(version) for version in read)
        super().__init__(f"{path!r} {what}: version {found}; this program reads {readable}. Nothing was changed.")
        self.path = path
        self.found = found
        self.read = read
