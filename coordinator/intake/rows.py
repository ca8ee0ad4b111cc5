"""Samples as rows of the store."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from coordinator.errors import CoordinatorError
from coordinator.intake.cleaning import Report, Waiting
from coordinator.intake.images import Facts
from coordinator.intake.samples import Sample
from coordinator.store.tables import datasets, labels, quarantine, sample_facts, samples

if TYPE_CHECKING:
    from disease_kb.store import KnowledgeBase


async def dataset_row(connection: Any, name: str) -> Any:
    row = (await connection.execute(select(datasets).where(datasets.c.name == name))).first()
    if row is None:
        raise CoordinatorError("dataset.unknown", name=name)
    return row


async def insert_samples(connection: Any, dataset: int, name: str, report: Report) -> int:
    """Add what is new; an image that is there under another label is a conflict with the earlier import."""
    rows = (
        await connection.execute(select(samples.c.sha256, samples.c.label).where(samples.c.dataset == dataset))
    ).all()
    present = {r.sha256: r.label for r in rows}
    have, new = {r.label for r in rows}, report.labels
    have |= set((await connection.scalars(select(quarantine.c.label).where(quarantine.c.dataset == dataset))).all())
    if have and not new <= have:
        raise CoordinatorError(
            "dataset.other_classes", name=name, have=", ".join(sorted(have)), new=", ".join(sorted(new))
        )
    for sample in report.accepted:
        if present.get(sample.sha256, sample.label) != sample.label:
            raise CoordinatorError("dataset.conflict_with_earlier", file=sample.file, label=present[sample.sha256])
    for old, new_group in report.regrouped.items():
        await connection.execute(
            update(samples).where(samples.c.dataset == dataset, samples.c.group == old).values(group=new_group)
        )
    fresh = [s for s in report.accepted if s.sha256 not in present]
    if fresh:
        rows = [{"dataset": dataset, **{k: getattr(s, k) for k in ("sha256", "label", "group", "file")}} for s in fresh]
        await connection.execute(samples.insert(), rows)
        facts = [{"dataset": dataset, "sha256": s.sha256, **facts_row(s)} for s in fresh if s.facts is not None]
        await connection.execute(sample_facts.insert(), facts)
    return len(report.accepted) - len(fresh)


def facts_row(sample: Sample) -> dict[str, Any]:
    """What is kept of a file's own form, as a row and in quarantine."""
    if sample.facts is None:
        return {}
    return {
        "perceptual": sample.perceptual.hex(),
        "width": sample.facts.width,
        "height": sample.facts.height,
        "format": sample.facts.format,
        "border": list(sample.facts.border),
        "original": sample.original,
        "turn": sample.turn,
    }


def sample_of(row: Any, facts: Any) -> Sample:
    """A sample from its rows."""
    if facts is None or facts.get("width") is None:
        return Sample(row.sha256, row.label, row.group, row.file)
    form = Facts(facts["width"], facts["height"], facts["format"], tuple(facts["border"]))
    return Sample(
        row.sha256,
        row.label,
        row.group,
        row.file,
        form,
        bytes.fromhex(facts["perceptual"]),
        facts["original"],
        facts["turn"],
    )


async def read_samples(connection: Any, dataset: int) -> list[Sample]:
    """All images of a data set, ordered by digest."""
    same = (sample_facts.c.dataset == samples.c.dataset) & (sample_facts.c.sha256 == samples.c.sha256)
    form = [c for c in sample_facts.c if c.name not in ("dataset", "sha256")]
    rows = await connection.execute(
        select(samples, *form)
        .join(sample_facts, same, isouter=True)
        .where(samples.c.dataset == dataset)
        .order_by(samples.c.sha256)
    )
    return [sample_of(row, row._mapping) for row in rows]


async def insert_waiting(connection: Any, dataset: int, found: list[Waiting], now: datetime) -> None:
    """Add what waits for a look, once, and not what is part of the data set already."""
    known = set((await connection.scalars(select(samples.c.sha256).where(samples.c.dataset == dataset))).all())
    known |= set((await connection.scalars(select(quarantine.c.sha256).where(quarantine.c.dataset == dataset))).all())
    rows = [
        {
            "dataset": dataset,
            **{k: getattr(w.sample, k) for k in ("sha256", "label", "group", "file")},
            "doubt": w.doubt,
            "created": now.isoformat(),
            "facts": facts_row(w.sample),
        }
        for w in found
        if w.sample.sha256 not in known
    ]
    if rows:
        await connection.execute(quarantine.insert(), rows)


async def guess_labels(connection: Any, dataset: int, disease: str, knowledge: KnowledgeBase) -> dict[str, Any]:
    """Map classes that have no mapping yet to their likeliest entry; a person confirms with ``dataset label``."""
    known = set((await connection.scalars(select(labels.c.label).where(labels.c.dataset == dataset))).all())
    found: set[str] = set()
    for table in (samples, quarantine):
        found |= set((await connection.scalars(select(table.c.label).where(table.c.dataset == dataset))).all())
    for label in sorted(found - known):
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
