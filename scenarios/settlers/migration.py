"""Saves of the colony, and how one of the version before becomes a present one. Pure: dictionaries and lists, as they stand in the file.

Version 1 kept what a queue was for in the queue: its context was `{kind: "Work", settlerId, step, …}` or `{kind: "Need", needType, …}`, and
its owner had no record of it. Version 2 keeps `{owner, token}` there, and the rest in the owner's execution map. So each queue of version 1
gets a token, and its owner an execution of that token: whatever was under way goes on, in its place in the line, and its end is heard.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

import tallystick as ts

Old = dict[str, Any]
"""A queue's context of version 1."""


class Begun(msgspec.Struct, frozen=True):
    """What an old context was about: whose it is, and what its owner keeps of it now. It times out as if it was begun at the load."""

    owner: str
    operation: str
    intent: dict[str, Any]
    interruption: str = "deferred"
    timeout_us: int | None = None


Read = Callable[[Old], Begun]
"""Reads an old context of one kind."""


def migrated(document: dict[str, Any], kinds: Mapping[str, Read]) -> dict[str, Any]:
    """A save of version 1 in version 2.

    Raises:
        ValueError: a context is of a kind that nobody reads.
    """
    queues = document["queues"]
    position = document["log"]["start"]["position"]
    for number, (queue, active) in enumerate(_queues(queues), start=1):
        old = queue["context"]
        if "kind" not in old:
            continue  # one that has its token already
        read = kinds.get(old["kind"])
        if read is None:
            msg = f"a queue is of kind {old['kind']!r}; known are {sorted(kinds)}"
            raise ValueError(msg)
        begun = read(old)
        token = f"v1-{document['log']['identity']}-{position}-{number}"
        queue["context"] = {"owner": begun.owner, "token": token}
        if active and queue.get("ticker"):
            queues["ticking"] = [*queues.get("ticking", ()), token]
        executions = document["owners"][begun.owner]["state"].setdefault("executions", [])
        executions.append(_execution(token, begun, queue, position, document["nowUs"]))
    for owner in document["owners"].values():
        owner["state"].setdefault("executions", [])
    return document


def _queues(queues: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """Every queue, and whether it is its turn."""
    for queue in queues.get("alone", ()):
        yield queue, True
    for line in queues["lines"]:
        if line.get("active"):
            yield line["active"], True
        for queue in (*line.get("parked", ()), *line.get("waiting", ()), *line.get("arrived", ())):
            yield queue, False


def _execution(token: str, begun: Begun, queue: dict[str, Any], position: int, now_us: int) -> dict[str, Any]:
    """An owner's record; the actions, which stood in the queue, are the owner's now."""
    started = {
        "intent": begun.intent,
        "actions": queue.pop("actions"),
        "priority": queue.pop("priority", 200),
        "interruption": begun.interruption,
    }
    record = {
        "token": token,
        "position": position,
        "correlation": token,
        "started_at_us": now_us,
        "attempt": queue.setdefault("attempt", 1),
        "index": queue.get("index", 0),
        "status": "running",
        "deadline_us": None if begun.timeout_us is None else now_us + begun.timeout_us,
    }
    return {"operation": begun.operation, "started": started, "record": record}


# The colony's own.

TIMEOUT_US: Final = 600_000_000
"""What `Working` and `Pursuing` may take in version 2."""


def _work(old: Old) -> Begun:
    intent = {"settler": old["settlerId"], "task": old["step"]}
    return Begun("work", "Working", intent, old.get("interruption", "deferred"), TIMEOUT_US)


def _need(old: Old) -> Begun:
    intent = {"settler": old["settlerId"], "need": old["needType"], "relief": old["relief"]}
    return Begun("needs", "Pursuing", intent, timeout_us=TIMEOUT_US)


KINDS: Final[Mapping[str, Read]] = {"Work": _work, "Need": _need}
"""`ActionQueueContextKind` of version 1: what settlers did, and what they needed; orders had no queue then."""


def from_version_1(document: dict[str, Any]) -> dict[str, Any]:
    """The colony's save of version 1 in version 2."""
    return migrated(document, KINDS)


SAVES: Final = ts.SaveFormat(name="settlers", version=2, upcast=from_version_1)
