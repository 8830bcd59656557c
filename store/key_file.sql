-- The tables of a key file, format 1.

-- name: mark_as_ours
-- 1413565515 is "TALK": not a log, and not to be taken for one.
PRAGMA application_id = 1413565515;
PRAGMA user_version = 1;

-- name: key
-- Rows are appended, overwritten in place with as many zeros, and never deleted: so a key is never moved, and stands in one place only.
CREATE TABLE key (
    slot    INTEGER PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;

-- name: subject
-- The way to a person's key; no slot: forgotten.
CREATE TABLE subject (
    subject TEXT PRIMARY KEY,
    slot    INTEGER
) STRICT, WITHOUT ROWID;

-- name: meta
-- One row: what the host's master key makes of a known value, NULL where there is no master key.
CREATE TABLE meta (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    master BLOB
) STRICT;
