"""Queries as SQL: which rows a page is, found through an index where there is one. Not their execution."""

from typing import Any, Final

from tallystick.domain.protocol import EXECUTION
from tallystick.store.log import Query
from tallystick.store.sqlite.rows import PAGE, Statement

# A record without tags is passed over before anything of it is parsed.
_HAS_TAG: Final = "tags_json IS NOT NULL AND EXISTS (SELECT 1 FROM json_each(event.tags_json) AS tag WHERE tag.key = ? AND tag.value = ?)"

_OF_EXECUTION: Final = """(
    SELECT position FROM event INDEXED BY event_stream WHERE aggregate_id = ? AND aggregate_type = ?
    UNION
    SELECT position FROM event INDEXED BY event_settlement WHERE token = ? AND settles IS NOT NULL
) AS found CROSS JOIN event ON event.position = found.position"""

# The index up to its mark, the rows themselves after it; one statement, so that both are of one state of the log. The beginning of a page
# stands in here: as a condition outside it would become the second lower bound of the rows, and SQLite would use that one, and read nearly
# the whole log.
_OF_CORRELATION: Final = """(
    SELECT position FROM correlation WHERE correlation = ? AND position > ?
    UNION ALL
    SELECT position FROM event WHERE position > max(?, (SELECT correlated FROM meta)) AND correlation = ?
) AS found CROSS JOIN event ON event.position = found.position"""

# The first position that is not before a time, which never decreases (P23): a binary search in one step. Where a row has left for an
# archive, or stands before the beginning of a log that was loaded, the next one stands in for it.
_NOT_BEFORE: Final = """(
    WITH RECURSIVE span (low, high) AS (
        SELECT 1, coalesce(max(position), 0) + 1 FROM event
        UNION ALL
        SELECT iif((SELECT occurred_at_us < ? FROM event WHERE position >= (low + high) / 2 LIMIT 1), (low + high) / 2 + 1, low),
               iif((SELECT occurred_at_us < ? FROM event WHERE position >= (low + high) / 2 LIMIT 1), high, (low + high) / 2)
        FROM span WHERE low < high
    )
    SELECT low FROM span WHERE low >= high
)"""


def page_of(query: Query, rows: int, *, revision: str = "") -> Statement:
    """The statement that reads the first `rows` rows that match, as one row for `records_in`; `event_id` is the reader's to look at.

    `revision` is an expression of SQL for one more column.
    """
    source, bindings = _source(query)
    terms: list[str] = []
    for term, *values in _terms(query):
        terms.append(term)
        bindings.extend(values)
    where = f"WHERE {' AND '.join(terms)}" if terms else ""
    order = "DESC" if query.newest_first else "ASC"
    # Only fixed texts are put together here; what the caller gave is bound.
    more = f", {revision}" if revision else ""
    sql = f"SELECT {PAGE}{more} FROM (SELECT event.* FROM {source} {where} ORDER BY event.position {order} LIMIT ?)"  # noqa: S608
    return sql, (*bindings, rows)


def _source(query: Query) -> tuple[str, list[Any]]:
    if query.token is not None:
        return _OF_EXECUTION, [query.token, EXECUTION, query.token]
    if query.aggregate_id is not None:
        return "event INDEXED BY event_stream", []
    if _by_correlation(query):
        return _OF_CORRELATION, [query.correlation, query.after, query.after, query.correlation]
    return "event", []


def _by_correlation(query: Query) -> bool:
    return query.correlation is not None and query.token is None and query.aggregate_id is None


def _terms(query: Query) -> list[tuple[Any, ...]]:
    """Conditions with their bindings. A filter that `_source` has served already is repeated: it costs little and cannot go wrong."""
    terms: list[tuple[Any, ...]] = []
    if query.after > 0 and not _by_correlation(query):
        terms.append(("event.position > ?", query.after))
    if query.until is not None:
        terms.append(("event.position <= ?", query.until))
    if query.since_us is not None:
        terms.append((f"event.position >= {_NOT_BEFORE} AND occurred_at_us >= ?", *(query.since_us,) * 3))
    if query.before_us is not None:
        terms.append((f"event.position < {_NOT_BEFORE} AND occurred_at_us < ?", *(query.before_us,) * 3))
    if query.event_types:
        terms.append((f"event_type IN ({','.join('?' * len(query.event_types))})", *query.event_types))
    if query.tag is not None:
        terms.append((_HAS_TAG, *query.tag))
    columns = ("aggregate_id", "aggregate_type", "owner", "correlation")
    terms.extend((f"event.{name} = ?", value) for name in columns if (value := getattr(query, name)) is not None)
    return terms
