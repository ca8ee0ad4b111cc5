"""Model versions: what training made and releases are made of."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from coordinator.audit import record
from coordinator.audit.actor import current, moment
from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.store.blobs import FolderBlobs
from coordinator.store.database import Database
from coordinator.store.tables import models
from protocols.manifest import ReleaseManifest, parse_release_name


class Models:
    """Model versions in the store."""

    def __init__(self, database: Database, home: Home) -> None:
        self._database = database
        self._artifacts = FolderBlobs(home.artifacts)

    async def next_version(self, name: str) -> int:
        """The version that a new training of this model gets."""
        async with self._database.read() as connection:
            newest = await connection.scalar(select(func.max(models.c.version)).where(models.c.name == name))
        return int(newest or 0) + 1

    async def add(self, manifest: ReleaseManifest, training: dict[str, Any], act: str = "model.train") -> None:
        """Record a version; its artifacts are stored already. ``act`` is how it was made."""
        sha256 = self._artifacts.put(manifest.to_bytes())
        async with self._database.begin() as connection:
            await connection.execute(
                models.insert().values(
                    name=manifest.model,
                    version=manifest.version,
                    disease=manifest.disease,
                    dataset=training["dataset"],
                    manifest=sha256,
                    created=manifest.created,
                    training=training,
                )
            )
            told = {"dataset": training["dataset"], "disease": manifest.disease, "manifest": sha256}
            await record(connection, current.get(), act, manifest.name, told, moment())

    async def row(self, name: str) -> Any:
        """The row of ``model`` (newest) or ``model@version``.

        Raises:
            CoordinatorError: ``model.unknown``.
        """
        model, version = parse_release_name(name)
        query = select(models).where(models.c.name == model).order_by(models.c.version.desc()).limit(1)
        if version is not None:
            query = query.where(models.c.version == version)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise CoordinatorError("model.unknown", name=name)
        return row

    async def manifest(self, name: str) -> ReleaseManifest:
        """The candidate's manifest."""
        return self.read_manifest((await self.row(name)).manifest)

    def read_manifest(self, sha256: str) -> ReleaseManifest:
        """A stored manifest by digest."""
        return ReleaseManifest.from_bytes(self._artifacts.path(sha256).read_bytes())

    async def show(self, name: str) -> dict[str, Any]:
        """What training printed for a version."""
        row = await self.row(name)
        return {"created": row.created, "disease": row.disease, "manifest": row.manifest, **row.training}

    async def list(self) -> list[dict[str, Any]]:
        """All versions, newest first within a model."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(models).order_by(models.c.name, models.c.version.desc()))
            return [
                {
                    "model": r.name,
                    "version": r.version,
                    "disease": r.disease,
                    "dataset": r.dataset,
                    "created": r.created,
                    "balanced_accuracy": r.training["metrics"].get("balanced_accuracy"),
                }
                for r in rows
            ]
