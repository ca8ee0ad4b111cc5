"""Nested out-of-fold answers of a trained version: kept for its card, on the coordinator only, without names of people."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.store.blobs import FolderBlobs
from coordinator.training import folds
from coordinator.training.calibration import calibrate
from protocols.recognition import scores

_FOLDS = 5


@dataclass(frozen=True)
class OutOfFold:
    """Answers of models that had not seen the image, nor its group.

    Attributes:
        images: SHA-256 of each kept image, hexadecimal.
        groups: int64 [images], number of the image's group; the numbering says nothing about the group's name.
        truth: int64 [images], indices of the manifest's labels.
        logits: float32 [repeats, images, labels], before calibration.
    """

    images: tuple[str, ...]
    groups: NDArray[np.int64]
    truth: NDArray[np.int64]
    logits: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """A compressed NumPy archive; the same content gives the same bytes."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            images=np.frombuffer(bytes.fromhex("".join(self.images)), np.uint8).reshape(-1, 32),
            groups=self.groups.astype(np.int32),
            truth=self.truth.astype(np.int16),
            logits=self.logits.astype(np.float32),
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> OutOfFold:
        """Read ``to_bytes``.

        Raises:
            ValueError: it is something else.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                return cls(
                    tuple(row.tobytes().hex() for row in found["images"]),
                    found["groups"].astype(np.int64),
                    found["truth"].astype(np.int64),
                    found["logits"],
                )
        except (KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError("not an archive of out-of-fold answers") from error


def keep(
    blobs: FolderBlobs,
    images: Sequence[str],
    groups: NDArray[np.str_],
    truth: NDArray[np.int64],
    logits: NDArray[np.float32],
) -> dict[str, Any]:
    """Store the answers and return the reference that stands in the model's training document.

    Args:
        blobs: where to; never the folder that is served.
        images: digests.
        groups: [images], names; only which images share one is kept.
        truth: [images].
        logits: [repeats, images, labels].
    """
    numbers: dict[str, int] = {}
    numbered = np.array([numbers.setdefault(g, len(numbers)) for g in groups.tolist()], dtype=np.int64)
    data = OutOfFold(tuple(images), numbered, truth, logits).to_bytes()
    return {"sha256": blobs.put(data), "size": len(data), "repeats": len(logits)}


def load(blobs: FolderBlobs, reference: dict[str, Any] | None) -> OutOfFold | None:
    """The answers that a training document refers to; None where there are none, or they are lost or damaged."""
    if reference is None or not blobs.has(reference["sha256"]):
        return None
    data = blobs.path(reference["sha256"]).read_bytes()
    if hashlib.sha256(data).hexdigest() != reference["sha256"]:
        return None
    return OutOfFold.from_bytes(data)


def forget(folder: Path, images: set[str]) -> None:
    """Remove the files that hold answers about any of ``images`` (digests), and those that cannot be read.

    A file goes as a whole: from the rest of it nobody could count the figures of its version again.
    """
    for path in folder.glob("??/" + "?" * 64):
        try:
            held = set(OutOfFold.from_bytes(path.read_bytes()).images)
        except ValueError:
            held = images
        if held & images:
            path.unlink(missing_ok=True)


def held_out_sets(found: OutOfFold, coverage: float) -> NDArray[np.bool_]:
    """Prediction sets [repeats, images, labels] of calibrations that had not seen the image's group.

    The published calibration comes from these very images, so that its coverage of them says nothing; here each fold of
    groups gets the one that the others give (cross-conformal prediction, Vovk 2015).

    Raises:
        CoordinatorError: ``train.too_few_groups``.
    """
    groups = found.groups.astype(str)
    (fold_of,) = folds.plans(found.truth, groups, _FOLDS, 1)
    result = np.zeros(found.logits.shape, dtype=bool)
    for fold in np.unique(fold_of):
        test = fold_of == fold
        fitted = calibrate(found.logits[:, ~test], found.truth[~test], groups[~test], coverage)
        result[:, test] = 1 - scores(found.logits[:, test], fitted) <= np.array(fitted.thresholds)
    return result
