"""The tables, and what makes a file one of ours.

    sessions    one row a session, as queries answer it; JSON where a value is more than a text
    labels      one row a session's label, with the columns lists are filtered and sorted by
    counts      how many sessions of a pipeline have a status, where there are any. Triggers keep it: whatever changes
                `sessions`, these are right
    snapshots   the folded state of each session at its row's version
    marks       where every so many-th event of a session is in the stream, to page through long histories; not the
                first one, for a server that is asked for a subject's first message needs no look at other ones
    checkpoint  one row: the stream, and the last sequence whose event is in the tables above
    meta        which release's tables and fold these are

The file's `user_version` is a number by chance for every making of the tables: a rebuild shows by it.

Everything but the checkpoint and that number follows from the events alone, so that a rebuild gives equal rows.
"""

from __future__ import annotations

from stageflow_es.session import HISTORY_VERSION
from stageflow_es.session.fold import EVOLVE_VERSION

SCHEMA_VERSION = 4
"""Raised when tables or the meaning of a column change."""

META = {
    "stageflow_projection": "1",
    "schema": str(SCHEMA_VERSION),
    "evolve": str(EVOLVE_VERSION),
    "history": str(HISTORY_VERSION),
}

MARK_EVERY = 512
"""Events of a session between two marks."""

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE checkpoint (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    stream_created TEXT NOT NULL,
    seq INTEGER NOT NULL
);
INSERT INTO checkpoint VALUES (1, '', 0);

CREATE TABLE sessions (
    session TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    pipeline TEXT,
    digest TEXT NOT NULL,
    version INTEGER NOT NULL,
    nodes TEXT NOT NULL,
    waiting_for TEXT NOT NULL,
    result TEXT,
    artifacts TEXT,
    error TEXT,
    labels TEXT NOT NULL,
    started_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    finished_at TEXT,
    head TEXT NOT NULL,
    seq INTEGER NOT NULL
);

CREATE TABLE labels (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    started_at TEXT NOT NULL,
    session TEXT NOT NULL,
    status TEXT NOT NULL,
    pipeline TEXT,
    PRIMARY KEY (name, value, started_at, session)
) WITHOUT ROWID;

CREATE TABLE counts (
    pipeline TEXT NOT NULL,  -- empty where a session's has no name
    status TEXT NOT NULL,
    sessions INTEGER NOT NULL,
    PRIMARY KEY (pipeline, status)
) WITHOUT ROWID;

CREATE TABLE snapshots (session TEXT PRIMARY KEY, version INTEGER NOT NULL, state BLOB NOT NULL);

CREATE TABLE marks (
    session TEXT NOT NULL,
    n INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (session, n)
) WITHOUT ROWID;
"""

# Whatever lists are filtered by, alone or together, an index begins with it and goes on in the list's order. Only of a
# label and one version of a pipeline, the label's sessions of all versions are looked at.
INDEXES = """
CREATE INDEX sessions_by_time ON sessions (started_at, session);
CREATE INDEX sessions_by_status ON sessions (status, started_at, session);
CREATE INDEX sessions_by_pipeline ON sessions (pipeline, started_at, session);
CREATE INDEX sessions_by_pipeline_and_status ON sessions (pipeline, status, started_at, session);
CREATE INDEX sessions_by_version ON sessions (pipeline, digest, started_at, session);
CREATE INDEX sessions_by_version_and_status ON sessions (pipeline, digest, status, started_at, session);
CREATE INDEX labels_by_status ON labels (name, value, status, started_at, session);
CREATE INDEX labels_by_pipeline ON labels (name, value, pipeline, started_at, session);
CREATE INDEX labels_by_pipeline_and_status ON labels (name, value, pipeline, status, started_at, session);
"""

# Counting over an index instead takes 15 ms with 100,000 sessions and 150 ms with a million, and nothing else is
# answered meanwhile; the triggers take 2 us for each row.
_ONE_MORE = """
    INSERT INTO counts VALUES (ifnull(new.pipeline, ''), new.status, 1)
        ON CONFLICT DO UPDATE SET sessions = sessions + 1;
"""
_ONE_LESS = """
    UPDATE counts SET sessions = sessions - 1 WHERE (pipeline, status) = (ifnull(old.pipeline, ''), old.status);
"""

TRIGGERS = (
    f"CREATE TRIGGER session_began AFTER INSERT ON sessions BEGIN {_ONE_MORE} END",
    f"CREATE TRIGGER session_forgotten AFTER DELETE ON sessions BEGIN {_ONE_LESS} END",
    "CREATE TRIGGER session_moved AFTER UPDATE OF status, pipeline ON sessions "
    f"WHEN (old.status, old.pipeline) IS NOT (new.status, new.pipeline) BEGIN {_ONE_LESS} {_ONE_MORE} END",
    "CREATE TRIGGER count_emptied AFTER UPDATE ON counts WHEN new.sessions = 0 "
    "BEGIN DELETE FROM counts WHERE (pipeline, status) = (new.pipeline, new.status); END",
)
