"""Telling people: structlog, imported when the first line is due. Never a payload, and never a line per event on the hot path.

A host that has configured structlog gets the lines its way; otherwise they go to the standard library's logger "tallystick", which writes
warnings to stderr, never to stdout.
"""

import logging
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

_NAME = "tallystick"
_LOGGER = logging.getLogger(_NAME)


def warn(event: str, **fields: Any) -> None:
    """Something that a person should know: a dead letter, a stale token, a failed log."""
    if _heard(logging.WARNING):
        _logger().warning(event, **fields)


def note(event: str, **fields: Any) -> None:
    """Something that helps later: a recovery, a stop."""
    if _heard(logging.INFO):
        _logger().info(event, **fields)


class WhenShown:
    """A text in a line that costs something to find out: it is looked up if the line is shown, and not for lines that nobody sees."""

    __slots__ = ("_look_up",)

    def __init__(self, look_up: Callable[[], str | None]) -> None:
        self._look_up = look_up

    def __str__(self) -> str:
        return self._look_up() or ""

    def __repr__(self) -> str:
        return repr(str(self))

    def __structlog__(self) -> str:
        return str(self)


def log_lines_are_bound() -> bool:
    """Whether the host uses structlog, so that `bound` would do anything."""
    return "structlog" in sys.modules


@contextmanager
def bound(**fields: Any) -> Generator[None]:
    """Have the host's own log lines say these too, in the code inside; only where `log_lines_are_bound`."""
    from structlog.contextvars import bound_contextvars  # noqa: PLC0415 - see `_heard`

    with bound_contextvars(**fields):
        yield


def bind(**fields: Any) -> Mapping[str, Any]:
    """As `bound`, until `unbind` is given what this returns: half its price, for where each microsecond counts."""
    from structlog.contextvars import bind_contextvars  # noqa: PLC0415 - see `_heard`

    return bind_contextvars(**fields)


def unbind(fields: Mapping[str, Any]) -> None:
    """Have the host's lines say what they said before."""
    from structlog.contextvars import reset_contextvars  # noqa: PLC0415 - see `_heard`

    reset_contextvars(**fields)


def _heard(level: int) -> bool:
    """Whether anybody listens: asked first, so that structlog (90 ms, 10 MB) is imported for a line that is written, and for no other."""
    return "structlog" in sys.modules or _LOGGER.isEnabledFor(level)


def _logger() -> Any:
    import structlog  # noqa: PLC0415 - see `_heard`

    if structlog.is_configured():
        return structlog.get_logger(_NAME)
    return structlog.wrap_logger(
        _LOGGER,
        processors=[structlog.stdlib.filter_by_level, structlog.processors.KeyValueRenderer(key_order=["event"])],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
