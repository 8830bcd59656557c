"""The router: hands reports to their owner. It reads owner and token; what else a report says passes unread."""

from collections.abc import Mapping
from typing import Any

from tallystick.actors.actor import Crash, EngineActor, Host
from tallystick.actors.counters import Counters
from tallystick.actors.messages import REPORTS, Mailbox
from tallystick.actors.telling import warn


class RouterActor(EngineActor):
    """Routes by `context.owner`, without a branch on anything else."""

    def __init__(self, host: Host, crash: Crash, owners: Mapping[str, Mailbox], counters: Counters) -> None:
        super().__init__("router", host, crash)
        self._owners = owners
        self._counters = counters
        self.handlers = dict.fromkeys(REPORTS, self._route)

    def _route(self, message: Any) -> None:
        owner = self._owners.get(message.context.owner)
        if owner is None:
            self._counters.count("unroutable_reports")
            warn("report.unroutable", owner=message.context.owner, token=message.context.token)
            return
        owner.tell(message)
