"""`tallystick operations`: which there are in a log, how they stand and why, what led to what, and settling them by hand."""

from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

import tallystick as ts
from tallystick.domain.operations import timeline_drawing
from tallystick.domain.operations.explanation import Explanation
from tallystick.domain.operations.timeline import Timeline
from tallystick.host.dead_letters_command import age, login_name
from tallystick.host.log_command import moment
from tallystick.host.operations_of_log import (
    explained_from,
    id_of,
    operation_in,
    operations_in,
    stalled_in,
    statistics_among,
    statistics_in,
    timeline_from,
)
from tallystick.host.operator import Operator
from tallystick.host.output import print_json, print_table, visible
from tallystick.host.parameters import EXISTING_LOG, SAID, TEXT, tag
from tallystick.host.requests import SettleOperation
from tallystick.store.writer_lock import pid_of_holder

PAGE: Final = 50
STATUSES: Final = tuple(status.value for status in ts.OperationStatus)


@click.group("operations")
def command() -> None:
    """What was begun in a log, how it stands, and why.

    An operation is given by its id, or by its name, which is the newest one of that name, open ones first. All but `settle` only read,
    also while a host writes the log. What only the host's process knows, as threads and queues, its own
    `system.why(id)` tells.
    """


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """For programs."""
    return click.option("--json", "as_json", is_flag=True, help="JSON instead of tables.")(function)


@command.command("list")
@click.argument("file", type=EXISTING_LOG)
@click.option("--name", "prefix", type=TEXT, default="", metavar="PREFIX", help="Whose name begins so.")
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), help="That stand so.")
@click.option("--open", "only_open", is_flag=True, help="That have not ended.")
@click.option("--tag", type=TEXT, callback=tag, metavar="KEY=VALUE", help="That have this tag.")
@click.option("--parent", type=TEXT, metavar="ID", help="That were begun in that one.")
@click.option("--correlation", type=TEXT, metavar="ID", help="That are a part of this.")
@click.option("--since", callback=moment, metavar="MOMENT", help="That were begun then or later.")
@click.option("--before", callback=moment, metavar="MOMENT", help="That were begun before then.")
@click.option("--older-than", callback=age, metavar="TIME", help="That were begun so long ago: 90s, 15m, 36h, 7d.")
@click.option("--limit", type=click.IntRange(min=1), default=PAGE, show_default=True, metavar="N", help="At most so many.")
@click.option("--page", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="The N-th so many.")
@click.option("--statistics", is_flag=True, help="Only how many those are by name and status, and how long they took.")
@json_option
def list_(*, file: Path, statistics: bool, as_json: bool, limit: int, page: int, **filters: Any) -> None:
    """List operations, newest first."""
    with closing(ts.SqliteReader(file)) as reader:
        if statistics and not any(filters.values()):
            _print_statistics(statistics_in(reader), as_json=as_json)
            return
        found = [each for each in reversed(list(operations_in(reader))) if _matches(each, **filters)]
    if statistics:
        _print_statistics(statistics_among(found), as_json=as_json)
        return
    chosen = found[(page - 1) * limit : page * limit]
    _print_operations(chosen, as_json=as_json)
    if not as_json and len(found) > page * limit:
        click.echo(f"The next ones: --page {page + 1}", err=True)


def _matches(operation: ts.OperationSnapshot, *, only_open: bool, **given: Any) -> bool:
    return not (only_open and operation.status.ended) and all(
        value is None or _FILTERS[name](operation, value) for name, value in given.items()
    )


_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_FILTERS: Final[Mapping[str, Callable[[ts.OperationSnapshot, Any], bool]]] = {
    "prefix": lambda operation, prefix: operation.name.startswith(prefix),
    "status": lambda operation, status: operation.status.value.lower() == status.lower(),
    "tag": lambda operation, tag: operation.tags.get(tag[0]) == tag[1],
    "parent": lambda operation, parent: operation.parent == parent,
    "correlation": lambda operation, correlation: operation.correlation == correlation,
    "since": lambda operation, since: (operation.started_at or _BEGINNING) >= since,
    "before": lambda operation, before: (operation.started_at or _BEGINNING) < before,
    "older_than": lambda operation, time: datetime.now(UTC) - (operation.started_at or _BEGINNING) >= time,
}
"""Whether an operation is what an option asks for."""


@command.command("show")
@click.argument("file", type=EXISTING_LOG)
@click.argument("operation", type=TEXT, metavar="ID|NAME")
@json_option
def show(*, file: Path, operation: str, as_json: bool) -> None:
    """Show all that is known of one operation."""
    with closing(ts.SqliteReader(file)) as reader:
        found = operation_in(reader, id_of(reader, operation))
    if found is None:
        msg = f"{operation!r} is no operation of this log; `tallystick operations list` has the ids."
        raise ts.InvalidOperation(msg)
    if as_json:
        print_json(found)
        return
    rows = [(name, _text(value)) for name, value in msgspec.to_builtins(found).items() if value not in (None, "", {})]
    print_table(("Field", "Value"), rows)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


@command.command("why")
@click.argument("file", type=EXISTING_LOG)
@click.argument("token", type=TEXT, metavar="ID|NAME")
@json_option
def why(*, file: Path, token: str, as_json: bool) -> None:
    """Say what an operation, or any execution by its token, waits for."""
    holder = pid_of_holder(file)
    with closing(ts.SqliteReader(file)) as reader:
        explanation = explained_from(reader, id_of(reader, token), datetime.now(UTC), held=holder is not None)
    if as_json:
        print_json(explanation)
        return
    click.echo(visible(explanation.sentence))
    print_table(("Fact", "Value"), list(_facts(explanation, holder)))


