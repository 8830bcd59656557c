-- What a log gets when some of its records are archived for the first time: it has format 4 from then on.

-- name: mark_as_archived
PRAGMA user_version = 4;

-- name: archive
-- The catalogue: a row for each archive, a file beside the log. `name` is what its path has after the log's; `checksum` is that of its footer,
-- which has those of all its blocks, so that no other file can stand in for it. Its records at positions up to `gone` are not in `event`
-- any more; those after it are in both, and the ones in `event` count. Only of the newest archive can there be such.
CREATE TABLE archive (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL,
    first      INTEGER NOT NULL,
    last       INTEGER NOT NULL,
    records    INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    checksum   BLOB    NOT NULL,
    gone       INTEGER NOT NULL
) STRICT;
