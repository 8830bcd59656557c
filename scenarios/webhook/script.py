"""The story of a bank's deliveries, played in virtual time and checked at its end: the ledger has each of them once, and in order."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import tallystick as ts
from tallystick.scenarios.telling import Audience, Teller, must_be

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


class Play(Teller):
    """One telling, with the receiver's own HTTP application."""

    def __init__(self, log: ts.EventLog, audience: Audience) -> None:
        super().__init__(audience)
        self.ledger = Ledger()
        self.runtime = ts.SteppedRuntime(ts.ManualClock(MORNING))
        self.webhooks = _webhooks(self.ledger, log=log, runtime=self.runtime)

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
        self.show(self.webhooks.system)

    def expect(self, answered: tuple[int, Any], status: int, standing: str | None, posted: Sequence[int]) -> str:
        """Check an answer and the ledger, and say so; the operation's id.

        Raises:
            PlayedWrong: one of them is otherwise.
        """
        found = (answered[0], answered[1].get("standing"), [*self.ledger.entries.values()])
        right = f"{status} ({standing}) and {posted} would be right"
        must_be(found, (status, standing, [*posted]), f"Answered {found[0]} ({found[1]}), and the ledger has {found[2]}; {right}.")
        self.say(f"Answered {status}{f', {standing}' if standing else ''}; the ledger has entries {', '.join(map(str, posted))}.")
        return str(answered[1].get("operationId", ""))


def play(log: ts.EventLog, audience: Audience) -> None:
    """Tell it.

    Raises:
        DefinitionError: the extra is not installed.
        PlayedWrong: it goes another way.
    """
    telling = Play(log, audience)
    with telling.webhooks.system:
        _tell(telling)


def _tell(telling: Play) -> None:
    say = telling.say
    say("The bank delivers its first event. What is acknowledged is durable, and is worked on after the answer.")
    first = telling.expect(telling.deliver("evt-1", 1), 202, "applied", [1])

    say("It delivers it again, since it has not heard the answer: it is the same operation, and nothing is posted twice.")
    second = telling.expect(telling.deliver("evt-1", 1), 202, "applied", [1])
    must_be(second, first, "A delivery that came twice was begun twice.")

    say("The third event overtakes the second, and waits for it.")
    telling.expect(telling.deliver("evt-3", 3), 202, "held", [1])
    say("The second comes: both are posted, in order.")
    telling.expect(telling.deliver("evt-2", 2), 202, "applied", [1, 2, 3])

    say("The ledger is down when the fourth comes: it is acknowledged, and posted once the ledger is there again.")
    telling.ledger.down = 2
    telling.expect(telling.deliver("evt-4", 4), 202, "applied", [1, 2, 3])
    telling.wait(timedelta(minutes=1))

    say("Somebody uses an event's id again with other content, and is refused.")
    telling.expect(telling.deliver("evt-4", 4, cents=999_999), 409, None, [1, 2, 3, 4])

    still_open = [each.operation_id for each in telling.webhooks.system.operations.open()]
    must_be(still_open, [], f"Operations are open at the end: {', '.join(still_open)}.")
    say("Each delivery's operation has ended.")


def _webhooks(ledger: Ledger, **given: Any) -> "Webhooks":
    try:
        from tallystick.scenarios.webhook.receiver import Webhooks  # noqa: PLC0415 - needs the extra
    except ImportError as error:
        msg = f"The scenario {NAME} serves HTTP by Starlette, which is not installed ({error}): install tallystick[webhook]."
        raise ts.DefinitionError(msg) from error
    return Webhooks(ledger.write, **given)
