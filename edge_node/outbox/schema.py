"""The history in SQL. A migration is appended, never edited.

In the clear stand ids, times and whether a record was sent; everything that is said about a picture is sealed.
"""

from __future__ import annotations

APPLICATION_ID = 0x4D4D4F42  # "MMOB"

# number: the order in which records were made and are sent, a result before its confirmations.
# coordinator: the CA fingerprint of the one that the record is for; null: the first one that the node joins.
# refused: the code with which the coordinator, or this program, turned the record down.
# The long columns stand last, so that counting reads none of their pages.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE record (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            result TEXT REFERENCES record (id) ON DELETE CASCADE,
            revision INTEGER NOT NULL,
            made TEXT NOT NULL,
            coordinator TEXT,
            acknowledged TEXT,
            refused TEXT,
            brief BLOB NOT NULL,
            detail BLOB,
            UNIQUE (result, revision)
        ) STRICT""",
        "CREATE INDEX waiting ON record (number) WHERE acknowledged IS NULL",
        "CREATE TABLE note (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    ),
    (  # copies of pictures; one may be what several results are about
        "CREATE TABLE picture (id TEXT PRIMARY KEY, size INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT",
        """CREATE TABLE shown (
            result TEXT PRIMARY KEY REFERENCES record (id) ON DELETE CASCADE,
            picture TEXT NOT NULL REFERENCES picture (id) ON DELETE CASCADE
        ) STRICT""",
        "CREATE INDEX shown_in ON shown (picture)",
        """CREATE TRIGGER unshown AFTER DELETE ON shown BEGIN
            DELETE FROM picture WHERE id = OLD.picture AND NOT EXISTS (SELECT 1 FROM shown WHERE picture = OLD.picture);
        END""",
    ),
)
