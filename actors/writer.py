"""The writer: the one actor that blocks on the disk. It commits what has gathered, in one transaction."""

from collections.abc import Callable, Iterable
from typing import ClassVar

from tallystick.actors.actor import Crash, EngineActor, Host
from tallystick.actors.messages import Mailbox, TakeSnapshot
from tallystick.actors.owner.snapshots import KnownStreamsOutput
from tallystick.store.journal import Journal
from tallystick.store.log import EventLog

SNAPSHOT_EVERY_RECORDS = 200_000


class Gathered:
    """The message that something waits to be committed."""


GATHERED = Gathered()


class WriterActor(EngineActor):
    """Group commit: while one batch is being written the next gathers."""

    own_thread: ClassVar[bool] = True

    def __init__(self, host: Host, crash: Crash, journal: Journal, log: EventLog, owners: Callable[[], Iterable[Mailbox]]) -> None:
        super().__init__("writer", host, crash)
        self._journal = journal
        self._log = log
        self._owners = owners
        self._snapshot_at = journal.watermark + SNAPSHOT_EVERY_RECORDS
        self.handlers = {Gathered: self._commit}

    def _commit(self, _message: Gathered) -> None:
        """Commit all there is; what gathers meanwhile has a message of its own."""
        if self._journal.commit() and self._journal.watermark >= self._snapshot_at:
            self._snapshot_at = self._journal.watermark + SNAPSHOT_EVERY_RECORDS
            for owner in self._owners():
                owner.tell(TakeSnapshot())
            self._journal.gate(KnownStreamsOutput(self._log, self._journal))
