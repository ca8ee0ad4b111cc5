"""The releases on this machine, what each needs, and which do not run here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from edge_node.cache.health import Health
from protocols.artifacts import Artifact


@dataclass(frozen=True)
class InstalledRelease:
    """A release on this machine. ``files`` starts with the manifest."""

    disease: str
    model: str
    version: int
    active: bool
    installed: datetime
    files: tuple[Artifact, ...]

    @property
    def name(self) -> str:
        """``model@version``."""
        return f"{self.model}@{self.version}"

    @property
    def manifest(self) -> Artifact:
        """The manifest's artifact."""
        return self.files[0]


@dataclass(frozen=True)
class Quarantined:
    """A release that must not run here, and the code of what it did."""

    disease: str
    model: str
    version: int
    code: str
    since: datetime

    @property
    def name(self) -> str:
        """``model@version``."""
        return f"{self.model}@{self.version}"


@dataclass(frozen=True)
class Floor:
    """From now on, no lower version of the activated model may be chosen."""

    coordinator: str
    version: int


class Releases(Health):
    """Installed releases and the quarantine."""

    async def installed(self) -> list[InstalledRelease]:
        """Every release on this machine, the active one of a model before its previous one."""
        needs: dict[int, list[Artifact]] = {}
        for release, *artifact in await self._file.rows(
            "SELECT release, role, sha256, size, chunks FROM need ORDER BY release, place"
        ):
            needs.setdefault(release, []).append(Artifact(*artifact))
        rows = await self._file.rows(
            "SELECT number, disease, model, version, state, installed FROM release ORDER BY disease, model, state"
        )
        return [
            InstalledRelease(
                disease, model, version, state == "active", datetime.fromisoformat(installed), tuple(needs[number])
            )
            for number, disease, model, version, state, installed in rows
        ]

    async def activate(
        self,
        disease: str,
        model: str,
        version: int,
        files: Sequence[Artifact],
        now: datetime,
        floor: Floor | None = None,
    ) -> None:
        """Make a version the active one of its model; the one before becomes the previous one, older ones go.

        Versions below it leave the quarantine, and what this site decided about them is past.
        """
        key = (disease, model)
        async with self._file.transaction():
            for table in ("quarantine", "acceptance"):
                await self._file.run(
                    f"DELETE FROM {table} WHERE disease = ? AND model = ? AND version < ?", (*key, version)
                )
            await self._file.run("DELETE FROM release WHERE disease = ? AND model = ? AND version = ?", (*key, version))
            if await self._file.rows("SELECT 1 FROM release WHERE disease = ? AND model = ? AND state = 'active'", key):
                await self._file.run("DELETE FROM release WHERE disease = ? AND model = ? AND state = 'previous'", key)
            await self._file.run(
                "UPDATE release SET state = 'previous' WHERE disease = ? AND model = ? AND state = 'active'", key
            )
            await self._file.run(
                "INSERT INTO release (disease, model, version, state, installed) VALUES (?, ?, ?, 'active', ?)",
                (*key, version, now.isoformat(timespec="seconds")),
            )
            ((number,),) = await self._file.rows("SELECT last_insert_rowid()")
            await self._file.run_many(
                "INSERT INTO need VALUES (?, ?, ?, ?, ?, ?)",
                [(number, place, a.role, a.sha256, a.size_bytes, a.chunks) for place, a in enumerate(files)],
            )
            await self.begin_health(*key, version, now)
            if floor is not None:
                await self._file.run(
                    """INSERT INTO version_floor VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
                    SET version = max(version, excluded.version)""",
                    (floor.coordinator, *key, floor.version),
                )

    async def floors(self, coordinator: str) -> dict[tuple[str, str], int]:
        """The lowest version that may be chosen, by (disease, model)."""
        rows = await self._file.rows(
            "SELECT disease, model, version FROM version_floor WHERE coordinator = ?", (coordinator,)
        )
        return {(disease, model): version for disease, model, version in rows}

    async def quarantine(
        self, disease: str, model: str, version: int, code: str, now: datetime, *, go_back: bool
    ) -> None:
        """Put a release into quarantine; with ``go_back`` the previous one becomes active if this one was."""
        key = (disease, model, version)
        async with self._file.transaction():
            await self._file.run(
                "INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?, ?)",
                (*key, code, now.isoformat(timespec="seconds")),
            )
            if go_back and await self._is_in_state(*key, "active"):
                await self._exchange(disease, model)

    async def unquarantine(self, disease: str, model: str, version: int) -> None:
        """Let a release run again; where the version before it stands in, it becomes active again."""
        key = (disease, model, version)
        async with self._file.transaction():
            await self._file.run("DELETE FROM quarantine WHERE disease = ? AND model = ? AND version = ?", key)
            active = await self._file.rows(
                "SELECT version FROM release WHERE disease = ? AND model = ? AND state = 'active'", (disease, model)
            )
            if active and active[0][0] < version and await self._is_in_state(*key, "previous"):
                await self._exchange(disease, model)

    async def quarantined(self) -> list[Quarantined]:
        """Releases that must not run here."""
        rows = await self._file.rows(
            "SELECT disease, model, version, code, since FROM quarantine ORDER BY model, version"
        )
        return [
            Quarantined(disease, model, version, code, datetime.fromisoformat(since))
            for disease, model, version, code, since in rows
        ]

    async def _is_in_state(self, disease: str, model: str, version: int, state: str) -> bool:
        sql = "SELECT 1 FROM release WHERE disease = ? AND model = ? AND version = ? AND state = ?"
        return bool(await self._file.rows(sql, (disease, model, version, state)))

    async def _exchange(self, disease: str, model: str) -> None:
        """Make the previous version of a model the active one and the other way round, if it has both."""
        key = (disease, model)
        rows = await self._file.rows("SELECT state, number FROM release WHERE disease = ? AND model = ?", key)
        number = dict(rows)
        if len(number) == 2:
            # A state may stand once only: under a name that no model has, the previous version passes the active one.
            sql = "UPDATE release SET state = ?, model = ? WHERE number = ?"
            await self._file.run(sql, ("active", f"{model}/", number["previous"]))
            await self._file.run(sql, ("previous", model, number["active"]))
            await self._file.run(sql, ("active", model, number["previous"]))

    async def remove(self, disease: str, model: str) -> None:
        """Forget both versions of a model, and that it was pinned or used."""
        async with self._file.transaction():
            for table in ("release", "pin", "used", "health", "acceptance"):
                await self._file.run(f"DELETE FROM {table} WHERE disease = ? AND model = ?", (disease, model))

    async def remove_version(self, disease: str, model: str, version: int) -> None:
        """Forget one version of a model."""
        async with self._file.transaction():
            await self._file.run(
                "DELETE FROM release WHERE disease = ? AND model = ? AND version = ?", (disease, model, version)
            )

    async def needed(self) -> set[str]:
        """Digests of every artifact that an installed release needs, and of their chunk lists."""
        rows = await self._file.rows("SELECT sha256 FROM need UNION SELECT chunks FROM need WHERE chunks IS NOT NULL")
        return {row[0] for row in rows}