def _facts(explanation: Explanation, holder: int | None) -> list[tuple[str, str]]:
    standing = explanation.standing
    facts = {
        "owner": standing.owner,
        "token": standing.token,
        "status": standing.status,
        "attempt": str(standing.attempt),
        "actions": ", ".join(standing.actions),
        "begun": _moment(standing.began_at),
        "last event": f"{standing.last_event}, {_moment(standing.last_at)}",
        "deadline": _moment(standing.deadline),
        "next timer": _moment(explanation.next_timer),
        "correlation": standing.correlation,
        "log": "no process has it" if holder is None else f"process {holder} has it",
    }
    return [(name, value) for name, value in facts.items() if value]


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


@command.command("timeline")
@click.argument("file", type=EXISTING_LOG)
@click.argument("name", type=TEXT, metavar="ID|NAME|CORRELATION")
@click.option("--mermaid", type=click.Choice(("sequence", "gantt")), help="Print a Mermaid diagram.")
@json_option
def timeline(*, file: Path, name: str, mermaid: str | None, as_json: bool) -> None:
    """Show what belongs together: all of one correlation, or of that which an operation or execution is a part of."""
    if mermaid and as_json:
        msg = "--mermaid and --json exclude each other."
        raise click.UsageError(msg)
    with closing(ts.SqliteReader(file)) as reader:
        found = timeline_from(reader, name)
    if as_json:
        print_json(found.as_objects())
    elif mermaid is not None:
        lines = timeline_drawing.sequence(found) if mermaid == "sequence" else timeline_drawing.gantt(found, datetime.now(UTC))
        for line in lines:
            click.echo(line)
    else:
        print_timeline(found)


def print_timeline(timeline: Timeline) -> None:
    """A timeline as a table."""
    rows = [
        (str(each.position), f"{each.at:%H:%M:%S.%f}"[:-3], each.kind, each.owner, each.event, each.settles or "", each.detail)
        for each in timeline.entries
    ]
    title = f"{timeline.correlation}, from {_moment(timeline.entries[0].at)} UTC" if timeline.entries else timeline.correlation
    print_table(("Position", "At", "Kind", "Owner", "Event", "Settles", "Detail"), rows, title=visible(title))


@command.command("stalled")
@click.argument("file", type=EXISTING_LOG)
@json_option
def stalled(*, file: Path, as_json: bool) -> None:
    """List open operations that are stalled, marked or not. Exit code 1 if there are any."""
    with closing(ts.SqliteReader(file)) as reader:
        found = stalled_in(reader, datetime.now(UTC))
    _print_operations(found, as_json=as_json)
    if found:
        raise click.exceptions.Exit(1)


@command.command("settle")
@click.argument("file", type=EXISTING_LOG)
@click.argument("operation", type=TEXT, metavar="ID|NAME")
@click.argument("how", type=click.Choice(("complete", "fail", "abandon", "cancel", "retry", "resume")))
@click.option("--why", type=SAID, required=True, help="The reason, which is recorded.")
@click.option("--who", type=SAID, default=login_name, metavar="NAME", help="Who decides; your login name by default.")
@click.option("--message", type=TEXT, default="", help="What its end says.")
@click.option("--code", type=SAID, default="BY_HAND", show_default=True, help="fail: the code.")
@click.option("--program", type=TEXT, metavar="NAME", help="What runs on the log, if more than operations: tiny-store, or MODULE:FUNCTION.")
@click.option("--control", type=click.Path(path_type=Path), metavar="SOCKET", help="Where the host is asked; FILE.control.")
def settle(*, file: Path, program: str | None, control: Path | None, **decided: Any) -> None:
    """End an open operation by hand, or have it go on. Recorded with who and why.

    Needs somebody who writes: this process, if the log is free, or the host that has it, if it serves a control socket.
    """
    with closing(ts.SqliteReader(file)) as reader:
        decided["operation"] = id_of(reader, decided["operation"])
    request = SettleOperation(**decided)
    done = Operator(file, program, control, default="operations").carry_out([request])
    for refusal in done.refused:
        click.echo(visible(refusal.error), err=True)
        raise click.exceptions.Exit(1)
    click.echo(f"{decided['operation']}: {decided['how']}, by {decided['who']}.")


def _print_operations(operations: list[ts.OperationSnapshot], *, as_json: bool) -> None:
    if as_json:
        for each in operations:
            print_json(each)
        return
    if not operations:
        click.echo("No operations.")
        return
    rows = [
        (
            each.operation_id,
            each.name,
            each.status.value,
            "" if each.percent is None else f"{each.percent:.0f} %",
            _moment(each.started_at),
            "" if each.duration is None else f"{each.duration.total_seconds():.3f} s",
            each.message or each.code,
        )
        for each in operations
    ]
    print_table(("Id", "Name", "Status", "Progress", "Begun (UTC)", "Took", "Message"), rows)


def _print_statistics(statistics: ts.OperationStatistics, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "total": statistics.total,
                "byName": statistics.by_name,
                "durations": {k: v._asdict() for k, v in statistics.durations.items()},
            }
        )
        return
    rows: list[tuple[str, ...]] = []
    for name, by_status in sorted(statistics.by_name.items()):
        took = statistics.durations.get(name)
        times = ("", "", "") if took is None else tuple(f"{each.total_seconds():.3f} s" for each in (took.p50, took.p90, took.p99))
        counts = ", ".join(f"{count} {status.value}" for status, count in sorted(by_status.items()))
        rows.append((name, str(sum(by_status.values())), counts, *times))
    rows.append(("", str(statistics.total), "", "", "", ""))
    print_table(("Name", "Total", "By status", "p50", "p90", "p99"), rows)
