-- The tables of a SQLite log, format 3. Each block has a name, and says what it is for.
-- The columns of `event` are the fields of the envelope (domain/envelope.py), in its order: the code takes their names from there. An event's
-- id is none of them: it is derived from position, time and the log's identity.

-- name: mark_as_ours
-- Stands in the file's first 100 bytes, so that a foreign file is told from a log, and a log's format is known, before anything is opened.
-- 1413565529 is "TALY". The format is `user_version`.
PRAGMA application_id = 1413565529;
PRAGMA user_version = 3;

-- name: event
-- The log itself. One B-tree in the order of positions: appending touches its last page only.
CREATE TABLE event (
    position          INTEGER PRIMARY KEY,
    event_type        TEXT    NOT NULL,
    schema_version    INTEGER NOT NULL,
    aggregate_type    TEXT    NOT NULL,
    aggregate_id      TEXT    NOT NULL,
    aggregate_version INTEGER NOT NULL,
    occurred_at_us    INTEGER NOT NULL,
    owner             TEXT    NOT NULL,
    correlation       TEXT    NOT NULL,
    payload           BLOB    NOT NULL,
    token             TEXT,
    settles           TEXT,
    causation         INTEGER,
    seen              INTEGER,
    tags_json         TEXT,
    hash              BLOB    NOT NULL
) STRICT;

-- name: event_stream
-- One event per version of an aggregate, and the way to an aggregate's events. The id comes first: it parts better than the type,
-- and a look-up by id alone is served too.
CREATE UNIQUE INDEX event_stream ON event (aggregate_id, aggregate_type, aggregate_version);

-- name: event_settlement
-- S1 in the schema: one settlement per token. Partial, so that an event that settles nothing costs nothing.
CREATE UNIQUE INDEX event_settlement ON event (token) WHERE settles IS NOT NULL;

-- name: correlation
-- The way to a correlation's events, filled in sorted batches well behind the log's end (meta.correlated says how far): a third index
-- kept with every row would cost each of them 1-3 microseconds.
CREATE TABLE correlation (
    correlation TEXT    NOT NULL,
    position    INTEGER NOT NULL,
    PRIMARY KEY (correlation, position)
) STRICT, WITHOUT ROWID;

-- name: snapshot
-- Owners' states. `hash` is that of the record at `position`; `checksum` covers the row, since a damaged body would be folded upon.
CREATE TABLE snapshot (
    owner    TEXT    NOT NULL,
    position INTEGER NOT NULL,
    hash     BLOB    NOT NULL,
    format   INTEGER NOT NULL,
    body     BLOB    NOT NULL,
    checksum BLOB    NOT NULL,
    PRIMARY KEY (owner, position)
) STRICT;

-- name: meta
-- One row: the log's own id, how often it was opened for writing (P22), and up to which position `correlation` is filled.
CREATE TABLE meta (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    identity   TEXT    NOT NULL,
    epoch      INTEGER NOT NULL,
    correlated INTEGER NOT NULL
) STRICT;

-- name: first_meta
INSERT INTO meta (id, identity, epoch, correlated) VALUES (1, lower(hex(randomblob(16))), 0, 0);
