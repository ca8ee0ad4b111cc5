"""Confirmed cases as training data: pictures on this machine whose results in the history bear a clinician's word."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_node.errors import EdgeError
from edge_node.federation.folder import Found, Reading, is_ignored
from edge_node.outbox.history import Remembered
from protocols.results.report import OTHER


@dataclass(frozen=True)
class Word:
    """What a clinician called a picture.

    Attributes:
        label: of the model.
        group: what pictures of one case share; no case reference can be read from it.
        result: its id, under which the history may hold a sealed copy of the picture.
    """

    label: str
    group: str
    result: str


def words(results: Sequence[Remembered], disease: str) -> tuple[dict[str, Word], tuple[str, ...]]:
    """The words on pictures (by SHA-256) of a disease, and all labels that its models had.

    The newest word on a picture counts. ``other`` says that no label fits: such a picture teaches nothing here.
    """
    found: dict[str, Word] = {}
    labels: set[str] = set()
    for item in sorted(results, key=lambda r: r.made):
        if item.result["disease"] != disease:
            continue
        labels |= {str(row["label"]) for row in item.result["labels"]}
        if item.word is None:
            continue
        sha256 = str(item.result["sha256"])
        if item.word.label == OTHER:
            found.pop(sha256, None)
            continue
        case = item.result.get("case")
        group = f"picture {sha256}" if case is None else f"case {hashlib.sha256(str(case).encode()).hexdigest()[:24]}"
        found[sha256] = Word(item.word.label, group, item.id)
    return found, tuple(sorted(labels))


def read_confirmed(
    folder: Path | None,
    known: dict[str, Word],
    labels: tuple[str, ...],
    copies: Collection[str],
    progress: Callable[[int, int], None],
) -> Reading:
    """The pictures that bear a word: by the sealed copies that the history kept, and else by files below a folder.

    The copy comes first although it may have lost pixels that the model would not have seen: it is there for as long as the
    result is, while the original may be deleted any day.

    Args:
        folder: where originals lie, however it is arranged; None: copies alone.
        known: the words, by the original's digest.
        labels: that the disease's models had.
        copies: results whose picture is kept.
        progress: called with files done and their number.

    Raises:
        EdgeError: ``federation.data_folder`` or ``federation.none_confirmed``.
    """
    if folder is not None and not folder.is_dir():
        raise EdgeError("federation.data_folder", path=folder)
    reading = Reading(labels, grouped=True)
    for sha256, word in sorted(known.items()):
        if word.result in copies:
            reading.images.append(Found(sha256, word.label, word.group, result=word.result))
    files = [] if folder is None else [p for p in sorted(folder.rglob("*")) if p.is_file() and not is_ignored(p.name)]
    seen = {image.sha256 for image in reading.images}
    for done, path in enumerate(files, start=1):
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        if sha256 in known and sha256 not in seen:
            seen.add(sha256)
            reading.images.append(Found(sha256, known[sha256].label, known[sha256].group, path.absolute()))
        progress(done, len(files))
    if not reading.images:
        raise EdgeError("federation.none_confirmed", path=folder or "-")
    return reading
