"""The figures that the README's promise rests on, on real images with patients, with the pretrained backbone.

Nested and grouped: neither the fit nor the choice of taps has seen the images that are counted.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import data_folder
from tests.support.commands import run

pytestmark = [pytest.mark.slow, pytest.mark.data, pytest.mark.alone]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("accuracy")
    run("medmesh-coordinator", "init", "--approvals", "1", home=folder)
    return folder


@pytest.mark.parametrize(
    ("name", "disease", "least", "last_pool_at_most"),
    [("malaria_cells", "malaria", 0.90, 0.90), ("cxr_pneumonia", "pneumonia", 0.965, 0.96)],
)
def test_quick_training_reaches_the_figure_in_time(
    home: Path, name: str, disease: str, least: float, last_pool_at_most: float
) -> None:
    run("medmesh-coordinator", "dataset", "import", str(data_folder(name)), "--disease", disease, home=home)
    cold = run("medmesh-coordinator", "train", disease, "--effort", "quick", home=home)
    assert cold["metrics"]["balanced_accuracy"]["value"] >= least
    rungs = {r["name"]: r["balanced_accuracy"] for r in cold["rungs"]}
    assert rungs["last pool"] <= last_pool_at_most, "the rival that the taps beat"
    assert cold["seconds"]["total"] <= 150
    assert 1590 <= cold["features_computed"] <= 1600  # exact duplicates are kept once


def test_training_again_on_cached_features_is_quick(home: Path) -> None:
    data_folder("malaria_cells")
    warm = run("medmesh-coordinator", "train", "malaria", "--effort", "quick", home=home)
    assert warm["features_computed"] == 0
    assert warm["seconds"]["total"] <= 60
