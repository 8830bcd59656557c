"""Reading what is durable, in whatever thread asks: it goes on over a rebuild, which closes the log under it and opens the next."""

from collections.abc import Collection, Iterator

from msgspec import structs

from tallystick.actors.lifecycle import Lifecycle
from tallystick.actors.messages import Context
from tallystick.actors.owner.state import folded, started_at
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import LogError
from tallystick.domain.event import Aggregate
from tallystick.store.codec import Codec
from tallystick.store.log import NO_START, Query

SUBSCRIBED_AT_ONCE = 1000
SUBSCRIPTION_CHECK_S = 0.5
"""How long a subscription waits at most before it looks whether the system still runs."""


def matching(life: Lifecycle, query: Query) -> Iterator[Recorded]:
    """The durable records that match.

    Raises:
        LogError: the log cannot be read, or the system was not started, or has stopped.
    """
    while True:
        log = life.present_log()
        try:
            for recorded in log.read(query):
                yield recorded
                query = _beyond(query, recorded.position)
        except LogError:
            if life.present_log() is log:
                raise
        else:
            return


def _beyond(query: Query, position: int) -> Query:
    """What is left of a query when the record at that position has been read."""
    limit = None if query.limit is None else query.limit - 1
    if query.newest_first:
        return structs.replace(query, until=position - 1, limit=limit)
    return structs.replace(query, after=position, limit=limit)


def aggregate(life: Lifecycle, behaviour: Behaviour, codec: Codec, kind: type[Aggregate], key: str) -> Aggregate | None:
    """A state as far as it is durable, folded in the calling thread; on what a save had of it, where the log was loaded from one."""
    stream = (behaviour.streams[kind], key)
    beginning = life.present_log().beginning
    version, states = started_at(NO_START if beginning is None else beginning.start_of(*stream), behaviour)
    for recorded in matching(life, Query(aggregate_type=stream[0], aggregate_id=key)):
        if recorded.aggregate_version > version:
            event = codec.decode(recorded)
            states = folded(states, [fold for fold in behaviour.folds.get(type(event), ()) if fold.into is kind], event, recorded)
    return states.get(kind)


def last_of(life: Lifecycle, aggregate_type: str, aggregate_id: str) -> Recorded | None:
    """A stream's last record, durable or not yet (P17).

    Raises:
        LogError: the log cannot be read.
        NotAccepted: the system was not started, or has stopped.
    """
    while True:
        journal = life.present_journal()
        if journal is None:
            journal = life.engine.journal  # raises, and says why there is none
        try:
            return journal.last(aggregate_type, aggregate_id)
        except LogError:
            if journal is life.present_journal():
                raise


def correlation_of(life: Lifecycle, context: Context) -> str | None:
    """What an execution has in common with all around it: by its owner's map, or when it has ended by the log; None after a stop."""
    engine = life.running_engine
    owner = None if engine is None else engine.owners.get(context.owner)
    record = None if owner is None else owner.state.open.get(context.token)
    if record is not None or life.status not in {"running", "recovering"}:
        return None if record is None else record.correlation
    first = next(matching(life, Query(token=context.token, limit=1)), None)
    return None if first is None else first.correlation


def following(life: Lifecycle, after: int, event_types: Collection[str], *, waits: bool) -> Iterator[Recorded]:
    """Durable records after a position, and, if it `waits`, each further one until the system stops."""
    while (journal := life.present_journal()) is not None:
        try:
            records = journal.durable_after(after, SUBSCRIBED_AT_ONCE)
        except LogError:
            if life.status == "running" and journal.failure is None:
                raise
            continue  # its log was closed under it
        for recorded in records:
            after = recorded.position
            if not event_types or recorded.event_type in event_types:
                yield recorded
        if not records:
            if not waits:
                return
            journal.wait_durable(after + 1, SUBSCRIPTION_CHECK_S)
