-- The table of a log that starts at a beginning, since it was loaded from a save. A log that has all its events has none.

-- name: beginning
-- One row: the place in the log that its first record of its own follows, and what was saved (store/sqlite/beginning.py). `checksum` covers
-- the row and the log's identity. The single records that were kept stand in `event` too, at their own positions, so that every way to a record leads to them.
CREATE TABLE beginning (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    position       INTEGER NOT NULL,
    hash           BLOB    NOT NULL,
    occurred_at_us INTEGER NOT NULL,
    body           BLOB    NOT NULL,
    checksum       BLOB    NOT NULL
) STRICT;
