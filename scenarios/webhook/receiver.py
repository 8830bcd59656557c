"""The HTTP handler: receives, brackets, acknowledges; what it acknowledges is durable, and is worked on after the answer.

`POST /webhooks/{provider}` with the delivery's own id in `X-Event-Id`. Needs the extra `webhook`.
"""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import tallystick as ts
from tallystick.scenarios.webhook.deliveries import Deliveries, Delivery, Post, Receive

Ledger = Callable[[str, int, int, str], str]
"""Writes (account, sequence, cents, key) and returns the entry's number; the same key is written once."""


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a provider sends."""

    account: str
    sequence: int
    cents: int


class Webhooks:
    """The receiver's system and its HTTP application: enter `system`, serve `app`."""

    def __init__(self, ledger: Ledger, **given: Any) -> None:
        self._ledger = ledger
        self.system = ts.System([Deliveries()], performers=[Post.performed_by(self._post)], **given)
        self.app = Starlette(routes=[Route("/webhooks/{provider}", self._receive, methods=["POST"])])

    async def _receive(self, request: Request) -> JSONResponse:
        raw = await request.body()
        event_id = request.headers.get("x-event-id", "")
        try:
            body = msgspec.json.decode(raw, type=Body)
        except msgspec.MsgspecError as error:
            return JSONResponse({"error": str(error)}, 400)
        if not event_id or body.sequence < 1:
            return JSONResponse({"error": "X-Event-Id, and a sequence from 1 on, are needed"}, 400)
        try:
            return await self._take(request.path_params["provider"], event_id, body, hashlib.sha256(raw).hexdigest())
        except ts.IdempotencyConflict as error:
            return JSONResponse({"error": str(error)}, 409)

    async def _take(self, provider: str, event_id: str, body: Body, digest: str) -> JSONResponse:
        """Begin its operation, once for each event id, and hand it over; both are durable when it is acknowledged."""
        operation_id = await asyncio.to_thread(
            self.system.operations.start,
            "Webhook.Process",
            timeout=timedelta(hours=1),
            on_overdue="alert",
            tags={"provider": provider, "webhookEventId": event_id, "sha256": digest},
            idempotency_key=f"{provider} {event_id}",
            correlation=event_id,
        )
        async with self.system.bracket("Webhook.Receive", correlation=event_id) as receiving:
            delivery = Delivery(event_id=event_id, sequence=body.sequence, cents=body.cents, operation_id=operation_id)
            command = Receive(account=body.account, delivery=delivery)
            standing = await self.system.ask_async(command, idempotency_key=f"receive {provider} {event_id}")
            receiving.message = standing
        return JSONResponse({"operationId": operation_id, "standing": standing}, 202)

    def _post(self, post: Post, call: ts.Call) -> str:
        """Write it into the ledger, and complete its operation; called again after a crash, it does so again, to no effect."""
        delivery, operations = post.delivery, self.system.operations
        try:
            entry = self._ledger(post.account, delivery.sequence, delivery.cents, call.key)
        except Exception as error:
            operations.note(delivery.operation_id, "Error", type(error).__name__)
            raise
        if operations.try_complete(delivery.operation_id, ts.Ending(status="Succeeded", message="Processed", data={"entry": entry})):
            subject = ts.Anchor(kind="Webhook", id=delivery.event_id, role="Subject")
            said = "Webhook processed successfully"
            operations.audit("webhook.processed", said, who="deliveries", operation_id=delivery.operation_id, anchors=(subject,))
        return entry
