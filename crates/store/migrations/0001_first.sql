CREATE TABLE runs (
    id            INTEGER PRIMARY KEY,
    project       TEXT NOT NULL,
    step          TEXT NOT NULL,
    unit          TEXT NOT NULL,             -- the target of a compile, else empty
    key           TEXT NOT NULL,             -- digest of key_document
    key_document  TEXT NOT NULL,             -- what decides whether the step is fresh
    status        TEXT NOT NULL CHECK (status IN ('running', 'succeeded', 'failed', 'refused', 'interrupted')),
    started_at    INTEGER NOT NULL,          -- milliseconds since 1970, UTC
    finished_at   INTEGER,
    output        TEXT,                      -- digest of the artifact
    report        TEXT NOT NULL DEFAULT 'null',
    error         TEXT
) STRICT;
CREATE INDEX runs_by_key ON runs (key, status);
CREATE INDEX runs_by_step ON runs (project, step, unit, id);

CREATE TABLE artifacts (
    digest      TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    project     TEXT NOT NULL,
    size        INTEGER NOT NULL,            -- bytes
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE lineage (
    artifact  TEXT NOT NULL,
    role      TEXT NOT NULL,                 -- source, dataset, model
    input     TEXT NOT NULL,
    PRIMARY KEY (artifact, role)
) STRICT, WITHOUT ROWID;
CREATE INDEX lineage_by_input ON lineage (input);

CREATE TABLE versions (
    project     TEXT NOT NULL,
    version     INTEGER NOT NULL CHECK (version >= 1),
    model       TEXT NOT NULL,               -- digest of the model artifact
    summary     TEXT NOT NULL,               -- headline metrics
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (project, version),
    UNIQUE (project, model)
) STRICT, WITHOUT ROWID;

CREATE TABLE compiled (
    project     TEXT NOT NULL,
    version     INTEGER NOT NULL,
    target      TEXT NOT NULL,
    digest      TEXT NOT NULL,
    report      TEXT NOT NULL,               -- speed on the machine that compiled
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (project, version, target),
    FOREIGN KEY (project, version) REFERENCES versions (project, version)
) STRICT, WITHOUT ROWID;

-- The newest row of an alias is where it points; older rows are the way back.
CREATE TABLE alias_moves (
    id       INTEGER PRIMARY KEY,
    project  TEXT NOT NULL,
    alias    TEXT NOT NULL,
    version  INTEGER NOT NULL,
    undone   INTEGER NOT NULL DEFAULT 0,     -- 1 once rolled back
    moved_at INTEGER NOT NULL,
    FOREIGN KEY (project, version) REFERENCES versions (project, version)
) STRICT;
CREATE INDEX alias_moves_by_alias ON alias_moves (project, alias, undone, id);
