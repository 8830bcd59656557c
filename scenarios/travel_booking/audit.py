"""What a whole log of travel booking must come to: a saga ends once, and what was begun first is not ended otherwise."""

from collections.abc import Iterator, Mapping
from typing import Any

from tallystick.scenarios.travel_booking.system import modules


class EndsAudit:
    """Counts the ends of each saga."""

    def __init__(self) -> None:
        names = [module.name for module in modules()]
        self._ends = {f"{name}{end}" for name in names for end in ("Completed", "Compensated")}
        self._ended: dict[tuple[str, str], list[str]] = {}

    def take(self, event: Any) -> None:
        """One more event."""
        name = type(event).__name__
        if name in self._ends:
            self._ended.setdefault((event.aggregate_type, event.aggregate_id), []).append(name)

    def problems(self, residents: Mapping[Any, Any]) -> Iterator[str]:
        """Sagas that ended more than once; one that is a step may be compensated after it was completed."""
        del residents
        for (kind, saga_id), ends in self._ended.items():
            if len(ends) > 1 and ends != [f"{kind}Completed", f"{kind}Compensated"]:
                yield f"{kind} {saga_id} ended {len(ends)} times: {', '.join(ends)}"
