"""What a performer's code runs in: the correlation, tags and traceparent of the execution that it works for; its log lines say so, too.

In the stepped runtime a call is made in the host's thread, which may be inside a bracket: its surroundings are not those of the call.
"""

from collections.abc import Mapping
from typing import Any

from tallystick.actors.performers.performer import RunningCall
from tallystick.actors.surroundings import TRACEPARENT, Surrounded, Surroundings
from tallystick.actors.telling import WhenShown, bind, log_lines_are_bound, unbind


class OfCall(Surroundings):
    """Those of a call's execution. Nothing is looked up before it is asked for: most performers ask for none of it."""

    __slots__ = ("_call",)
    operation_id = ""
    operation = None
    left = of = None

    def __init__(self, call: RunningCall) -> None:  # pyright: ignore[reportMissingSuperCall] - whatever that would set is a property here
        self._call = call

    @property
    def tags(self) -> Mapping[str, str]:  # type: ignore[override]
        """The execution's."""
        tags = self._call.start.tags
        return tags if TRACEPARENT not in tags else {name: value for name, value in tags.items() if name != TRACEPARENT}

    @property
    def traceparent(self) -> str | None:  # type: ignore[override]
        """That which was there when it was begun."""
        return self._call.start.tags.get(TRACEPARENT)

    @property
    def knower(self) -> RunningCall:
        """The call itself."""
        return self._call

    @property
    def correlation(self) -> str | None:
        """The execution's."""
        start = self._call.start
        return start.correlation or self._call.correlation_of(start.context)


class Called:
    """Has the code inside run as what a call is for."""

    __slots__ = ("_bound", "_call", "_surrounded")

    def __init__(self, call: RunningCall) -> None:
        self._call = call
        self._bound: Mapping[str, Any] | None = None

    def __enter__(self) -> None:
        here = OfCall(self._call)
        self._surrounded = Surrounded(here)
        self._surrounded.__enter__()
        if log_lines_are_bound():
            about = {"tags": here.tags} if here.tags else {}
            context, correlation = self._call.start.context, WhenShown(lambda: here.correlation)
            self._bound = bind(owner=context.owner, token=context.token, correlation=correlation, **about)

    def __exit__(self, *_raised: object) -> None:
        if self._bound is not None:
            unbind(self._bound)
        self._surrounded.__exit__()
