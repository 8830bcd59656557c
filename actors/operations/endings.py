"""Endings: how an operation ended, by how its body was left, and with what evidence. Not who writes that down."""

import asyncio
import traceback
from collections.abc import Mapping
from pathlib import PurePath
from typing import Final

from tallystick.domain.errors import InvalidPayload
from tallystick.domain.evidence import members_of, message_of, name_of, said_by
from tallystick.domain.operations.events import Failure, Json
from tallystick.domain.operations.operation import Ending, cut
from tallystick.domain.text import writable

STACK_FRAMES = 20
NOT_WANTED = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)
"""What leaves a bracket when nobody wants it done any more; any other exception is its failure."""
UNWRITABLE: Final = InvalidPayload.__name__
"""The code of an operation whose body succeeded, but with a result that cannot be written down; its caller is told so, too."""


def success(message: str, data: Mapping[str, Json]) -> Ending:
    """That of a body which left normally."""
    return Ending(status="Succeeded", message=message, data=data)


def ending_by(error: BaseException) -> Ending:
    """That of a body which an exception left, with evidence."""
    plain = without_evidence(error)
    if plain.status == "Canceled":
        return plain
    failure = Failure(kind=plain.code, message=cut(message_of(error)), stack=stack_of(error))
    return Ending(status="Failed", code=failure.kind, message=failure.message, failure=failure)


def without_evidence(error: BaseException | None) -> Ending:
    """An ending that every log can hold: by its type alone. A success whose result cannot be kept is none."""
    kind = UNWRITABLE if error is None else name_of(error)
    if isinstance(error, NOT_WANTED):
        return Ending(status="Canceled", message=kind)
    return Ending(status="Failed", code=kind)


def plainer(ending: Ending, error: BaseException | None, refusal: BaseException | None) -> Ending | None:
    """What to say in place of an ending that was refused; None where that was not for what it says, or nothing plainer can be said."""
    plain = without_evidence(error)
    return plain if isinstance(refusal, InvalidPayload) and ending != plain else None


def stack_of(error: BaseException) -> tuple[str, ...]:
    """Where an exception came through, innermost last; names of files and functions only, since values may be anybody's.

    Where a group did is followed by where its members did, each below a line with its type.
    """
    frames = list(traceback.walk_tb(error.__traceback__))[-STACK_FRAMES:]
    lines = [writable(f"{PurePath(frame.f_code.co_filename).name}:{line} in {frame.f_code.co_name}") for frame, line in frames]
    for each in members_of(error):
        lines += (f"{name_of(each)} in the group:", *stack_of(each))
    return tuple(lines)


def tell_or_raise(operation_id: str, error: BaseException | None, failure: BaseException, *, ended: bool) -> None:
    """Say of what the body raised that the log did not take what was to be said of it; or raise that, where it raised nothing."""
    if error is None:
        raise failure
    lost = "was ended in the log without its evidence" if ended else "could not be ended in the log"
    error.add_note(f"Operation {operation_id} {lost}: {said_by(failure)}")
