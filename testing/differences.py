"""Differences: how two values, or two stories, differ, told field by field. Only what differs is told."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import starmap
from typing import Any, Literal, NamedTuple

import msgspec

WIDTH_CHARS = 160
"""Values that take more are cut short in the middle."""
LINES_LIMIT = 60
PAIRS_LIMIT = 250_000
"""Sequences whose lengths multiply to more are compared item by item, without looking for what was left out."""

Same = Callable[[Any, Any], bool]


class Step(NamedTuple):
    """One step of an alignment: a pair, or what only one side has."""

    kind: Literal["same", "changed", "missing", "unexpected"]
    expected: Any = None
    actual: Any = None


def shortened(value: object) -> str:
    """A value in words, of bearable length."""
    text = repr(value)
    if len(text) <= WIDTH_CHARS:
        return text
    half = WIDTH_CHARS // 2
    return f"{text[:half]} … {text[-half:]}"


def limited(lines: Sequence[str]) -> list[str]:
    """The first lines, and how many more there are."""
    more = len(lines) - LINES_LIMIT
    return [*lines[:LINES_LIMIT], f"… and {more} lines more"] if more > 0 else list(lines)


def differences(expected: Any, actual: Any, path: str = "") -> Iterator[str]:
    """Lines that say where two values differ; none when they are equal."""
    if expected == actual:
        return
    if type(expected) is type(actual) and isinstance(expected, msgspec.Struct):
        for field in expected.__struct_fields__:
            yield from differences(getattr(expected, field), getattr(actual, field), f"{path}.{field}" if path else field)
    elif isinstance(expected, Mapping) and isinstance(actual, Mapping):
        yield from _of_mappings(expected, actual, path)
    elif isinstance(expected, list | tuple) and type(expected) is type(actual):
        yield from _of_sequences(expected, actual, path)
    else:
        yield f"{path or 'value'}:"
        yield f"  expected  {shortened(expected)}"
        yield f"  actual    {shortened(actual)}"


def _of_mappings(expected: Mapping[Any, Any], actual: Mapping[Any, Any], path: str) -> Iterator[str]:
    for key in [*expected, *(key for key in actual if key not in expected)]:
        where = f"{path}[{key!r}]"
        if key not in actual:
            yield f"{where}:"
            yield f"  missing     {shortened(expected[key])}"
        elif key not in expected:
            yield f"{where}:"
            yield f"  unexpected  {shortened(actual[key])}"
        else:
            yield from differences(expected[key], actual[key], where)


def _of_sequences(expected: Sequence[Any], actual: Sequence[Any], path: str) -> Iterator[str]:
    if len(expected) != len(actual):
        yield f"{path or 'all'}: {len(expected)} expected, {len(actual)} actual"
    wanted = found = 0
    for step in aligned(expected, actual):
        where = f"{path}[{wanted if step.kind == 'missing' else found}]"
        wanted += step.kind != "unexpected"
        found += step.kind != "missing"
        match step.kind:
            case "changed":
                yield from differences(step.expected, step.actual, where)
            case "missing":
                yield f"{where}:"
                yield f"  missing     {shortened(step.expected)}"
            case "unexpected":
                yield f"{where}:"
                yield f"  unexpected  {shortened(step.actual)}"
            case "same":
                pass


def _equal(expected: Any, actual: Any) -> bool:
    return bool(expected == actual)


def aligned(expected: Sequence[Any], actual: Sequence[Any], same: Same = _equal) -> list[Step]:
    """How one sequence becomes the other with the fewest words: what is the same, of the same type but changed, left out, or added."""
    start, shorter = 0, min(len(expected), len(actual))
    while start < shorter and same(expected[start], actual[start]):
        start += 1
    end = 0
    while end < shorter - start and same(expected[-1 - end], actual[-1 - end]):
        end += 1
    head = [Step("same", *pair) for pair in zip(expected[:start], actual[:start], strict=True)]
    tail = [Step("same", *pair) for pair in zip(expected[len(expected) - end :], actual[len(actual) - end :], strict=True)]
    return [*head, *_core(expected[start : len(expected) - end], actual[start : len(actual) - end], same), *tail]


def _core(expected: Sequence[Any], actual: Sequence[Any], same: Same) -> list[Step]:
    if len(expected) * len(actual) > PAIRS_LIMIT:
        both = min(len(expected), len(actual))
        pairs = starmap(lambda e, a: Step("same" if same(e, a) else "changed", e, a), zip(expected, actual, strict=False))
        return [*pairs, *(Step("missing", e) for e in expected[both:]), *(Step("unexpected", None, a) for a in actual[both:])]
    costs = _costs(expected, actual, same)
    steps: list[Step] = []
    i = j = 0
    while i < len(expected) or j < len(actual):
        cost = costs[i][j]
        if i < len(expected) and j < len(actual) and cost == _pairing(expected[i], actual[j], same) + costs[i + 1][j + 1]:
            steps.append(Step("same" if same(expected[i], actual[j]) else "changed", expected[i], actual[j]))
            i, j = i + 1, j + 1
        elif i < len(expected) and cost == 1 + costs[i + 1][j]:
            steps.append(Step("missing", expected[i]))
            i += 1
        else:
            steps.append(Step("unexpected", None, actual[j]))
            j += 1
    return steps


def _pairing(expected: Any, actual: Any, same: Same) -> int:
    """What it costs to tell them as a pair: nothing if they are the same, less than telling both if they are of one type."""
    if same(expected, actual):
        return 0
    return 1 if type(expected) is type(actual) else 3


def _costs(expected: Sequence[Any], actual: Sequence[Any], same: Same) -> list[list[int]]:
    """The cost of what is left, from each pair of places on (an edit distance, from the end)."""
    rows, columns = len(expected), len(actual)
    costs = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows, -1, -1):
        for j in range(columns, -1, -1):
            ways: list[int] = []
            if i < rows and j < columns:
                ways.append(_pairing(expected[i], actual[j], same) + costs[i + 1][j + 1])
            if i < rows:
                ways.append(1 + costs[i + 1][j])
            if j < columns:
                ways.append(1 + costs[i][j + 1])
            costs[i][j] = min(ways, default=0)
    return costs
