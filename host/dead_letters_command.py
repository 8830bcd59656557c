"""`tallystick dead-letters`: what waits for a person in a log, and what that person decides."""

import getpass
import os
import re
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import click
import msgspec

import tallystick as ts
from tallystick.actors.dead_letters import Decided
from tallystick.domain.sensitive import redacted
from tallystick.host.dead_letters import letters_in
from tallystick.host.log_command import moment
from tallystick.host.operator import Operator
from tallystick.host.output import escaped, print_json, print_table, visible
from tallystick.host.parameters import EXISTING_LOG, SAID, TEXT
from tallystick.host.requests import NOT_EDITED, Discard, DiscardAll, Redrive, RedriveAll, Request, Settle

KINDS: Final = ("reaction", "settlement", "late", "actions", "person")
ERROR_CHARS: Final = 80
EDIT_LIMIT_BYTES: Final = 1 << 20
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def age(ctx: click.Context, param: click.Parameter, value: str | None) -> timedelta | None:
    """An option's value as a time: 90s, 15m, 36h, 7d."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", value)
    if found is None:
        msg = f"{value!r} is no time like 90s, 15m, 36h or 7d"
        raise click.BadParameter(msg, ctx, param)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def login_name() -> str:
    """Who runs this command, as far as the system knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def filters(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which letters are meant."""
    for option in reversed(
        (
            click.option("--owner", type=TEXT, metavar="NAME", help="Of this owner."),
            click.option("--kind", type=click.Choice(KINDS), help="Of this kind."),
            click.option("--code", type=TEXT, metavar="CODE", help="With this code: an error's class, a failure's code, TIMED_OUT."),
            click.option("--event-type", type=TEXT, metavar="NAME", help="About an event of this type; of executions, the first."),
            click.option("--older-than", callback=age, metavar="TIME", help="That have waited so long: 90s, 15m, 36h, 7d."),
            click.option("--before", callback=moment, metavar="MOMENT", help="That have waited since before then."),
        )
    ):
        function = option(function)
    return function


def query_of(*, older_than: timedelta | None, before: datetime | None, **fields: Any) -> ts.DeadLetterQuery:
    """The query that the options stand for."""
    if older_than is not None:
        now = datetime.now(UTC)
        since = now - min(older_than, now - datetime.min.replace(tzinfo=UTC))
        before = since if before is None else min(since, before)
    return ts.DeadLetterQuery(before=before, **fields)


def asking(function: Callable[..., Any]) -> Callable[..., Any]:
    """What all commands that decide something have: who and why, and whom to ask."""
    for option in reversed(
        (
            click.option("--why", type=SAID, required=True, help="The reason, which is recorded."),
            click.option("--who", type=SAID, default=login_name, metavar="NAME", help="Who decides; your login name by default."),
            click.option("--program", type=TEXT, metavar="NAME", help="What runs on the log: tiny-store, or MODULE:FUNCTION."),
            click.option("--control", type=click.Path(path_type=Path), metavar="SOCKET", help="Where the host is asked; FILE.control."),
            click.option("--json", "as_json", is_flag=True, help="One JSON object."),
        )
    ):
        function = option(function)
    return function


def decisions(function: Callable[..., Any]) -> Callable[..., Any]:
    """What the commands have that decide on several."""
    for option in reversed(
        (
            click.argument("file", type=EXISTING_LOG),
            click.argument("letters", type=TEXT, nargs=-1, metavar="[ID]..."),
            filters,
            click.option("--all", "everything", is_flag=True, help="All there are."),
            click.option("--dry-run", is_flag=True, help="Only say which are meant."),
            asking,
        )
    ):
        function = option(function)
    return function


@click.group("dead-letters")
def command() -> None:
    """What waits for a person in a log, and what to do with it.

    Listing reads the log and nothing else, also while a host writes it. A decision needs somebody who writes: this process,
    which runs the program for a moment without performing anything; or the host that has the log, if it serves a control socket.
    """


@command.command("list")
@click.argument("file", type=EXISTING_LOG)
@filters
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(*, file: Path, as_json: bool, **fields: Any) -> None:
    """List what waits for a person, each with the ID by which it is redriven or discarded."""
    letters = found_in(file, query_of(**fields))
    if as_json:
        for letter in letters:
            print_json(as_object(letter))
        return
    if not letters:
        click.echo("Nothing waits for a person.")
        return
    rows = [
        (letter.id, letter.kind, letter.event_type, str(letter.attempts), f"{letter.since:%Y-%m-%d %H:%M:%S}", _cut(letter.error))
        for letter in letters
    ]
    print_table(("Id", "Kind", "Event", "Attempts", "Since (UTC)", "Cause"), rows)


@command.command("show")
@click.argument("file", type=EXISTING_LOG)
@click.argument("letter", type=TEXT, metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--sealed", is_flag=True, help="Its sensitive values as the log has them, sealed, so that its actions can be edited.")
def show(*, file: Path, letter: str, as_json: bool, sealed: bool) -> None:
    """Show all of one dead letter, its payload too."""
    found = as_object(named(found_in(file, ts.DeadLetterQuery()), [letter])[0])
    if as_json:
        print_json(found)
        return
    content = bytes(found.pop("payload"))
    payload = escaped(msgspec.json.format(content if sealed else redacted(content), indent=2)).decode()
    print_table(("Field", "Value"), [(name, "" if value is None else str(value)) for name, value in found.items()])
    click.echo(payload)


@command.command("redrive")
@decisions
@click.option("--edited", type=click.File("rb"), metavar="JSON", help="Actions to perform instead, as `show` prints them; - for stdin.")
def redrive(*, edited: Any, **options: Any) -> None:
    """Have letters tried again, with their attempts reset: by ID, by filters, or all. Recorded with who and why.

    Exit code 1 if any refused.
    """
    if edited is not None and len(options["letters"]) != 1:
        msg = "--edited needs the ID of the one letter that it is for."
        raise click.UsageError(msg)
    content = NOT_EDITED if edited is None else msgspec.Raw(_json("--edited", edited))
    _decide(
        lambda letter, who, why: Redrive(letter=letter, edited=content, who=who, why=why),
        lambda query, who, why: RedriveAll(query=query, who=who, why=why),
        **options,
    )


@command.command("discard")
@decisions
def discard(**options: Any) -> None:
    """Give letters up: by ID, by filters, or all. Recorded with who and why.

    What waits behind an event goes on without it; an execution ends with its last failure. Exit code 1 if any refused.
    """
    _decide(
        lambda letter, who, why: Discard(letter=letter, who=who, why=why),
        lambda query, who, why: DiscardAll(query=query, who=who, why=why),
        **options,
    )


@command.command("settle")
@click.argument("file", type=EXISTING_LOG)
@click.argument("letter", type=TEXT, metavar="ID")
@click.option("--result", type=click.File("rb"), metavar="JSON", help="It was done, with this result; - for stdin.")
@click.option("--failed", type=TEXT, metavar="CODE", help="It was not, and will not be.")
@click.option("--abandoned", is_flag=True, help="Nobody wants it any more.")
@asking
def settle(*, file: Path, letter: str, result: Any, failed: str | None, abandoned: bool, as_json: bool, **asked: Any) -> None:
    """End an execution that waits for a person: done, failed or abandoned, in this person's word.

    Its module hears the outcome. Recorded with who and why. Exit code 1 if it refuses.
    """
    if [result is not None, failed is not None, abandoned].count(True) != 1:
        msg = "Say how it ends: --result, --failed or --abandoned."
        raise click.UsageError(msg)
    content = NOT_EDITED if result is None else msgspec.Raw(_json("--result", result))
    ends: Literal["completed", "failed", "abandoned"] = (
        "completed" if result is not None else "failed" if failed is not None else "abandoned"
    )
    request = Settle(letter=letter, ends=ends, result=content, code=failed or "", message=asked["why"], who=asked["who"], why=asked["why"])
    _ask([request], file, asked["program"], asked["control"], as_json=as_json)


def _json(option: str, file: Any) -> bytes:
    content = file.read(EDIT_LIMIT_BYTES + 1)
    if len(content) > EDIT_LIMIT_BYTES:
        msg = f"{option} has more than {EDIT_LIMIT_BYTES} bytes."
        raise click.UsageError(msg)
    try:
        return bytes(msgspec.json.format(content, indent=-1))
    except msgspec.MsgspecError as error:
        msg = f"{option} is no JSON: {error}."
        raise click.UsageError(msg) from error


def _decide(  # noqa: PLR0913 - the options of a command
    one: Callable[[str, str, str], Request],
    several: Callable[[ts.DeadLetterQuery, str, str], Request],
    *,
    file: Path,
    letters: tuple[str, ...],
    everything: bool,
    who: str,
    why: str,
    program: str | None,
    control: Path | None,
    dry_run: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    filtered = any(value is not None for value in fields.values())
    if [bool(letters), filtered, everything].count(True) != 1:
        msg = "Say which letters: by ID, by filters, or --all."
        raise click.UsageError(msg)
    query = query_of(**fields)
    if dry_run:
        found = found_in(file, query)
        meant = named(found, letters) if letters else found
        _say(Decided(done=len(meant)), as_json=as_json, would=[letter.id for letter in meant])
        return
    requests = [one(letter, who, why) for letter in letters] or [several(query, who, why)]
    _ask(requests, file, program, control, as_json=as_json)


def _ask(requests: Sequence[Request], file: Path, program: str | None, control: Path | None, *, as_json: bool) -> None:
    done = Operator(file, program, control).carry_out(requests)
    _say(done, as_json=as_json)
    if done.refused:
        raise click.exceptions.Exit(1)


def _say(done: Decided, *, as_json: bool, would: list[str] | None = None) -> None:
    if as_json:
        print_json({"would": would} if would is not None else {"done": done.done, "refused": done.refused})
        return
    for letter in would or ():
        click.echo(letter)
    click.echo(f"{done.done} would be." if would is not None else f"{done.done} done, {len(done.refused)} refused.")
    for refusal in done.refused:
        click.echo(visible(f"{refusal.id}: {refusal.error}"), err=True)


def found_in(file: Path, query: ts.DeadLetterQuery) -> list[ts.DeadLetter]:
    """The letters of a log that are meant."""
    with closing(ts.SqliteReader(file)) as reader:
        return [letter for letter in letters_in(reader) if query.matches(letter)]


def named(letters: list[ts.DeadLetter], names: list[str] | tuple[str, ...]) -> list[ts.DeadLetter]:
    """The letters with those ids.

    Raises:
        UsageError: there is none of a name.
    """
    known = {letter.id: letter for letter in letters}
    unknown = [name for name in names if name not in known]
    if unknown:
        msg = f"{', '.join(unknown)}: no dead letter (any more)."
        raise click.UsageError(msg)
    return [known[name] for name in names]


def as_object(letter: ts.DeadLetter) -> dict[str, Any]:
    """A letter for programs."""
    fields = zip(ts.DeadLetter.__struct_encode_fields__, ts.DeadLetter.__struct_fields__, strict=True)
    return {"id": letter.id, **{name: getattr(letter, field) for name, field in fields}}


def _cut(text: str) -> str:
    return text if len(text) <= ERROR_CHARS else text[: ERROR_CHARS - 1] + "…"
