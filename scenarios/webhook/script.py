"""The story of a bank's deliveries, played in virtual time and checked at its end: the ledger has each of them once, and in order."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import tallystick as ts
from tallystick.scenarios.tiny_store.stage import Audience, PlayedWrong

if TYPE_CHECKING:
    from tallystick.scenarios.webhook.receiver import Webhooks

NAME: Final = "webhook"
SUMMARY: Final = "A bank's deliveries come twice, in any order, and while the ledger is down: each is posted once, and in order."
MORNING: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)


class Ledger:
    """Writes each key once; is down as often as it is told."""

    def __init__(self) -> None:
        self.entries: dict[str, int] = {}
        self.down = 0

    def write(self, account: str, sequence: int, cents: int, key: str) -> str:
        """An entry's number."""
        del account, cents
        if self.down:
            self.down -= 1
            raise ConnectionError
        self.entries.setdefault(key, sequence)
        return f"entry {len(self.entries)}"


class Play:
    """One telling, with the receiver's own HTTP application."""

    def __init__(self, log: ts.EventLog, audience: Audience) -> None:
        self.audience = audience
        self.ledger = Ledger()
        self.runtime = ts.SteppedRuntime(ts.ManualClock(MORNING))
        self.webhooks = _webhooks(self.ledger, log=log, runtime=self.runtime)
        self._shown = 0

    def deliver(self, event_id: str, sequence: int, cents: int = 100) -> tuple[int, Any]:
        """A request as a server would hand it on; its status, and what is answered."""
        self.runtime.advance(timedelta(milliseconds=20))
        body = json.dumps({"account": "savings", "sequence": sequence, "cents": cents}).encode()
        headers = [(b"x-event-id", event_id.encode())]
        scope = {"type": "http", "method": "POST", "path": "/webhooks/bank", "headers": headers, "query_string": b""}
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.webhooks.app(scope, receive, send))
        self.wait()
        return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent))

    def wait(self, duration: timedelta = timedelta()) -> None:
        """Let time pass."""
        self.runtime.advance(duration)
        for recorded in self.webhooks.system.events(after=self._shown):
            self._shown = recorded.position
            self.audience.sees(recorded)

    def expect(self, answered: tuple[int, Any], status: int, standing: str | None, posted: Sequence[int]) -> str:
        """Check an answer and the ledger, and say so; the operation's id.

        Raises:
            PlayedWrong: one of them is otherwise.
        """
        found = (answered[0], answered[1].get("standing"), [*self.ledger.entries.values()])
        if found != (status, standing, [*posted]):
            msg = f"Answered {found[0]} ({found[1]}), and the ledger has {found[2]}; {status} ({standing}) and {posted} would be right."
            raise PlayedWrong(msg)
        self.audience.hears(f"Answered {status}{f', {standing}' if standing else ''}; the ledger has {[*posted]}.")
        return str(answered[1].get("operationId", ""))


def play(log: ts.EventLog, audience: Audience) -> PlayedWrong | None:
    """Tell it; what went wrong, if anything did.

    Raises:
        DefinitionError: the extra is not installed.
    """
    telling = Play(log, audience)
    with telling.webhooks.system:
        try:
            _tell(telling)
        except PlayedWrong as wrong:
            return wrong
    return None


def _tell(telling: Play) -> None:
    say = telling.audience.hears
    say("The bank delivers its first event. What is acknowledged is durable, and is worked on after the answer.")
    first = telling.expect(telling.deliver("evt-1", 1), 202, "applied", [1])

    say("It delivers it again, since it has not heard the answer: it is the same operation, and nothing is posted twice.")
    if telling.expect(telling.deliver("evt-1", 1), 202, "applied", [1]) != first:
        msg = "A delivery that came twice was begun twice."
        raise PlayedWrong(msg)

    say("The third event overtakes the second, and waits for it.")
    telling.expect(telling.deliver("evt-3", 3), 202, "held", [1])
    telling.expect(telling.deliver("evt-2", 2), 202, "applied", [1, 2, 3])

    say("The ledger is down when the fourth comes: it is acknowledged, and posted once the ledger is there again.")
    telling.ledger.down = 2
    telling.expect(telling.deliver("evt-4", 4), 202, "applied", [1, 2, 3])
    telling.wait(timedelta(minutes=1))

    say("Somebody uses an event's id again with other content, and is refused.")
    telling.expect(telling.deliver("evt-4", 4, cents=999_999), 409, None, [1, 2, 3, 4])

    still_open = [each.operation_id for each in telling.webhooks.system.operations.open()]
    if still_open:
        msg = f"Operations are open at the end: {', '.join(still_open)}."
        raise PlayedWrong(msg)
    say("Each delivery's operation has ended.")


def _webhooks(ledger: Ledger, **given: Any) -> "Webhooks":
    try:
        from tallystick.scenarios.webhook.receiver import Webhooks  # noqa: PLC0415 - needs the extra
    except ImportError as error:
        msg = f"The scenario {NAME} serves HTTP by Starlette, which is not installed ({error}): install tallystick[webhook]."
        raise ts.DefinitionError(msg) from error
    return Webhooks(ledger.write, **given)
