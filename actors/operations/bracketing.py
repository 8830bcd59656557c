"""What a system offers to code that brackets its operations."""

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal, Unpack, cast

from tallystick.actors.operations.brackets import OperationScope
from tallystick.actors.operations.queries import check_named
from tallystick.actors.operations.tracker import OperationTerms, OperationTracker
from tallystick.actors.operations.watching import OperationWatcher, TellAlert
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.actors.surroundings import read_traceparent
from tallystick.domain.action import Call, Performer
from tallystick.domain.operations.events import Json, OnOverdue, Verdict
from tallystick.domain.operations.operation import AlreadyEnded, Ending, InvalidOperation, OperationId, cut
from tallystick.domain.operations.owner import AttendOperation
from tallystick.domain.operations.saved import SavedOperations
from tallystick.domain.sensitive import refuse_sensitive
from tallystick.domain.text import checked_text

Completion = Literal["success", "failure", "abandoned"]
_ENDED: Mapping[Completion, Literal["Succeeded", "Failed", "Abandoned"]] = {
    "success": "Succeeded",
    "failure": "Failed",
    "abandoned": "Abandoned",
}


class BracketsOperations:
    """The part of a `System` that operations stand on."""

    _runtime: Runtime

    @cached_property
    def operations(self) -> OperationTracker:
        """All operations of this system: to start one that ends elsewhere, to follow, complete and find them."""
        return OperationTracker(cast("Any", self), self._runtime.clock, self._saved_operations)

    def _saved_operations(self) -> SavedOperations:
        """What the log knows from the save that it goes on from."""
        raise NotImplementedError

    def watch(
        self,
        *,
        thresholds: Mapping[str, timedelta] | None = None,
        on_alert: TellAlert | None = None,
        cool_down: timedelta = timedelta(minutes=15),
    ) -> OperationWatcher:
        """A watcher of this system's operations: `with system.watch(on_alert=page_me).every(timedelta(minutes=1)): …`."""
        return OperationWatcher(self.operations, thresholds=thresholds, on_alert=on_alert, cool_down=cool_down)

    def _performers_of_operations(self) -> tuple[Performer, ...]:
        return (AttendOperation.performed_by(self._attend_operation),)

    def _attend_operation(self, action: AttendOperation, call: Call) -> Verdict:
        return self.operations.attend(action, call)

    def bracket(self, name: str, *, traceparent: str | None = None, **terms: Unpack[OperationTerms]) -> OperationScope:
        """Bracket code that takes long: `with system.bracket("Billing.Invoice.Generate") as operation:`, `async with`, or a decorator.

        It is in the log before the body runs. A body that leaves normally has succeeded; an exception is its failure, with evidence, and
        goes on; a cancelled task or a KeyboardInterrupt cancels it; a crash leaves it open, until `timeout` has passed. Brackets inside
        are its children. Commands asked inside have its correlation, its tags and the traceparent, and so has all that they lead to: each
        event, by its envelope, and each call of a performer, by `ts.surroundings()`. What else may be given is as for
        `operations.start`; `traceparent` is that of the W3C's trace context, as it came in; one that is malformed is left out.

        With an `idempotency_key` it is one operation however often it is entered: `operation.found` says how it stood, and when it had
        `ended` nothing of it changes any more, so the body should do nothing.

        Raises:
            InvalidOperation: the name is none; names are of the code, never of its users.
            PersonalDataRefused: the traceparent is a sensitive value.
            TypeError: there is no such term; one that was overlooked would be a timeout that never comes.
        """
        check_named("bracket", terms, OperationTerms)
        if traceparent is not None:
            refuse_sensitive("a traceparent", traceparent)
            checked_text("a traceparent", traceparent)
            traceparent = read_traceparent(traceparent)
        return OperationScope(self.operations, name, terms, traceparent, inline=self._runtime.inline)

    def record_intent(
        self,
        operation_type: str,
        *,
        timeout: timedelta | None = None,
        on_timeout: OnOverdue = "abandon",
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> OperationId:
        """Record that something begins which ends elsewhere, durable when it returns; the token is for `record_completion`.

        As `operations.start`, in the words of intents and completions.
        """
        return self.operations.start(operation_type, timeout=timeout, on_overdue=on_timeout, tags=metadata, idempotency_key=idempotency_key)

    def record_completion(
        self, token: str, status: Completion = "success", *, result: Mapping[str, Json] | None = None, reason: str = ""
    ) -> bool:
        """Record how it ended, durable when it returns; False when it had ended before, by a completion or a timeout, which stands.

        `reason` is a failure's code, such as "EMPTY_ORDER", and the message of an abandonment.

        Raises:
            InvalidOperation: there is no such status.
            InvalidPayload: a value of the result is no plain one.
        """
        if status not in _ENDED:
            msg = f"{status!r} is no completion; say success, failure or abandoned."
            raise InvalidOperation(msg)
        ending = Ending(status=_ENDED[status], data=result or {}, code=reason if status == "failure" else "", message=cut(reason))
        try:
            self.operations.complete(token, ending)
        except AlreadyEnded:
            return False
        return True
