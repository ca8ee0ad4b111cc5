"""Data sets: importing, listing, labelling and removing them."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from coordinator.audit import record
from coordinator.audit.actor import current, moment
from coordinator.audit.acts import some
from coordinator.engine import Engine
from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.intake import images, shortcuts
from coordinator.intake.cleaning import FEW_IMAGES, IMBALANCE, Report, clean, warning
from coordinator.intake.disputes import disputed
from coordinator.intake.groups import read_groups
from coordinator.intake.journal import Journal
from coordinator.intake.limits import Limits
from coordinator.intake.rows import dataset_row, guess_labels, insert_samples, insert_waiting, read_samples
from coordinator.intake.samples import Sample
from coordinator.intake.source import Member, open_training_set
from coordinator.intake.spool import Spool, fsync_folders, holding_images, move, open_spool, patient_salt, stored
from coordinator.store.blobs import FolderBlobs
from coordinator.store.database import Database
from coordinator.store.tables import datasets, labels, models, quarantine, sample_facts, samples
from coordinator.training import oof
from coordinator.training.features import FeatureCache
from coordinator.training.ladder import work
from coordinator.training.spatial.maps import MapCache
from protocols.imaging import MIN_EDGE_PX, PREPARE_VERSION
from protocols.manifest import SLUG

if TYPE_CHECKING:
    from disease_kb.store import KnowledgeBase

__all__ = ["FEW_IMAGES", "IMBALANCE", "Datasets", "ImportOptions", "Report", "Sample"]


@dataclass(frozen=True)
class ImportOptions:
    """How a training set is to be read.

    Attributes:
        keep_originals: keep the files themselves too, de-identified.
    """

    disease: str
    name: str
    groups_csv: Path | None = None
    merge_classes: bool = False
    first_frame: bool = False
    min_edge_px: int = MIN_EDGE_PX
    keep_originals: bool = False


class Datasets:
    """Data sets in the store. Blocking work runs in threads and the engine's processes."""

    def __init__(self, database: Database, home: Home, engine: Engine, limits: Limits | None = None) -> None:
        self._database = database
        self._home = home
        self._engine = engine
        self._limits = limits or Limits()

    async def add(
        self,
        source: Path,
        options: ImportOptions,
        knowledge: KnowledgeBase,
        now: datetime,
        progress: Callable[[int, int], None],
    ) -> dict[str, Any]:
        """Import a folder or zip: check, clean, report, then store all of it in one transaction.

        A second import under the same name adds to the data set; images that are there already are counted, not doubled.
        An import that was killed goes on where it was: what had been checked is not checked again.

        Raises:
            CoordinatorError: ``intake.…`` or ``dataset.…``; the data set is as before.
        """
        for what, value in (("data set name", options.name), ("disease", options.disease)):
            if not SLUG.fullmatch(value):
                raise CoordinatorError("dataset.bad_name", name=value or "(empty)", what=what)
        await self._check_disease(options)
        async with holding_images(self._home):
            salt = await asyncio.to_thread(patient_salt, self._home)
        key = {
            "how": [options.min_edge_px, options.first_frame, options.keep_originals],
            "limits": asdict(self._limits),
            "versions": [images.CHECK_VERSION, PREPARE_VERSION],
        }
        with open_spool(self._home, options.name, source, key) as spool:
            earlier = await self._earlier(options.name)
            report = await _stoppable(self._examine, source, spool, options, salt, earlier, progress)
            if len(report.labels) < 2:
                raise CoordinatorError("intake.no_classes", path=source.name, found=len(report.labels))
            document = {"dataset": options.name, "disease": options.disease, **report.document()}
            async with holding_images(self._home):
                await self._store(spool, options, knowledge, now, report, document)
                await self._sweep()
            return document

    async def _store(
        self,
        spool: Spool,
        options: ImportOptions,
        knowledge: KnowledgeBase,
        now: datetime,
        report: Report,
        document: dict[str, Any],
    ) -> None:
        """All of it or nothing; files that were moved in for nothing are swept out later."""
        async with self._database.begin() as connection:
            dataset = await connection.scalar(select(datasets.c.id).where(datasets.c.name == options.name))
            if dataset is None:
                inserted = await connection.execute(
                    datasets.insert().values(
                        name=options.name, disease=options.disease, created=now.isoformat(), reports=[]
                    )
                )
                dataset = int(inserted.inserted_primary_key[0])  # type: ignore[index]  # an insert has one
            document["already_present"] = await insert_samples(connection, dataset, options.name, report)
            await insert_waiting(connection, dataset, report.quarantined, now)
            reports = await connection.scalar(select(datasets.c.reports).where(datasets.c.id == dataset))
            await connection.execute(
                update(datasets)
                .where(datasets.c.id == dataset)
                .values(reports=[*(reports or []), {**document, "imported": now.isoformat()}])
            )
            document["labels"] = await guess_labels(connection, dataset, options.disease, knowledge)
            told = {
                "disease": options.disease,
                "accepted": len(report.accepted),
                "already_present": document["already_present"],
                "quarantined": len(report.quarantined),
                "classes": len(report.labels),
            }
            await record(connection, current.get(), "dataset.import", options.name, told, now)
            await asyncio.to_thread(self._move_in, spool, report)

    async def _check_disease(self, options: ImportOptions) -> None:
        async with self._database.read() as connection:
            disease = await connection.scalar(select(datasets.c.disease).where(datasets.c.name == options.name))
        if disease not in (None, options.disease):
            raise CoordinatorError("dataset.other_disease", name=options.name, disease=disease)

    async def _earlier(self, name: str) -> list[Sample]:
        async with self._database.read() as connection:
            if await connection.scalar(select(datasets.c.id).where(datasets.c.name == name)) is None:
                return []
        return await self.samples(name)

    def _examine(
        self,
        source: Path,
        spool: Spool,
        options: ImportOptions,
        salt: bytes,
        earlier: list[Sample],
        progress: Callable[[int, int], None],
        stop: threading.Event,
    ) -> Report:
        with open_training_set(source, spool.unpacked, options.merge_classes, self._limits) as found:
            groups_file = options.groups_csv or found.groups_file
            groups = None
            if groups_file is not None:
                if not groups_file.is_file():
                    raise CoordinatorError("file.not_found", path=groups_file)
                groups = read_groups(groups_file, {m.name for m in found.members}, found.wrapper)
            checked, resumed = self._check(found.members, spool, options, salt, progress, stop)
            report = clean(found, checked, groups, earlier)
        report.resumed = resumed
        report.shortcuts = shortcuts.audit(_together(earlier, report))
        report.warnings.extend(_shortcut_warnings(report.shortcuts))
        return report

    def _check(
        self,
        members: list[Member],
        spool: Spool,
        options: ImportOptions,
        salt: bytes,
        progress: Callable[[int, int], None],
        stop: threading.Event,
    ) -> tuple[list[images.Checked], int]:
        """Check all files, but for those that a killed import had checked; with the number of the latter."""
        journal = Journal(spool.folder, spool.kept, spool.originals)
        try:
            answers = [journal.find(m.path) if len(journal) else None for m in members]
            resumed = sum(a is not None for a in answers)
            left = [i for i, answer in enumerate(answers) if answer is None]
            wanted = [
                images.Wanted(
                    members[i].path,
                    spool.folder / "kept",
                    options.min_edge_px,
                    options.first_frame,
                    self._limits,
                    spool.folder / "originals" if options.keep_originals else None,
                    salt,
                )
                for i in left
            ]
            limit = self._limits.worker_memory_mb * 1_000_000
            results = self._engine.map_guarded(images.check, wanted, images.lost, limit) if wanted else iter(())
            for done, (i, result) in enumerate(zip(left, results, strict=True), start=resumed + 1):
                if stop.is_set():
                    raise InterruptedError
                answers[i] = result
                journal.add(result)
                progress(done, len(members))
        finally:
            journal.close()
        return [a for a in answers if a is not None], resumed

    def _move_in(self, spool: Spool, report: Report) -> None:
        """Move what is kept from the spool into the store; both are on one file system."""
        waiting = [w.sample for w in report.quarantined]
        for chosen, kept, originals in (
            (report.accepted, self._home.images, self._home.originals),
            (waiting, self._home.quarantine, self._home.quarantine),
        ):
            for sample in chosen:
                move(sample.sha256, spool.kept, FolderBlobs(kept))
                if sample.original:
                    move(sample.original, spool.originals, FolderBlobs(originals))
            for folder in {kept, originals}:
                if folder.is_dir():
                    fsync_folders(folder)

    async def _sweep(self) -> None:
        """Remove every file that no data set holds: of an import or removal that was interrupted, or just removed.

        Call it with the images held. What was computed from an image goes before the image, so that a sweep that is cut
        short is made up for by the next.
        """
        async with self._database.read() as connection:
            used = set((await connection.scalars(select(samples.c.sha256))).all())
            originals = set((await connection.scalars(select(sample_facts.c.original))).all())
            waiting = set((await connection.scalars(select(quarantine.c.sha256))).all())
            waiting |= {f["original"] for f in (await connection.scalars(select(quarantine.c.facts))).all()}
        await asyncio.to_thread(self._sweep_files, used, originals, waiting)

    def _sweep_files(self, used: set[str], originals: set[str], waiting: set[str]) -> None:
        orphans = stored(self._home.images) - used
        if orphans:
            FeatureCache(self._home.features).remove(sorted(orphans))
            MapCache(self._home.maps, 0).remove(sorted(orphans))
            oof.forget(self._home.out_of_fold, orphans)
            work.forget(self._home.trainings, orphans)
        for folder, gone in (
            (self._home.images, orphans),
            (self._home.originals, stored(self._home.originals) - originals),
            (self._home.quarantine, stored(self._home.quarantine) - waiting),
        ):
            for sha256 in gone:
                FolderBlobs(folder).remove(sha256)

    async def digests(self, name: str) -> set[str]:
        """Digests of a data set's images; empty where it is gone."""
        async with self._database.read() as connection:
            query = select(samples.c.sha256).join(datasets, samples.c.dataset == datasets.c.id)
            return set((await connection.scalars(query.where(datasets.c.name == name))).all())

    async def all(self) -> list[dict[str, Any]]:
        """All data sets with their counts."""
        async with self._database.read() as connection:
            names = (await connection.scalars(select(datasets.c.name).order_by(datasets.c.name))).all()
        return [await self.show(name) for name in names]

    async def show(self, name: str) -> dict[str, Any]:
        """One data set: disease, classes with counts and their knowledge base entries, groups."""
        async with self._database.read() as connection:
            row = await dataset_row(connection, name)
            rows = (await connection.execute(select(samples).where(samples.c.dataset == row.id))).all()
            mapping = (await connection.execute(select(labels).where(labels.c.dataset == row.id))).all()
            waiting = len(
                (await connection.scalars(select(quarantine.c.sha256).where(quarantine.c.dataset == row.id))).all()
            )
        return {
            "dataset": row.name,
            "disease": row.disease,
            "created": row.created,
            "images": len(rows),
            "classes": dict(sorted(Counter(r.label for r in rows).items())),
            "groups": len({r.group for r in rows}),
            "quarantined": waiting,
            "labels": {m.label: {"entry": m.entry, "kind": m.kind, "how": m.how} for m in mapping},
        }

    async def report(self, name: str) -> dict[str, Any]:
        """The cleaning reports of all imports into a data set, and how it stands now.

        ``shortcuts`` holds what the whole of it gives; ``disputed`` the images whose label the newest model disputes most,
        or says why it cannot.
        """
        async with self._database.read() as connection:
            row = await dataset_row(connection, name)
            found = await read_samples(connection, row.id)
            query = select(models.c.name, models.c.version, models.c.training).where(models.c.dataset == name)
            trained = (await connection.execute(query.order_by(models.c.version.desc()))).all()
        audits = await asyncio.to_thread(shortcuts.audit, found)
        return {
            "dataset": name,
            "disease": row.disease,
            "images": len(found),
            "classes": {
                label: {
                    "images": sum(s.label == label for s in found),
                    "groups": len({s.group for s in found if s.label == label}),
                }
                for label in sorted({s.label for s in found})
            },
            "shortcuts": [a.document() for a in audits],
            "disputed": await asyncio.to_thread(self._disputed, trained, found),
            "imports": row.reports,
        }

    def _disputed(self, trained: Sequence[Any], found: list[Sample]) -> dict[str, Any]:
        for version in trained:
            answers = oof.load(FolderBlobs(self._home.out_of_fold), version.training.get("out_of_fold"))
            if answers is not None:
                names = list(version.training["metrics"]["per_class"])
                return {"model": f"{version.name}@{version.version}", "images": disputed(answers, names, found)}
        return {
            "model": None,
            "images": [],
            "note": "No model has been trained on it yet, or its cross-validated answers are not kept.",
            "note_zh": "尚无用其训练的模型，或其交叉验证结果未保留。",
        }

    async def samples(self, name: str) -> list[Sample]:
        """All images of a data set, ordered by digest so that training does not depend on the order of import."""
        async with self._database.read() as connection:
            row = await dataset_row(connection, name)
            return await read_samples(connection, row.id)

    def image_path(self, sha256: str) -> Path:
        """The kept copy of an image."""
        return FolderBlobs(self._home.images).path(sha256)

    async def label(self, name: str, label: str, entry: str, knowledge: KnowledgeBase) -> dict[str, Any]:
        """Map a class to a knowledge base entry, or say that it is ``normal`` or ``other``."""
        if entry in ("normal", "other"):
            values: dict[str, Any] = {"entry": None, "kind": entry}
        else:
            found = await knowledge.get(entry)
            if found is None:
                raise CoordinatorError("dataset.unknown_entry", entry=entry)
            values = {"entry": entry, "kind": found.kind}
        async with self._database.begin() as connection:
            row = await dataset_row(connection, name)
            changed = await connection.execute(
                update(labels)
                .where(labels.c.dataset == row.id, labels.c.label == label)
                .values(**values, how="confirmed")
            )
            if changed.rowcount == 0:
                raise CoordinatorError("dataset.unknown_label", name=name, label=label)
            await record(connection, current.get(), "dataset.label", name, {"label": label, **values}, moment())
        return await self.show(name)

    async def remove(self, name: str, group: str | None) -> dict[str, Any]:
        """Remove a data set, or one group of it, with all that was computed from images that nothing else uses."""
        async with holding_images(self._home):
            await self._sweep()  # makes up for a removal that was interrupted
            async with self._database.begin() as connection:
                row = await dataset_row(connection, name)
                removed, found = 0, 0
                for table in (samples, quarantine):
                    chosen = table.c.dataset == row.id
                    if group is not None:
                        chosen &= table.c.group == group
                    gone = (await connection.execute(delete(table).where(chosen))).rowcount
                    found += gone
                    removed += gone if table is samples else 0
                if group is not None and not found:
                    raise CoordinatorError("dataset.unknown_group", name=name, group=group)
                if group is None:
                    await connection.execute(delete(datasets).where(datasets.c.id == row.id))
                trained = await connection.execute(
                    select(models.c.name, models.c.version).where(models.c.dataset == name).order_by(models.c.version)
                )
                affected = [f"{m.name}@{m.version}" for m in trained]
                # Groups are patients: that one was removed is told, not which.
                told = {"whole": group is None, "removed": removed, "models": some(affected)}
                await record(connection, current.get(), "dataset.remove", name, told, moment())
            await self._sweep()
        return {"dataset": name, "group": group, "removed": removed, "models_trained_on_it": affected}


async def _stoppable(function: Callable[..., Report], *arguments: Any) -> Report:
    """Run a blocking function in a thread; cancelling waits until it has stopped, so that nothing works on in a folder
    that is gone.
    """
    stop = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(partial(function, *arguments, stop=stop)))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # retrieved: it is what we asked for
        raise


def _together(earlier: list[Sample], report: Report) -> list[Sample]:
    """A data set as it will be."""
    new = {s.sha256: s for s in report.accepted}
    return [*(s for s in earlier if s.sha256 not in new), *new.values()]


def _shortcut_warnings(found: list[shortcuts.Audit]) -> list[dict[str, Any]]:
    return [
        warning("intake.shortcut", texts.en, texts.zh, facet=a.facet)
        for a in found
        if a.found and (texts := shortcuts.sentence(a))
    ]
