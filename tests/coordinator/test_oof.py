from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coordinator.store.blobs import FolderBlobs
from coordinator.training import oof
from coordinator.training.oof import OutOfFold
from protocols.recognition import scores
from tests.support.answers import PATIENT, trained


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path)


def keep(found: OutOfFold, blobs: FolderBlobs, groups: np.ndarray) -> dict[str, object]:
    return oof.keep(blobs, found.images, groups, found.truth, found.logits)


def test_what_is_kept_comes_back_exactly(blobs: FolderBlobs) -> None:
    _, found = trained(repeats=3)
    names = np.array([f"{PATIENT}-{g}" for g in found.groups])
    reference = keep(found, blobs, names)
    loaded = oof.load(blobs, reference)
    assert loaded is not None and reference["repeats"] == 3
    assert loaded.images == found.images and (loaded.truth == found.truth).all()
    assert loaded.logits.tobytes() == found.logits.tobytes()
    together = found.groups[:, np.newaxis] == found.groups
    assert ((loaded.groups[:, np.newaxis] == loaded.groups) == together).all()


def test_no_name_of_a_group_is_kept_nor_its_place_in_the_alphabet(blobs: FolderBlobs) -> None:
    _, found = trained()
    first = keep(found, blobs, np.array([f"{PATIENT}-{g}" for g in found.groups]))
    other = keep(found, blobs, np.array([f"{'zyxwvutsrqponmlkjihgfedcba'[g % 26]}{g}" for g in found.groups]))
    assert first == other
    assert PATIENT.encode() not in blobs.path(str(first["sha256"])).read_bytes()


def test_lost_damaged_or_never_kept_answers_are_none(blobs: FolderBlobs) -> None:
    _, found = trained()
    reference = keep(found, blobs, found.groups.astype(str))
    path = blobs.path(str(reference["sha256"]))
    assert oof.load(blobs, None) is None
    path.write_bytes(path.read_bytes()[:-1])
    assert oof.load(blobs, reference) is None
    path.unlink()
    assert oof.load(blobs, reference) is None


def test_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="out-of-fold"):
        OutOfFold.from_bytes(b"PK\x05\x06" + bytes(18))


def test_held_out_sets_cover_as_stated_though_their_own_groups_had_no_say() -> None:
    manifest, found = trained(images=1200, groups=300)
    sets = oof.held_out_sets(found, manifest.calibration.coverage)
    covered = sets[:, np.arange(1200), found.truth]
    assert sets.shape == found.logits.shape
    assert covered.mean() == pytest.approx(manifest.calibration.coverage, abs=0.03)
    published = 1 - scores(found.logits, manifest.calibration) <= np.array(manifest.calibration.thresholds)
    assert 0 < (sets != published).mean() < 0.05
