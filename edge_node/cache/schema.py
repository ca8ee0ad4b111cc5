"""The index of the cache in SQL. A migration is appended, never edited."""

from __future__ import annotations

APPLICATION_ID = 0x4D4D4544  # "MMED"

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE release (
            number INTEGER PRIMARY KEY,
            disease TEXT NOT NULL,
            model TEXT NOT NULL,
            version INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('active', 'previous')),
            installed TEXT NOT NULL,
            UNIQUE (disease, model, state),
            UNIQUE (disease, model, version)
        ) STRICT""",
        """CREATE TABLE need (
            release INTEGER NOT NULL REFERENCES release (number) ON DELETE CASCADE,
            place INTEGER NOT NULL,
            role TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            size INTEGER NOT NULL,
            PRIMARY KEY (release, place)
        ) STRICT""",
        "CREATE INDEX need_by_artifact ON need (sha256)",
        "CREATE TABLE stamp (sha256 TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL) STRICT",
        "CREATE TABLE note (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    ),
    (
        """CREATE TABLE trust (
            coordinator TEXT PRIMARY KEY,
            document BLOB NOT NULL,
            serial INTEGER NOT NULL,
            rollout_keys TEXT NOT NULL,
            timestamp_keys TEXT NOT NULL,
            time_floor TEXT NOT NULL,
            verified TEXT NOT NULL,
            revoked TEXT NOT NULL,
            knowledge TEXT
        ) STRICT""",
        """CREATE TABLE listed (
            coordinator TEXT NOT NULL,
            disease TEXT NOT NULL,
            model TEXT NOT NULL,
            version INTEGER NOT NULL,
            signer TEXT NOT NULL,
            files TEXT NOT NULL,
            PRIMARY KEY (coordinator, disease, model, version)
        ) STRICT""",
        """CREATE TABLE version_floor (
            coordinator TEXT NOT NULL,
            disease TEXT NOT NULL,
            model TEXT NOT NULL,
            version INTEGER NOT NULL,
            PRIMARY KEY (coordinator, disease, model)
        ) STRICT""",
        """CREATE TABLE event (
            number INTEGER PRIMARY KEY,
            code TEXT NOT NULL,
            subject TEXT NOT NULL,
            message TEXT NOT NULL,
            first TEXT NOT NULL,
            last TEXT NOT NULL,
            count INTEGER NOT NULL,
            UNIQUE (code, subject)
        ) STRICT""",
    ),
    (
        """CREATE TABLE quarantine (
            disease TEXT NOT NULL,
            model TEXT NOT NULL,
            version INTEGER NOT NULL,
            code TEXT NOT NULL,
            since TEXT NOT NULL,
            PRIMARY KEY (disease, model, version)
        ) STRICT""",
    ),
    (
        "ALTER TABLE need ADD COLUMN chunks TEXT",
        """CREATE TABLE traffic (
            month TEXT NOT NULL,
            kind TEXT NOT NULL,
            bytes INTEGER NOT NULL,
            PRIMARY KEY (month, kind)
        ) STRICT""",
        "CREATE TABLE pin (disease TEXT NOT NULL, model TEXT NOT NULL, PRIMARY KEY (disease, model)) STRICT",
        """CREATE TABLE used (
            disease TEXT NOT NULL,
            model TEXT NOT NULL,
            version INTEGER NOT NULL,
            last TEXT NOT NULL,
            PRIMARY KEY (disease, model, version)
        ) STRICT""",
    ),
    (  # for heartbeats: counts since activation
        """CREATE TABLE health (
            disease TEXT NOT NULL,
            model TEXT NOT NULL,
            version INTEGER NOT NULL,
            since TEXT NOT NULL,
            self_test TEXT NOT NULL CHECK (self_test IN ('passed', 'refused', 'none')),
            failures INTEGER NOT NULL DEFAULT 0,
            recognised INTEGER NOT NULL DEFAULT 0,
            unsure INTEGER NOT NULL DEFAULT 0,
            not_this_kind_of_image INTEGER NOT NULL DEFAULT 0,
            poor_quality INTEGER NOT NULL DEFAULT 0,
            confirmed INTEGER NOT NULL DEFAULT 0,
            agreed INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (disease, model, version)
        ) STRICT""",
        """INSERT INTO health (disease, model, version, since, self_test)
        SELECT disease, model, version, installed, 'passed' FROM release""",
    ),
    (
        """CREATE TABLE acceptance (
            disease TEXT NOT NULL,
            model TEXT NOT NULL,
            version INTEGER NOT NULL,
            declined INTEGER NOT NULL,
            reason TEXT NOT NULL,
            words TEXT NOT NULL,
            against INTEGER NOT NULL,
            figures TEXT,
            data TEXT NOT NULL,
            judged TEXT NOT NULL,
            files TEXT NOT NULL,
            PRIMARY KEY (disease, model, version)
        ) STRICT""",
    ),
)
