"""`tallystick log`: reading a log's records by any of their fields, also while it is being written."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click
import msgspec

import tallystick as ts
from tallystick.domain.envelope import to_micros
from tallystick.domain.sensitive import redacted
from tallystick.host.output import print_json, print_table
from tallystick.host.parameters import EXISTING_LOG, TEXT, tag

ROWS_OF_A_PAGE: Final = 50
PAYLOAD_CHARS: Final = 80


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """An option's value as a moment in ISO 8601; UTC unless it says otherwise."""
    if value is None:
        return None
    try:
        given = datetime.fromisoformat(value)
    except ValueError as error:
        msg = f"{value!r} is no moment like 2026-01-31T12:00:00Z"
        raise click.BadParameter(msg, ctx, param) from error
    return given if given.tzinfo is not None else given.replace(tzinfo=UTC)


POSITION: Final = click.IntRange(min=0, max=(1 << 63) - 1)
"""A position that a log can have."""
ROWS: Final = click.IntRange(min=1, max=1_000_000_000)


@click.command("log")
@click.argument("file", type=EXISTING_LOG)
@click.option("--type", "event_types", type=TEXT, multiple=True, metavar="NAME", help="Events of this type; may be given several times.")
@click.option("--aggregate-type", type=TEXT, metavar="NAME", help="Events of this aggregate type.")
@click.option("--aggregate-id", type=TEXT, metavar="ID", help="Events of this aggregate, oldest first.")
@click.option("--owner", type=TEXT, metavar="NAME", help="Events of this owner.")
@click.option("--token", type=TEXT, metavar="TOKEN", help="Events of one execution.")
@click.option("--correlation", type=TEXT, metavar="ID", help="Events that one thing led to.")
@click.option("--tag", type=TEXT, callback=tag, metavar="KEY=VALUE", help="Events that have this tag.")
@click.option("--id", "event_id", type=TEXT, metavar="ID", help="The event with this id.")
@click.option("--since", callback=moment, metavar="MOMENT", help="Events of then and later.")
@click.option("--before", callback=moment, metavar="MOMENT", help="Events before then.")
@click.option("--after", type=POSITION, default=0, metavar="POSITION", help="Events behind this position.")
@click.option("--until", type=POSITION, metavar="POSITION", help="Events up to this position.")
@click.option("--newest", is_flag=True, help="Newest first.")
@click.option("--limit", type=ROWS, metavar="N", help=f"At most so many; {ROWS_OF_A_PAGE} in a table, and where a page is asked for.")
@click.option("--page", "asked_page", type=ROWS, metavar="N", help="The N-th so many; a table is the first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(*, file: Path, as_json: bool, asked_page: int | None, limit: int | None, **filters: Any) -> None:
    """Read the events of a log, by any of their fields.

    Every filter that is given must hold. The log may be in use: readers never hold up the writer.
    """
    size = limit or (None if as_json and asked_page is None else ROWS_OF_A_PAGE)
    page = asked_page or 1
    query = query_of(**filters, limit=None if size is None else size * page)
    with closing(ts.SqliteReader(file)) as reader:
        records = islice(reader.read(query), (page - 1) * (size or 0), None)
        if as_json:
            for recorded in records:
                print_json(as_object(recorded))
            return
        rows = list(rows_of(records))
    print_table(("Position", "Occurred at (UTC)", "Owner", "Event", "Aggregate", "Settles", "Payload"), rows)
    if size is not None and len(rows) == size:
        click.echo(f"The next ones: --page {page + 1}", err=True)


def query_of(*, newest: bool, since: datetime | None, before: datetime | None, **fields: Any) -> ts.Query:
    """The query that the options stand for."""
    return ts.Query(
        newest_first=newest,
        since_us=None if since is None else to_micros(since),
        before_us=None if before is None else to_micros(before),
        **fields,
    )


def as_object(recorded: ts.Recorded) -> dict[str, Any]:
    """A record for programs."""
    return {
        "position": recorded.position,
        "eventId": recorded.event_id,
        "eventType": recorded.event_type,
        "aggregateType": recorded.aggregate_type,
        "aggregateId": recorded.aggregate_id,
        "aggregateVersion": recorded.aggregate_version,
        "occurredAt": recorded.occurred_at,
        "payload": msgspec.Raw(recorded.payload),
        "version": recorded.schema_version,
        "owner": recorded.owner,
        "token": recorded.token,
        "settles": recorded.settles,
        "correlation": recorded.correlation,
        **({"tags": recorded.tags} if recorded.tags_json is not None else {}),
        "causation": recorded.causation,
        "seen": recorded.seen,
    }


def rows_of(records: Iterator[ts.Recorded]) -> Iterator[tuple[str, ...]]:
    """Records as rows of a table; long payloads are cut."""
    for recorded in records:
        payload = redacted(recorded.payload).decode("utf-8", "replace")
        yield (
            str(recorded.position),
            f"{recorded.occurred_at:%Y-%m-%d %H:%M:%S.%f}"[:-3],
            recorded.owner,
            recorded.event_type,
            f"{recorded.aggregate_type} {recorded.aggregate_id}",
            recorded.settles or "",
            payload if len(payload) <= PAYLOAD_CHARS else payload[: PAYLOAD_CHARS - 1] + "…",
        )
