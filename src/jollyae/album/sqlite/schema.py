"""What is in the file, and how an older file becomes one of today.

- ``document``: one row for each document, with the number of its last change and its winning leaf. ``leaf``: its
  leaves; one leaf is one row, which an edit replaces. Old revisions are names in its ``path`` and nothing else.
- ``blob``: the bytes of renditions, each once; ``rendition``: which leaf has which.
- ``photo`` and ``tag``: what lists need of the winners that are photos, and their keywords, in the order of lists.
  A tag's ``level`` says who may know that the photo has this keyword.
- ``tally``: how many photos there are of each keyword, camera and month, by level; kept by triggers, so it is right
  whenever the others are.
- ``own``: this server's, never replicated.
"""

import sqlite3
from collections.abc import Iterator

APPLICATION_ID = 0x6A6F6C79
"""Marks the file as an album, for :mod:`.connections` and file(1): 'joly'."""

_FIRST = """
CREATE TABLE own (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE document (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    seq INTEGER NOT NULL UNIQUE,
    winner INTEGER,
    leaves INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX document_in_conflict ON document (id) WHERE leaves > 1;

CREATE TABLE leaf (
    key INTEGER PRIMARY KEY,
    document INTEGER NOT NULL REFERENCES document (key),
    rev TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    path TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX leaf_of_document ON leaf (document);

CREATE TABLE blob (
    key INTEGER PRIMARY KEY,
    digest TEXT NOT NULL,
    mime TEXT NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (digest, mime)
);

CREATE TABLE rendition (
    leaf INTEGER NOT NULL REFERENCES leaf (key),
    name TEXT NOT NULL,
    blob INTEGER NOT NULL REFERENCES blob (key),
    PRIMARY KEY (leaf, name)
) WITHOUT ROWID;
CREATE INDEX rendition_of_blob ON rendition (blob);

CREATE TABLE photo (
    document INTEGER PRIMARY KEY REFERENCES document (key),
    id TEXT NOT NULL,
    level INTEGER NOT NULL,
    taken TEXT NOT NULL,
    added TEXT NOT NULL,
    camera TEXT NOT NULL,
    month TEXT NOT NULL,
    title TEXT NOT NULL,
    cat TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    rotate INTEGER NOT NULL,
    kind TEXT NOT NULL,
    has_renditions INTEGER NOT NULL
);
CREATE INDEX photo_id ON photo (id);
CREATE INDEX photo_taken ON photo (taken DESC, id);
CREATE INDEX photo_taken_1 ON photo (taken DESC, id) WHERE level <= 1;
CREATE INDEX photo_taken_0 ON photo (taken DESC, id) WHERE level <= 0;
CREATE INDEX photo_added ON photo (added DESC, id);
CREATE INDEX photo_added_1 ON photo (added DESC, id) WHERE level <= 1;
CREATE INDEX photo_added_0 ON photo (added DESC, id) WHERE level <= 0;
CREATE INDEX photo_camera_taken ON photo (camera, taken DESC, id, level);
CREATE INDEX photo_camera_added ON photo (camera, added DESC, id, level);

CREATE TABLE tag (
    document INTEGER NOT NULL REFERENCES photo (document) ON DELETE CASCADE,
    keyword TEXT NOT NULL,
    level INTEGER NOT NULL,
    taken TEXT NOT NULL,
    added TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (document, keyword)
) WITHOUT ROWID;
CREATE INDEX tag_taken ON tag (keyword, taken DESC, id, level);
CREATE INDEX tag_added ON tag (keyword, added DESC, id, level);

CREATE TABLE tally (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    level INTEGER NOT NULL,
    photos INTEGER NOT NULL,
    PRIMARY KEY (kind, name, level)
) WITHOUT ROWID;

CREATE TRIGGER tag_comes AFTER INSERT ON tag BEGIN
    INSERT INTO tally VALUES ('keyword', new.keyword, new.level, 1)
        ON CONFLICT DO UPDATE SET photos = photos + 1;
END;
CREATE TRIGGER tag_goes AFTER DELETE ON tag BEGIN
    UPDATE tally SET photos = photos - 1 WHERE kind = 'keyword' AND name = old.keyword AND level = old.level;
    DELETE FROM tally WHERE kind = 'keyword' AND name = old.keyword AND level = old.level AND photos = 0;
END;
CREATE TRIGGER photo_comes AFTER INSERT ON photo BEGIN
    INSERT INTO tally
        VALUES ('photo', '', new.level, 1), ('camera', new.camera, new.level, 1), ('month', new.month, new.level, 1)
        ON CONFLICT DO UPDATE SET photos = photos + 1;
END;
CREATE TRIGGER photo_goes AFTER DELETE ON photo BEGIN
    UPDATE tally SET photos = photos - 1 WHERE kind = 'photo' AND name = '' AND level = old.level;
    UPDATE tally SET photos = photos - 1 WHERE kind = 'camera' AND name = old.camera AND level = old.level;
    UPDATE tally SET photos = photos - 1 WHERE kind = 'month' AND name = old.month AND level = old.level;
    DELETE FROM tally WHERE kind = 'camera' AND name = old.camera AND level = old.level AND photos = 0;
    DELETE FROM tally WHERE kind = 'month' AND name = old.month AND level = old.level AND photos = 0;
END;
"""

MIGRATIONS = (_FIRST,)
"""Each makes of a file of one version the next one; never changed once it was released. The version is in
``user_version``."""


def migrate(db: sqlite3.Connection) -> None:
    """Bring the file to today's version, within the transaction that is open."""
    [version] = db.execute("PRAGMA user_version").fetchone()
    for script in MIGRATIONS[version:]:
        for statement in statements(script):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def statements(script: str) -> Iterator[str]:
    """The statements of a script, each by itself: ``executescript`` would commit first."""
    found = ""
    for line in script.splitlines(keepends=True):
        found += line
        if sqlite3.complete_statement(found):
            yield found
            found = ""
