"""The SQLite schema and its migrations. ``PRAGMA user_version`` counts those applied.

The canonical document of an entry is the truth; every other table and the full-text index follow from it. The
views show the documents as relations for reports.
"""

from __future__ import annotations

APPLICATION_ID = 0x4D4D4B42  # "MMKB": tells a knowledge base from any other SQLite file

_FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entry (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    review_status TEXT NOT NULL,
    urgency TEXT NOT NULL,
    name_zh TEXT NOT NULL,
    name_en TEXT NOT NULL,
    codes TEXT NOT NULL,          -- JSON, for result lists
    digest TEXT NOT NULL,         -- SHA-256 of the document
    seed_digest TEXT,             -- digest of the packaged entry that it was built from; equal to digest while unedited
    document TEXT NOT NULL        -- canonical JSON
);
CREATE TABLE term (
    normal TEXT NOT NULL,
    source TEXT NOT NULL,         -- name | synonym | label
    entry INTEGER NOT NULL REFERENCES entry (number) ON DELETE CASCADE
);
CREATE INDEX term_by_normal ON term (normal);
CREATE INDEX term_by_entry ON term (entry);
CREATE TABLE code (
    normal TEXT NOT NULL,
    system TEXT NOT NULL,
    match TEXT NOT NULL,
    entry INTEGER NOT NULL REFERENCES entry (number) ON DELETE CASCADE
);
CREATE INDEX code_by_normal ON code (normal);
CREATE INDEX code_by_entry ON code (entry);
CREATE VIRTUAL TABLE word USING fts5 (name, synonym, sign, body, tokenize = 'unicode61 remove_diacritics 2');
INSERT INTO word (word, rank) VALUES ('rank', 'bm25(10.0, 6.0, 2.0, 1.0)');
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (word, 'row');
CREATE VIEW entry_text AS
    SELECT entry.id AS entry, item.key AS position, json_extract(item.value, '$.field') AS field,
        json_extract(item.value, '$.zh') AS zh, json_extract(item.value, '$.en') AS en,
        json_extract(item.value, '$.cite') AS cite, json_extract(item.value, '$.evidence') AS evidence,
        json_extract(item.value, '$.translation') AS translation, entry.review_status AS review_status
    FROM entry, json_each(entry.document, '$.texts') AS item;
CREATE VIEW entry_citation AS
    SELECT entry.id AS entry, item.key AS key, json_extract(item.value, '$.title') AS title,
        json_extract(item.value, '$.publisher') AS publisher, json_extract(item.value, '$.year') AS year,
        json_extract(item.value, '$.kind') AS kind
    FROM entry, json_each(entry.document, '$.citations') AS item;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST,)
