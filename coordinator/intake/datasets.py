"""Data sets: importing, listing, labelling and removing them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import delete, select, update

from coordinator.engine import Engine
from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.intake import images
from coordinator.intake.groups import near_duplicates, read_groups
from coordinator.intake.source import Member, TrainingSet, open_training_set
from coordinator.store.blobs import FolderBlobs
from coordinator.store.database import Database
from coordinator.store.tables import datasets, labels, models, samples
from coordinator.training import oof
from coordinator.training.features import FeatureCache
from disease_kb.store import KnowledgeBase
from protocols.imaging import MIN_EDGE_PX
from protocols.manifest import SLUG

FEW_IMAGES = 20
_SPOOL, _KEPT = "import-", "kept"
_ABANDONED_S = 24 * 3600
IMBALANCE = 10


@dataclass(frozen=True)
class ImportOptions:
    """How a training set is to be read."""

    disease: str
    name: str
    groups_csv: Path | None = None
    merge_classes: bool = False
    first_frame: bool = False
    min_edge_px: int = MIN_EDGE_PX


@dataclass(frozen=True)
class Sample:
    """One accepted image."""

    sha256: str
    label: str
    group: str
    file: str


@dataclass
class Report:
    """What the import did to each file."""

    accepted: list[Sample]
    rejected: list[dict[str, Any]]
    exact_duplicates: list[list[str]]
    near_duplicates: list[list[str]]
    label_conflicts: list[list[str]]
    warnings: list[dict[str, str]]
    notes: dict[str, int]

    def document(self) -> dict[str, Any]:
        """The JSON form, without the list of accepted files."""
        return {
            "accepted": len(self.accepted),
            "rejected": self.rejected,
            "classes": dict(sorted(Counter(s.label for s in self.accepted).items())),
            "groups": len({s.group for s in self.accepted}),
            "exact_duplicates": self.exact_duplicates,
            "near_duplicates": self.near_duplicates,
            "label_conflicts": self.label_conflicts,
            "warnings": self.warnings,
            "notes": self.notes,
        }


def clean(found: TrainingSet, checked: list[images.Checked], groups: dict[str, str] | None) -> Report:
    """Decide what becomes of every file. Pure.

    Identical images under one label are kept once, under two labels not at all; near-duplicates without a given group
    share one, so that they never straddle a split.
    """
    rejected = [
        {"file": m.name, "code": c.code, "reason": c.reason["en"], "reason_zh": c.reason["zh"]}
        for m, c in zip(found.members, checked, strict=True)
        if c.code
    ]
    by_content: dict[str, list[tuple[Member, images.Checked]]] = {}
    for member, result in zip(found.members, checked, strict=True):
        if not result.code:
            by_content.setdefault(result.sha256, []).append((member, result))
    conflicts, duplicates, kept = [], [], []
    for copies in by_content.values():
        names = [m.name for m, _ in copies]
        if len({m.label for m, _ in copies}) > 1:
            conflicts.append(names)
            continue
        if len(copies) > 1:
            duplicates.append(names)
        kept.append(copies[0])

    missing = [m.name for m, _ in kept if groups is not None and m.name not in groups]
    if missing:
        raise CoordinatorError(
            "intake.groups_missing", count=len(missing), example=missing[0].encode("unicode_escape").decode()[:120]
        )
    given = groups or {}
    group_of = {m.name: given.get(m.name, f"image:{c.sha256[:16]}") for m, c in kept}
    near: list[list[str]] = []
    if kept:
        hashes = np.frombuffer(b"".join(c.perceptual for _, c in kept), np.uint8).reshape(len(kept), -1)
        for cluster in near_duplicates(hashes):
            names = [kept[i][0].name for i in cluster]
            near.append(names)
            if groups is None:
                group_of.update(dict.fromkeys(names, group_of[min(names)]))
    accepted = [Sample(c.sha256, m.label, group_of[m.name], m.name) for m, c in kept]
    notes = Counter(note for _, c in kept for note in c.notes)
    report = Report(accepted, rejected, duplicates, near, conflicts, [], dict(notes))
    report.warnings.extend(
        _warnings(report, found, {m.name: g for (m, _), g in zip(kept, group_of.values(), strict=True)})
    )
    return report


def _warnings(report: Report, found: TrainingSet, group_of: dict[str, str]) -> list[dict[str, str]]:
    warnings: list[dict[str, str]] = []

    def warn(code: str, en: str, zh: str) -> None:
        warnings.append({"code": code, "text": en, "text_zh": zh})

    counts = Counter(s.label for s in report.accepted)
    for label in sorted({m.label for m in found.members} - set(counts)):
        warn("intake.class_empty", f"Class {label} has no usable image.", f"类别 {label} 没有可用图像。")
    for label, count in sorted(counts.items()):
        if count < FEW_IMAGES:
            warn(
                "intake.few_images",
                f"Class {label} has only {count} images; figures will be uncertain.",
                f"类别 {label} 只有 {count} 张图像，指标将不可靠。",
            )
    if counts and max(counts.values()) > IMBALANCE * min(counts.values()):
        warn(
            "intake.imbalance",
            f"The largest class is more than {IMBALANCE} times the smallest.",
            f"最大类别超过最小类别的 {IMBALANCE} 倍。",
        )
    if found.beside:
        shown = ", ".join(sorted(found.beside)[:5])
        count = len(found.beside)
        warn(
            "intake.beside_classes",
            f"{count} file(s) beside the class folders were left out: {shown}.",
            f"类别文件夹之外的 {count} 个文件未导入：{shown}。",
        )
    if found.ignored:
        warn(
            "intake.ignored",
            f"{found.ignored} hidden or system file(s) were ignored.",
            f"忽略了 {found.ignored} 个隐藏或系统文件。",
        )
    if conflicts := len(report.label_conflicts):
        warn(
            "intake.label_conflict",
            f"{conflicts} image(s) stand under two labels and were set aside.",
            f"{conflicts} 张图像同时出现在两个类别中，已搁置。",
        )
    if small := report.notes.get("small"):
        warn(
            "intake.small_images", f"{small} image(s) are below 64 pixels a side.", f"{small} 张图像边长不足 64 像素。"
        )
    straddling = sum(len({group_of[n] for n in names}) > 1 for names in report.near_duplicates)
    if straddling:
        warn(
            "intake.near_duplicates",
            f"{straddling} set(s) of near-duplicates reach over several groups.",
            f"{straddling} 组近似重复图像跨越多个分组。",
        )
    return warnings


class Datasets:
    """Data sets in the store. Blocking work runs in threads and the engine's processes."""

    def __init__(self, database: Database, home: Home, engine: Engine) -> None:
        self._database = database
        self._home = home
        self._engine = engine

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

        Raises:
            CoordinatorError: ``intake.…`` or ``dataset.…``; the data set is as before.
        """
        for what, value in (("data set name", options.name), ("disease", options.disease)):
            if not SLUG.fullmatch(value):
                raise CoordinatorError("dataset.bad_name", name=value or "(empty)", what=what)
        await self._check_disease(options)
        with self._spool() as spool:
            report = await asyncio.to_thread(self._examine, source, spool, options, progress)
            if len({s.label for s in report.accepted}) < 2:
                raise CoordinatorError(
                    "intake.no_classes", path=source.name, found=len({s.label for s in report.accepted})
                )
            document = {"dataset": options.name, "disease": options.disease, **report.document()}
            async with self._database.begin() as connection:
                dataset = await connection.scalar(select(datasets.c.id).where(datasets.c.name == options.name))
                if dataset is None:
                    inserted = await connection.execute(
                        datasets.insert().values(
                            name=options.name, disease=options.disease, created=now.isoformat(), reports=[]
                        )
                    )
                    dataset = int(inserted.inserted_primary_key[0])  # type: ignore[index]  # an insert has one
                document["already_present"] = await _insert_samples(connection, dataset, options.name, report)
                reports = await connection.scalar(select(datasets.c.reports).where(datasets.c.id == dataset))
                await connection.execute(
                    update(datasets)
                    .where(datasets.c.id == dataset)
                    .values(reports=[*(reports or []), {**document, "imported": now.isoformat()}])
                )
                document["labels"] = await _guess_labels(connection, dataset, options.disease, knowledge)
                await asyncio.to_thread(self._move_in, spool, report.accepted)
            return document

    async def _check_disease(self, options: ImportOptions) -> None:
        async with self._database.read() as connection:
            disease = await connection.scalar(select(datasets.c.disease).where(datasets.c.name == options.name))
        if disease not in (None, options.disease):
            raise CoordinatorError("dataset.other_disease", name=options.name, disease=disease)

    def _examine(
        self, source: Path, spool: Path, options: ImportOptions, progress: Callable[[int, int], None]
    ) -> Report:
        (spool / "unpacked").mkdir()
        with open_training_set(source, spool / "unpacked", options.merge_classes) as found:
            groups_file = options.groups_csv or found.groups_file
            groups = None
            if groups_file is not None:
                if not groups_file.is_file():
                    raise CoordinatorError("file.not_found", path=groups_file)
                groups = read_groups(groups_file, {m.name for m in found.members}, found.wrapper)
            wanted = [
                images.Wanted(m.path, spool / _KEPT, options.min_edge_px, options.first_frame) for m in found.members
            ]
            checked = []
            for result in self._engine.map(images.check, wanted):
                checked.append(result)
                progress(len(checked), len(wanted))
            return clean(found, checked, groups)

    @contextmanager
    def _spool(self) -> Iterator[Path]:
        """A folder for what an import unpacks and keeps for now; nothing of it outlives the import."""
        self._home.base.mkdir(parents=True, exist_ok=True)
        for left in self._home.base.glob(f"{_SPOOL}*"):
            if time.time() - left.stat().st_mtime > _ABANDONED_S:  # by an import that was killed
                shutil.rmtree(left, ignore_errors=True)
        spool = Path(tempfile.mkdtemp(prefix=_SPOOL, dir=self._home.base))
        try:
            yield spool
        finally:
            shutil.rmtree(spool, ignore_errors=True)

    def _move_in(self, spool: Path, accepted: list[Sample]) -> None:
        """Move the accepted images from the spool into the store; both are on one file system."""
        staged, kept = FolderBlobs(spool / _KEPT), FolderBlobs(self._home.images)
        for sample in accepted:
            if not kept.has(sample.sha256):
                kept.path(sample.sha256).parent.mkdir(parents=True, exist_ok=True)
                staged.path(sample.sha256).replace(kept.path(sample.sha256))

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
            row = await _dataset(connection, name)
            rows = (await connection.execute(select(samples).where(samples.c.dataset == row.id))).all()
            mapping = (await connection.execute(select(labels).where(labels.c.dataset == row.id))).all()
        return {
            "dataset": row.name,
            "disease": row.disease,
            "created": row.created,
            "images": len(rows),
            "classes": dict(sorted(Counter(r.label for r in rows).items())),
            "groups": len({r.group for r in rows}),
            "labels": {m.label: {"entry": m.entry, "kind": m.kind, "how": m.how} for m in mapping},
        }

    async def report(self, name: str) -> dict[str, Any]:
        """The cleaning reports of all imports into a data set."""
        async with self._database.read() as connection:
            row = await _dataset(connection, name)
        return {"dataset": name, "imports": row.reports}

    async def samples(self, name: str) -> list[Sample]:
        """All images of a data set, ordered by digest so that training does not depend on the order of import."""
        async with self._database.read() as connection:
            row = await _dataset(connection, name)
            rows = await connection.execute(
                select(samples).where(samples.c.dataset == row.id).order_by(samples.c.sha256)
            )
            return [Sample(r.sha256, r.label, r.group, r.file) for r in rows]

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
            row = await _dataset(connection, name)
            changed = await connection.execute(
                update(labels)
                .where(labels.c.dataset == row.id, labels.c.label == label)
                .values(**values, how="confirmed")
            )
            if changed.rowcount == 0:
                raise CoordinatorError("dataset.unknown_label", name=name, label=label)
        return await self.show(name)

    async def remove(self, name: str, group: str | None) -> dict[str, Any]:
        """Remove a data set, or one group of it, with all that was computed from images that nothing else uses."""
        async with self._database.begin() as connection:
            row = await _dataset(connection, name)
            chosen = samples.c.dataset == row.id
            if group is not None:
                chosen &= samples.c.group == group
            digests = set((await connection.scalars(select(samples.c.sha256).where(chosen))).all())
            if group is not None and not digests:
                raise CoordinatorError("dataset.unknown_group", name=name, group=group)
            await connection.execute(delete(samples).where(chosen))
            if group is None:
                await connection.execute(delete(datasets).where(datasets.c.id == row.id))
            used = set((await connection.scalars(select(samples.c.sha256))).all())
            trained = await connection.execute(
                select(models.c.name, models.c.version).where(models.c.dataset == name).order_by(models.c.version)
            )
            affected = [f"{m.name}@{m.version}" for m in trained]
        orphans = sorted(digests - used)
        blobs = FolderBlobs(self._home.images)
        for sha256 in orphans:
            blobs.remove(sha256)
        FeatureCache(self._home.features).remove(orphans)
        oof.forget(self._home.out_of_fold, set(orphans))
        return {"dataset": name, "group": group, "removed": len(digests), "models_trained_on_it": affected}


async def _dataset(connection: Any, name: str) -> Any:
    row = (await connection.execute(select(datasets).where(datasets.c.name == name))).first()
    if row is None:
        raise CoordinatorError("dataset.unknown", name=name)
    return row


async def _insert_samples(connection: Any, dataset: int, name: str, report: Report) -> int:
    """Add what is new; an image that is there under another label is a conflict with the earlier import."""
    rows = (
        await connection.execute(select(samples.c.sha256, samples.c.label).where(samples.c.dataset == dataset))
    ).all()
    present = {r.sha256: r.label for r in rows}
    have, new = {r.label for r in rows}, {s.label for s in report.accepted}
    if have and not new <= have:
        raise CoordinatorError(
            "dataset.other_classes", name=name, have=", ".join(sorted(have)), new=", ".join(sorted(new))
        )
    for sample in report.accepted:
        if present.get(sample.sha256, sample.label) != sample.label:
            raise CoordinatorError("dataset.conflict_with_earlier", file=sample.file, label=present[sample.sha256])
    fresh = [s for s in report.accepted if s.sha256 not in present]
    if fresh:
        await connection.execute(samples.insert(), [{"dataset": dataset, **vars(s)} for s in fresh])
    return len(report.accepted) - len(fresh)


async def _guess_labels(connection: Any, dataset: int, disease: str, knowledge: KnowledgeBase) -> dict[str, Any]:
    """Map classes that have no mapping yet to their likeliest entry; a person confirms with ``dataset label``."""
    known = set((await connection.scalars(select(labels.c.label).where(labels.c.dataset == dataset))).all())
    found = (await connection.scalars(select(samples.c.label).where(samples.c.dataset == dataset).distinct())).all()
    for label in sorted(set(found) - known):
        matches = await knowledge.match_label(label, disease)
        entry = await knowledge.get(matches[0].entry_id) if matches and matches[0].certain else None
        await connection.execute(
            labels.insert().values(
                dataset=dataset,
                label=label,
                entry=entry.id if entry else None,
                kind=entry.kind if entry else "other",
                how=f"guessed by {matches[0].how}" if entry else "no entry found",
            )
        )
    rows = await connection.execute(select(labels).where(labels.c.dataset == dataset).order_by(labels.c.label))
    return {r.label: {"entry": r.entry, "kind": r.kind, "how": r.how} for r in rows}
