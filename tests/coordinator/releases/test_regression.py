"""A version against the release that nodes use now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from coordinator.releases import gates, regression
from coordinator.training.metrics import balanced_accuracy_difference
from coordinator.training.oof import OutOfFold
from tests.support.manifests import example

LABELS = ("parasitized", "uninfected")


def answers(
    images: Sequence[int], wrong: float, labels: Sequence[str] = LABELS, repeats: int = 3, seed: int = 0
) -> OutOfFold:
    """Four images a group; the truth is the image's parity; a share is answered wrongly."""
    numbers = np.array(images)
    truth = np.array([labels.index(LABELS[n % 2]) for n in numbers])
    generator = np.random.default_rng(seed)
    given = np.where(
        generator.random((repeats, len(numbers))) < wrong, [labels.index(LABELS[1 - n % 2]) for n in numbers], truth
    )
    return OutOfFold(
        tuple(f"{n:064x}" for n in images), numbers // 4, truth, np.eye(len(labels), dtype=np.float32)[given]
    )


def test_the_same_answers_are_no_loss() -> None:
    found = regression.paired(answers(range(80), 0.1), LABELS, answers(range(80), 0.1), LABELS)
    assert found is not None and found.candidate == found.current and (found.low, found.high) == (0, 0)
    assert regression.gate("malaria@1", found, None).ok


def test_a_clear_loss_is_stopped_unless_somebody_says_why() -> None:
    found = regression.paired(answers(range(400), 0.25), LABELS, answers(range(400), 0.05, seed=1), LABELS)
    assert found is not None and found.high is not None and found.high < -0.1
    bad = regression.gate("malaria@1", found, None)
    assert not bad.ok and "difference -0." in bad.detail and "400 images of 100 groups" in bad.detail
    assert "a licence ended" in regression.gate("malaria@1", found, "a licence ended").detail


def test_a_loss_within_chance_passes_and_is_told() -> None:
    found = regression.paired(answers(range(60), 0.14, repeats=1), LABELS, answers(range(60), 0.1, repeats=1), LABELS)
    assert found is not None and found.low is not None and found.low < 0 and not found.is_worse
    assert "95 %:" in regression.gate("malaria@1", found, None).detail


def test_pairs_are_found_by_digest_and_label_name_whatever_the_order() -> None:
    turned = answers(range(40, 160), 0.1, ("uninfected", "parasitized"))
    found = regression.paired(answers(range(100), 0), LABELS, turned, ("uninfected", "parasitized"))
    assert (
        found is not None
        and found.candidate == 1
        and 0.8 < found.current < 1
        and found.on.en.startswith("60 images of 15 groups")
    )


def test_a_class_that_the_release_did_not_know_is_left_out() -> None:
    wider = ("gametocyte", *LABELS)
    new = answers(range(80), 0, wider)
    truth = np.array([0 if n < 20 else t for n, t in enumerate(new.truth)])
    found = regression.paired(replace(new, truth=truth), wider, answers(range(80), 0), LABELS)
    assert found is not None and found.on.en.startswith("60 images")


def test_nothing_in_common_needs_a_reason() -> None:
    assert regression.paired(answers(range(40), 0), LABELS, answers(range(100, 140), 0), LABELS) is None
    assert not regression.gate("malaria@1", None, None).ok and regression.gate("malaria@1", None, "brought").ok
    assert regression.gate(None, None, None).ok


def test_pairing_sees_what_two_intervals_would_hide() -> None:
    generator = np.random.default_rng(3)
    groups = np.repeat(np.arange(40), 10)
    truth = np.tile([0, 1], 200)
    hard = generator.random(40)[groups] < 0.4  # groups on which both are bad
    base = np.where(hard & (generator.random(400) < 0.6), 1 - truth, truth)
    worse = np.where((generator.random(400) < 0.06) & (base == truth), 1 - truth, base)
    found = balanced_accuracy_difference(truth, worse[None], base[None], groups, 2)
    low, high = found.difference.low, found.difference.high
    assert low is not None and high is not None and high < 0 and high - low < 0.06


def recalibrated(before: float, after: float, groups: int = 40) -> dict[str, Any]:
    figures = {"before": {"balanced_accuracy": before}, "after": {"balanced_accuracy": after}}
    return {"recalibrated": {"from": "malaria@1", "images": 200, "groups": groups, **figures}}


def test_a_recalibrated_version_is_judged_at_its_site() -> None:
    for after, ok in ((0.85, True), (0.8, True), (0.78, True), (0.4, False)):
        found = regression.stated(recalibrated(0.8, after), "malaria@1")
        assert found is not None and regression.gate("malaria@1", found, None).ok == ok
    assert regression.stated(recalibrated(0.8, 0.8), "malaria@2") is None
    assert regression.stated({}, "malaria@1") is None


def test_a_federated_version_is_judged_by_what_the_sites_held_out() -> None:
    for mean, ok in ((0.9, True), (0.8, True), (0.79, False)):
        training = {"federated": {"from": "malaria@1", "global": {"mean": mean, "sites": 4}, "start_mean": 0.8}}
        found = regression.stated(training, "malaria@1")
        assert found is not None and regression.gate("malaria@1", found, None).ok == ok
    assert regression.stated({"federated": {"from": "malaria@1", "personal": {}}}, "malaria@1") is None


@pytest.mark.parametrize(
    ("text", "earlier", "ok"),
    [
        ("", None, True),
        ("", "first", False),
        ("1.2 …", "first", False),
        ("first ", "first", False),
        ("Thin smears added", "first", True),
        ("增加薄血膜", "first", True),
    ],
)
def test_a_second_release_says_what_changes(text: str, earlier: str | None, ok: bool) -> None:
    assert gates.notes(text, earlier).ok == ok


def test_a_card_names_what_it_lacks() -> None:
    bare = gates.card_complete(example())
    assert not bare.ok and "number of groups" in bare.detail and "balanced accuracy" in bare.detail
    full = replace(
        example(),
        data={"dataset": "malaria", "images": 40, "groups": 8},
        metrics={"balanced_accuracy": {"value": 0.9, "low": 0.8, "high": 1.0}},
    )
    assert gates.card_complete(full).ok
    assert gates.card_complete(replace(example(), backbone=None, data={"brought": {"by": "Dr Li"}})).ok
