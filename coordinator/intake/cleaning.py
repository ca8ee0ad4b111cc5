"""Deciding what becomes of every checked file, and saying so. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from coordinator.errors import CoordinatorError
from coordinator.intake.archive import shown
from coordinator.intake.groups import alone, cluster_of, near_duplicates, settle
from coordinator.intake.images import Checked
from coordinator.intake.samples import Sample
from coordinator.intake.shortcuts import Audit
from coordinator.intake.source import Member, TrainingSet

FEW_IMAGES = 20
IMBALANCE = 10
_EXTENSIONS = {
    "JPEG": {"jpg", "jpeg", "jpe"},
    "PNG": {"png"},
    "BMP": {"bmp", "dib"},
    "TIFF": {"tif", "tiff"},
    "WEBP": {"webp"},
    "GIF": {"gif"},
    "DICOM": {"dcm", "dicom", "dic", "ima", ""},
}
DIFFERENT_EXTENSION = "extension differs from content"


@dataclass(frozen=True)
class Waiting:
    """An image that a person has to look at first, and why."""

    sample: Sample
    doubt: str


@dataclass
class Report:
    """What the import did to each file.

    Attributes:
        regrouped: groups of earlier imports that now are part of another one.
    """

    accepted: list[Sample]
    quarantined: list[Waiting]
    regrouped: dict[str, str]
    rejected: list[dict[str, Any]]
    exact_duplicates: list[list[str]]
    near_duplicates: list[list[str]]
    label_conflicts: list[list[str]]
    notes: dict[str, int]
    warnings: list[dict[str, Any]] = field(default_factory=list)
    shortcuts: list[Audit] = field(default_factory=list)
    resumed: int = 0  # files that an import that was killed had checked

    @property
    def labels(self) -> set[str]:
        """Classes that have an image, seen or still to be seen."""
        return {s.label for s in self.accepted} | {w.sample.label for w in self.quarantined}

    def document(self) -> dict[str, Any]:
        """The JSON form, without the list of accepted files."""
        return {
            "accepted": len(self.accepted),
            "rejected": self.rejected,
            "quarantined": [
                {"id": w.sample.sha256[:12], "file": w.sample.file, "label": w.sample.label, "doubt": w.doubt}
                for w in self.quarantined
            ],
            "classes": dict(sorted(Counter(s.label for s in self.accepted).items())),
            "groups": len({s.group for s in self.accepted}),
            "groups_by_class": {
                label: len({s.group for s in self.accepted if s.label == label})
                for label in sorted({s.label for s in self.accepted})
            },
            "exact_duplicates": self.exact_duplicates,
            "near_duplicates": self.near_duplicates,
            "label_conflicts": self.label_conflicts,
            "warnings": self.warnings,
            "notes": self.notes,
            "shortcuts": [a.document() for a in self.shortcuts],
            "checked_before": self.resumed,
        }


def clean(
    found: TrainingSet, checked: list[Checked], groups: dict[str, str] | None, earlier: Sequence[Sample] = ()
) -> Report:
    """Decide what becomes of every file.

    Identical images under one label are kept once, under two labels not at all. A group is what the table says, else the
    patient of a DICOM file; near-duplicates of anything without either share one, so that they never straddle a split.

    Args:
        found: the set.
        checked: one for each member.
        groups: file -> group, where there is a table.
        earlier: what the data set holds already.

    Raises:
        CoordinatorError: ``intake.groups_missing`` or ``intake.class_empty``.
    """
    rejected = [
        {"file": m.name, "code": c.code, "reason": c.reason["en"], "reason_zh": c.reason["zh"]}
        for m, c in zip(found.members, checked, strict=True)
        if c.code
    ]
    kept, duplicates, conflicts = _distinct(found.members, checked)
    missing = [m.name for m, _ in kept if groups is not None and m.name not in groups]
    if missing:
        raise CoordinatorError("intake.groups_missing", count=len(missing), example=shown(missing[0]))
    samples = [_sample(m, c, groups or {}) for m, c in kept]
    accepted = [s for s, (_, c) in zip(samples, kept, strict=True) if not c.doubt]
    waiting = [Waiting(s, c.doubt) for s, (_, c) in zip(samples, kept, strict=True) if c.doubt]
    accepted, regrouped, near, straddling = grouped(accepted, earlier)
    notes = Counter(note for m, c in kept for note in (*c.notes, *_name_notes(m, c)))
    report = Report(accepted, waiting, regrouped, rejected, duplicates, near, conflicts, dict(sorted(notes.items())))
    empty = [*found.empty, *sorted({m.label for m in found.members} - report.labels)]
    if empty:
        raise CoordinatorError("intake.class_empty", names=", ".join(map(shown, empty)))
    report.warnings.extend(_warnings(report, found, straddling))
    return report


def _distinct(
    members: list[Member], checked: list[Checked]
) -> tuple[list[tuple[Member, Checked]], list[list[str]], list[list[str]]]:
    """One of each picture, the names of identical ones, and of those that stand under two labels."""
    by_content: dict[str, list[tuple[Member, Checked]]] = {}
    for member, result in zip(members, checked, strict=True):
        if not result.code:
            by_content.setdefault(result.sha256, []).append((member, result))
    kept, duplicates, conflicts = [], [], []
    for copies in by_content.values():
        names = [m.name for m, _ in copies]
        if len({m.label for m, _ in copies}) > 1:
            conflicts.append(names)
            continue
        if len(copies) > 1:
            duplicates.append(names)
        # One that a person has to look at first stays so, whatever another copy of it says.
        kept.append(next((c for c in copies if c[1].doubt), copies[0]))
    return kept, duplicates, conflicts


def _sample(member: Member, result: Checked, groups: dict[str, str]) -> Sample:
    patient = f"patient:{result.patient}" if result.patient else ""
    group = groups.get(member.name) or patient or alone(result.sha256)
    return Sample(
        result.sha256,
        member.label,
        group,
        member.name,
        result.facts,
        result.perceptual,
        result.original,
        result.turn,
    )


def grouped(
    samples: list[Sample], earlier: Sequence[Sample]
) -> tuple[list[Sample], dict[str, str], list[list[str]], int]:
    """Bring near-duplicates together, within ``samples`` and with what was there before.

    Returns:
        The samples in their groups; earlier groups that became part of another; names of near-duplicates among and with
        ``samples``; how many sets of them still reach over several groups, as groups that were given stay.
    """
    present = {s.sha256 for s in samples}
    before = [s for s in earlier if s.perceptual]
    known = {s.sha256: s.group for s in earlier}
    new = [s for s in samples if s.sha256 not in known]
    everything = [*before, *new]
    if not everything:
        return samples, {}, [], 0
    hashes = np.frombuffer(b"".join(s.perceptual for s in everything), np.uint8).reshape(len(everything), -1)
    clusters = near_duplicates(hashes)
    now = settle([s.group for s in everything], len(before), clusters)
    regrouped = {s.group: g for s, g in zip(before, now, strict=False) if s.group != g}
    group_of = {s.sha256: g for s, g in zip(everything, now, strict=True)}
    shown_clusters = [c for c in clusters if any(everything[i].sha256 in present for i in c)]
    near = [[everything[i].file for i in c] for c in shown_clusters]
    straddling = sum(len({now[i] for i in c}) > 1 for c in shown_clusters)
    settled = [Sample(**(vars(s) | {"group": group_of.get(s.sha256, known.get(s.sha256, s.group))})) for s in samples]
    return settled, regrouped, near, straddling


def beside(sample: Sample, earlier: Sequence[Sample]) -> list[Sample]:
    """Those of ``earlier`` that decide with whom ``grouped`` brings one more image together: its near-duplicates and theirs."""
    same = [s for s in earlier if s.sha256 == sample.sha256]
    before = [s for s in earlier if s.perceptual and s.sha256 != sample.sha256]
    if not sample.perceptual:
        return same
    hashes = np.frombuffer(b"".join(s.perceptual for s in [*before, sample]), np.uint8).reshape(len(before) + 1, -1)
    return [*same, *(before[i] for i in cluster_of(hashes, len(before)) if i < len(before))]


def _name_notes(member: Member, result: Checked) -> list[str]:
    extension = PurePosixPath(member.name).suffix.lower().lstrip(".")
    known = _EXTENSIONS.get(result.facts.format if result.facts else "")
    return [DIFFERENT_EXTENSION] if known is not None and extension not in known else []


def warning(code: str, en: str, zh: str, **more: Any) -> dict[str, Any]:
    """One entry of a report's ``warnings``."""
    return {"code": code, "text": en, "text_zh": zh, **more}


