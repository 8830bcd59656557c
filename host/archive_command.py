"""`tallystick archive`: closed work leaves the live log for sealed archives beside it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click

import tallystick as ts
from tallystick.host import control
from tallystick.host.dead_letters_command import age, login_name
from tallystick.host.operator import Operator
from tallystick.host.output import counted, print_json, print_table, progress_bar
from tallystick.host.parameters import EXISTING_LOG, SAID, TEXT
from tallystick.host.requests import Archive

OWN_RECORDS: Final = 50
"""A host is asked for one archive after another, until one has no more records than are written by archiving itself."""
STATUSES: Final = ("succeeded", "failed", "abandoned")


def times(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> Mapping[str, timedelta]:
    """An option's values as times by name: failed=90d."""
    found = {}
    for each in value:
        name, equals, time = each.partition("=")
        kept = age(ctx, param, time) if equals else None
        if not name or kept is None:
            msg = f"{each!r} is not NAME=TIME, such as failed=90d"
            raise click.BadParameter(msg, ctx, param)
        if param.name == "by_status" and name not in STATUSES:
            msg = f"{name!r} is no end; there are {', '.join(STATUSES)}"
            raise click.BadParameter(msg, ctx, param)
        found[name] = kept
    return found


def policy_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The log, the policy, and whom to ask."""
    for option in reversed(
        (
            click.argument("file", type=EXISTING_LOG),
            click.option("--keep", callback=age, default="30d", metavar="TIME", help="How long closed work stays: 36h; 30d by default."),
            click.option("--keep-status", "by_status", callback=times, multiple=True, metavar="END=TIME", help="Longer after: failed=90d."),
            click.option("--keep-type", "by_type", callback=times, multiple=True, metavar="TYPE=TIME", help="Longer with: Order=365d."),
            click.option("--why", type=TEXT, default="", help="The reason, which is recorded."),
            click.option("--who", type=SAID, default=login_name, metavar="NAME", help="Who has it done; your login name by default."),
            click.option("--program", type=TEXT, metavar="NAME", help="What runs on the log: tiny-store, or MODULE:FUNCTION."),
            click.option("--control", type=click.Path(path_type=Path), metavar="SOCKET", help="Where the host is asked; FILE.control."),
            click.option("--json", "as_json", is_flag=True, help="JSON, one object a line."),
        )
    ):
        function = option(function)
    return function


@click.command("archive")
@policy_options
def command(*, as_json: bool, **given: Any) -> None:
    """Move closed work into sealed archives beside the log.

    They are compressed. Whatever is asked of the log has the same answer as before, as long as they stay beside it. What is open stays,
    with its evidence, its parents and its children. On a log that is free the program is run without performing anything; else its host
    is asked.
    """
    archive(as_json=as_json, **given)


def archive(*, as_json: bool, **given: Any) -> None:
    """Do it, and say what was done."""
    file, who, why, policy, operator = _asked(**given)

    def here(system: ts.System) -> ts.Archived:
        with progress_bar("Archiving") as progress:
            return system.archive(policy, who=who, why=why, told=progress)

    def there(socket: Path) -> ts.Archived:
        before, moved = file.stat().st_size, 0
        while (done := control.ask(socket, Archive(who=who, why=why, policy=policy)).done) > OWN_RECORDS:
            moved += done
        return ts.Archived(until=0, records=moved + done, live_bytes_before=before, live_bytes_after=file.stat().st_size)

    archived = operator.either(here, there)
    if as_json:
        print_json(archived)
        return
    size = f"the live file has {archived.live_bytes_after} bytes, and had {archived.live_bytes_before}"
    archives = counted(len(archived.archives), "archive") if archived.archives else "its archives"
    click.echo(f"{counted(archived.records, 'record')} left for {archives}; {size}.")
    if archived.archives:
        rows = [(f"{each.first}-{each.last}", str(each.records), str(each.size_bytes), each.checksum) for each in archived.archives]
        print_table(("Positions", "Records", "Bytes", "Checksum"), rows)
    _print_staying(archived.stays)


def dry_run(*, as_json: bool, list_: bool, **given: Any) -> None:
    """Say what would leave, and why the rest would stay."""
    _, who, why, policy, operator = _asked(**given)

    def there(socket: Path) -> None:
        done = control.ask(socket, Archive(who=who, why=why, policy=policy, dry_run=True)).done
        if as_json:
            print_json({"records": done})
        else:
            click.echo(f"{counted(done, 'record')} would leave; the host that has the log does not say more.")

    operator.either(lambda system: _tell(system.retention(policy), as_json=as_json, list_=list_), there)


def _tell(looked_at: Iterator[Any], *, as_json: bool, list_: bool) -> None:
    records, streams, sizes, stays = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for record, reason in looked_at:
        if reason:
            stays[reason] += 1
            continue
        kind = record.aggregate_type
        records[kind] += 1
        streams[kind] += record.aggregate_version == 1
        sizes[kind] += len(record.payload)
        if list_:
            _tell_record(record, as_json=as_json)
    if as_json:
        by_type = {kind: {"records": records[kind], "streams": streams[kind], "payloadBytes": sizes[kind]} for kind in sorted(records)}
        print_json({"records": records.total(), "byType": by_type, "stays": dict(sorted(stays.items()))})
        return
    click.echo(f"{counted(records.total(), 'record')} would leave.")
    if records:
        rows = [(kind, str(streams[kind]), str(records[kind]), str(sizes[kind])) for kind in sorted(records)]
        print_table(("Aggregate", "Begun", "Records", "Bytes of payload"), rows)
    _print_staying(stays)


def _tell_record(record: ts.Recorded, *, as_json: bool) -> None:
    if as_json:
        of = {"aggregateType": record.aggregate_type, "aggregateId": record.aggregate_id, "version": record.aggregate_version}
        print_json({"position": record.position, "eventType": record.event_type, **of})
    else:
        click.echo(f"{record.position:10}  {record.aggregate_type} {record.aggregate_id} {record.aggregate_version}  {record.event_type}")


def _print_staying(stays: Mapping[str, int]) -> None:
    if stays:
        print_table(("Stays", "Records"), [(reason, str(count)) for reason, count in sorted(stays.items())])


def _asked(  # noqa: PLR0913 - the options
    *,
    file: Path,
    keep: timedelta,
    by_status: Mapping[Any, timedelta],
    by_type: Mapping[str, timedelta],
    who: str,
    why: str,
    program: str | None,
    control: Path | None,
) -> tuple[Path, str, str, ts.Retention, Operator]:
    policy = ts.Retention(keep=keep, by_status=by_status, by_type=by_type)
    return file, who, why, policy, Operator(file, program, control)
