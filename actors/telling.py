"""Telling people: structlog, imported when the first line is due. Never a payload, and never a line per event on the hot path.

A host that has configured structlog gets the lines its way; otherwise they go to the standard library's logger "tallystick", which writes
warnings to stderr, never to stdout.
"""

import logging
from typing import Any


def warn(event: str, **fields: Any) -> None:
    """Something that a person should know: a dead letter, a stale token, a failed log."""
    _logger().warning(event, **fields)


def note(event: str, **fields: Any) -> None:
    """Something that helps later: a recovery, a stop."""
    _logger().info(event, **fields)


def _logger() -> Any:
    import structlog  # noqa: PLC0415 - 90 ms that a program should not pay for importing the library

    if structlog.is_configured():
        return structlog.get_logger("tallystick")
    return structlog.wrap_logger(
        logging.getLogger("tallystick"),
        processors=[structlog.stdlib.filter_by_level, structlog.processors.KeyValueRenderer(key_order=["event"])],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