def _warnings(report: Report, found: TrainingSet, straddling: int) -> list[dict[str, Any]]:
    warnings: list[dict[str, Any]] = []

    def warn(code: str, en: str, zh: str) -> None:
        warnings.append(warning(code, en, zh))

    counts = Counter(s.label for s in report.accepted)
    for label in sorted(report.labels):
        if counts[label] < FEW_IMAGES:
            warn(
                "intake.few_images",
                f"Class {label} has only {counts[label]} images; figures will be uncertain.",
                f"类别 {label} 只有 {counts[label]} 张图像，指标将不可靠。",
            )
    if counts and max(counts.values()) > IMBALANCE * min(counts.values()):
        warn(
            "intake.imbalance",
            f"The largest class is more than {IMBALANCE} times the smallest.",
            f"最大类别超过最小类别的 {IMBALANCE} 倍。",
        )
    if found.beside:
        listed, count = ", ".join(shown(n) for n in sorted(found.beside)[:5]), len(found.beside)
        warn(
            "intake.beside_classes",
            f"{count} file(s) beside the class folders were left out: {listed}.",
            f"类别文件夹之外的 {count} 个文件未导入：{listed}。",
        )
    if found.nested:
        warn(
            "intake.nested",
            f"{found.nested} file(s) lie in folders below a class folder and were taken as that class.",
            f"{found.nested} 个文件位于类别文件夹的子文件夹中，已按该类别导入。",
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
    if straddling:
        warn(
            "intake.near_duplicates",
            f"{straddling} set(s) of near-duplicates reach over several groups.",
            f"{straddling} 组近似重复图像跨越多个分组。",
        )
    if waiting := len(report.quarantined):
        warn(
            "intake.quarantined",
            f"{waiting} image(s) may show burnt-in text or a face and wait for a person's look (dataset quarantine).",
            f"{waiting} 张图像可能含有烧录文字或面部，等待人工审核（dataset quarantine）。",
        )
    return warnings
