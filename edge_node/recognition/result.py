"""The result R and the diagnosis aid Y as one JSON object. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge_node.knowledge.lookup import Answer
from edge_node.recognition.picture import Picture
from edge_node.recognition.recogniser import Recognition
from protocols.imaging import Quality
from protocols.manifest import Label, QualityLimits, ReleaseManifest
from protocols.notice import NOTICE
from protocols.recognition import quality_faults

MAX_BLUR = 99.0
_DEFAULT_REASON = "released without an entry in the disease knowledge base"
_NO_ENTRY = "entry {entry} is not in the knowledge base at hand"


@dataclass(frozen=True)
class Explained:
    """What became of explaining an answer: the picture that was drawn, or why there is none.

    Attributes:
        file: the picture.
        label: what the picture shows the evidence for.
        grid: rows and columns of the map.
        reason: None where there is a picture; else ``not_asked``, ``no_locations`` (the model cannot tell where its evidence
            lies), ``not_this_kind_of_image`` (a map of scores that mean nothing would mislead) or ``not_written``.
    """

    file: Path | None = None
    label: str = ""
    grid: tuple[int, int] = (0, 0)
    reason: Literal["not_asked", "no_locations", "not_this_kind_of_image", "not_written"] | None = "not_asked"

    def document(self) -> dict[str, Any]:
        """The keys in the result."""
        shown = {"file": str(self.file), "label": self.label, "grid": list(self.grid)}
        return {"explanation": None if self.reason else shown, "explanation_reason": self.reason}


def considered(recognition: Recognition) -> tuple[Label, ...]:
    """The labels to read up on, likeliest first; none for a picture of which the model knows nothing."""
    if recognition.answer.outcome == "not_this_kind_of_image":
        return ()
    return tuple(recognition.manifest.labels[index] for index in recognition.answer.considered)


def entries_in_set(recognition: Recognition) -> set[str]:
    """Ids of the entries that the considered labels point to."""
    return {label.entry for label in considered(recognition) if label.entry is not None}


def entries_of(manifest: ReleaseManifest) -> set[str]:
    """Ids of the entries of all labels."""
    return {label.entry for label in manifest.labels if label.entry is not None}


def blur(quality: Quality, limits: QualityLimits) -> float:
    """How blurred the picture is against what the model knows: 0 is perfectly sharp, above 1 is too blurred."""
    if limits.sharpness_min <= 0:
        return 0.0
    return min(limits.sharpness_min / quality.sharpness, MAX_BLUR) if quality.sharpness > 0 else MAX_BLUR


def result(
    recognition: Recognition, rank: int, explained: Explained, aid: Answer, names: Answer, case: str | None
) -> dict[str, Any]:
    """One element of ``results``.

    Args:
        recognition: what the model says.
        rank: its place among the answers about this picture, from 1.
        explained: the picture of its evidence, or why there is none.
        aid: the diagnosis aids found for the prediction set.
        names: entries at hand for the names of the other labels.
        case: the user's own reference, repeated in the result.
    """
    manifest, found, row = recognition.manifest, recognition.answer, recognition.answer.scores
    ranked = sorted(range(len(row)), key=lambda index: -row[index])
    known = {**names.entries, **aid.entries}
    prepare_ms, infer_ms = recognition.prepare_ms, recognition.infer_ms
    return {
        "image": str(recognition.picture.file),
        "sha256": recognition.sha256,
        "frame": recognition.picture.frame,
        "crop": _crop(recognition.picture),
        **({} if case is None else {"case": case}),
        "rank": rank,
        "disease": manifest.disease,
        "release": {"model": manifest.model, "version": manifest.version},
        "labels": [_label(manifest.labels[index], float(row[index]), known) for index in ranked],
        "prediction_set": [manifest.labels[index].label for index in found.in_set],
        "considered": [label.label for label in considered(recognition)],
        "coverage": manifest.calibration.coverage,
        "outcome": found.outcome,
        "reasons": list(found.reasons),
        "novelty": None if found.novelty is None else round(found.novelty, 3),
        "quality": {
            "blur": round(blur(recognition.quality, manifest.quality), 3),
            "sharpness": round(recognition.quality.sharpness, 2),
            "exposure": round(recognition.quality.exposure, 3),
            "ok": not quality_faults(recognition.quality, manifest.quality),
        },
        **explained.document(),
        "diagnosis": _diagnosis(recognition, aid),
        "timing_ms": {
            "prepare": round(prepare_ms, 1),
            "infer": round(infer_ms, 1),
            "total": round(prepare_ms + infer_ms, 1),
        },
        "notice": NOTICE["en"],
    }


def _crop(picture: Picture) -> dict[str, int | bool] | None:
    """The region; None: the whole picture."""
    if (crop := picture.crop) is None:
        return None
    return {"x": crop.x, "y": crop.y, "w": crop.width, "h": crop.height, "suggested": picture.is_suggested}


def _label(label: Label, score: float, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    entry = known.get(label.entry) if label.entry else None
    name = {language: (entry["name"][language] if entry else "") or label.label for language in ("zh", "en")}
    return {"label": label.label, "name": name, "kind": label.kind, "entry": label.entry, "score": round(score, 4)}


def _diagnosis(recognition: Recognition, aid: Answer) -> dict[str, Any]:
    """Entries of the considered labels, likeliest first, each once; labels without one are named, never guessed."""
    entries: dict[str, dict[str, Any]] = {}
    unmapped = []
    for label in considered(recognition):
        if label.entry is None:
            reason = recognition.manifest.unmapped_reason or _DEFAULT_REASON
            unmapped.append({"label": label.label, "reason": reason})
        elif label.entry in aid.entries:
            entries[label.entry] = aid.entries[label.entry]
        else:
            unmapped.append({"label": label.label, "reason": _NO_ENTRY.format(entry=label.entry)})
    return {
        "source": aid.source,
        "kb_version": aid.kb_version,
        "entries": list(entries.values()),
        "unmapped": unmapped,
    }
