"""Data that cannot be trained on is refused with a sentence and a remedy, before anything heavy runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.intake.datasets import Sample
from coordinator.training.features import Extraction
from coordinator.training.plan import Plan
from coordinator.training.table import Altered, as_data
from coordinator.training.trainer import Trainer
from protocols.manifest import Label
from tests.support.engine import InlineEngine

NAMES = ("parasitized", "uninfected")


def samples(sick: int, healthy: int, groups: int) -> list[Sample]:
    """Images of two classes, dealt to groups."""
    labels = [NAMES[0]] * sick + [NAMES[1]] * healthy
    return [Sample(f"{n:064x}", label, f"patient-{n % groups}", f"{n}.png") for n, label in enumerate(labels)]


def plan(found: list[Sample]) -> Plan:
    labels = [Label(name, None, "other") for name in NAMES]
    now = datetime(2026, 1, 2, tzinfo=UTC)
    return Plan("malaria", "malaria", 1, found, labels, ("random-1",), "quick", None, now)


def refusal(found: list[Sample], home: Path) -> CoordinatorError:
    """How training on these images is refused; it must not have begun."""
    with pytest.raises(CoordinatorError) as caught:
        Trainer(Home(home), InlineEngine(), 10).train(plan(found), lambda *steps: pytest.fail("began"))
    assert not list(home.iterdir())
    return caught.value


def test_a_class_of_three_images_is_named_with_its_count(tmp_path: Path) -> None:
    error = refusal(samples(3, 30, 10), tmp_path)
    assert (error.code, error.kind.exit_code) == ("train.too_few_images", 3)
    assert "parasitized has 3 image(s); at least 5" in error.message()
    assert "Add images, or leave the class out" in error.remedy() and "补充图像" in error.remedy("zh")


def test_a_single_group_is_refused(tmp_path: Path) -> None:
    error = refusal(samples(20, 20, 1), tmp_path)
    assert (error.code, error.kind.exit_code) == ("train.too_few_groups", 3)
    assert error.message().startswith("1 group(s)")
    assert "more patients" in error.remedy() and "更多患者" in error.remedy("zh")


def test_a_class_that_stands_in_one_group_only_is_refused(tmp_path: Path) -> None:
    found = [Sample(s.sha256, s.label, "sick" if s.label == NAMES[0] else s.group, s.file) for s in samples(20, 20, 9)]
    assert refusal(found, tmp_path).code == "train.too_few_groups"


def features(images: int, broken: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    """Two taps; the images in ``broken`` have something in the second that is no number."""
    taps = {"mixed4_avg": np.ones((images, 4), np.float32), "mixed7_avg": np.ones((images, 6), np.float32)}
    for image, value in zip(broken, (np.nan, np.inf, -np.inf), strict=False):
        taps["mixed7_avg"][image, 2] = value
    return taps


@pytest.mark.parametrize(
    ("broken", "broken_views", "count"),
    [((3,), (), 1), ((0, 5, 7), (), 3), ((), (1, 2), 2)],
    ids=["nan", "inf", "views"],
)
def test_features_that_are_no_numbers_are_refused_and_counted(
    broken: tuple[int, ...], broken_views: tuple[int, ...], count: int
) -> None:
    found = samples(10, 10, 5)
    extraction = Extraction(features(20, broken), [], 20, np.zeros((20, 192), np.float32))
    altered = Altered(features(6, broken_views), np.arange(6))
    with pytest.raises(CoordinatorError) as caught:
        as_data(found, plan(found).labels, extraction, altered)
    error = caught.value
    assert error.code == "train.bad_features" and f"{count} image(s)" in error.message()
    assert "another backbone" in error.remedy() and "更换主干" in error.remedy("zh")
    good = Altered(features(6), np.arange(6))
    assert (
        len(as_data(found, plan(found).labels, Extraction(features(20), [], 20, extraction.thumbnails), good).labels)
        == 20
    )
