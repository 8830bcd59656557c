"""Telling people: by structlog, where the host has imported it. Never a payload, and never a line per event on the hot path.

A host that has configured structlog gets the lines its way; otherwise they go to the standard library's logger "tallystick", which writes
warnings to stderr, never to stdout. They read the same there whether or not structlog is loaded: importing it takes 100 ms and 10 MB, and
a line may be due in the very thread that all actors share.

Nor can a host's logger do harm there: what it raises, because nobody reads its standard output any more, or because one of its processors
has a bug, costs the line and is counted, and nothing else.
"""

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

from tallystick.actors.counters import Counters

_NAME = "tallystick"
_LOGGER = logging.getLogger(_NAME)
_LOST = Counters()


def warn(event: str, **fields: Any) -> None:
    """Something that a person should know: a dead letter, a stale token, a failed log. Never raises."""
    try:
        if "structlog" in sys.modules:
            _logger().warning(event, **fields)
        elif _LOGGER.isEnabledFor(logging.WARNING):
            _LOGGER.warning("%s", _line(event, fields))
    except Exception:  # noqa: BLE001 - whatever the host's logger raised
        _LOST.count(LINES_LOST)


def note(event: str, **fields: Any) -> None:
    """Something that helps later: a recovery, a stop. Never raises."""
    try:
        if "structlog" in sys.modules:
            _logger().info(event, **fields)
        elif _LOGGER.isEnabledFor(logging.INFO):
            _LOGGER.info("%s", _line(event, fields))
    except Exception:  # noqa: BLE001 - whatever the host's logger raised
        _LOST.count(LINES_LOST)


LINES_LOST = "log_lines_lost"


def lines_lost() -> int:
    """How many lines the host's logger has refused in this process, by raising."""
    return _LOST.snapshot().get(LINES_LOST, 0)


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
    """Whether the host uses structlog, so that `bind` would do anything."""
    return "structlog" in sys.modules


def bind(**fields: Any) -> Mapping[str, Any]:
    """Have the host's own log lines say these too, until `unbind` is given what this returns; only where `log_lines_are_bound`."""
    from structlog.contextvars import bind_contextvars  # noqa: PLC0415 - the host has

    return bind_contextvars(**fields)


def unbind(fields: Mapping[str, Any]) -> bool:
    """Have the host's lines say what they said before; False where that is another context's, whose lines go on as they are."""
    from structlog.contextvars import reset_contextvars  # noqa: PLC0415 - the host has

    try:
        reset_contextvars(**fields)
    except ValueError:
        return False
    return True


def _line(event: str, fields: Mapping[str, Any]) -> str:
    """As structlog would render it by `_logger`."""
    return " ".join(f"{name}={value!r}" for name, value in {"event": event, **fields}.items())


def _logger() -> Any:
    import structlog  # noqa: PLC0415 - the host has

    if structlog.is_configured():
        return structlog.get_logger(_NAME)
    return structlog.wrap_logger(
        _LOGGER,
        processors=[structlog.stdlib.filter_by_level, structlog.processors.KeyValueRenderer(key_order=["event"])],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
