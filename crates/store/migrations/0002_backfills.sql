-- A backfill: one pass over an archive by one or several projects.
CREATE TABLE backfills (
    id          INTEGER PRIMARY KEY,
    archive     TEXT NOT NULL,
    key         TEXT NOT NULL,               -- digest of what decides what it leaves
    plan        TEXT NOT NULL,               -- JSON, written and read by the crate backfill
    state       TEXT NOT NULL CHECK (state IN ('running', 'paused', 'failed', 'cancelled', 'done', 'live', 'superseded')),
    wanted      TEXT CHECK (wanted IN ('pause', 'cancel')),
    error       TEXT,
    created_at  INTEGER NOT NULL,            -- milliseconds since 1970, UTC
    updated_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX backfills_by_archive ON backfills (archive, id);

-- The chunks that are done. What is not here is to be done.
CREATE TABLE backfill_chunks (
    backfill     INTEGER NOT NULL REFERENCES backfills (id),
    chunk        INTEGER NOT NULL,
    counts       TEXT NOT NULL,              -- JSON, by project
    seconds      REAL NOT NULL,
    finished_at  INTEGER NOT NULL,
    PRIMARY KEY (backfill, chunk)
) STRICT, WITHOUT ROWID;
