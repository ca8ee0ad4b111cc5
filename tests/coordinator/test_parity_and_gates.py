from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from coordinator.releases import gates
from coordinator.training import parity
from protocols.manifest import Label
from tests.support.manifests import HEAD, example

NAMES = ["parasitized", "uninfected"]


def logits(images: int = 1000) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 3, (images, 2)).astype(np.float32)


def test_the_same_answers_pass() -> None:
    found = parity.compare(logits(), logits() + 1e-4, NAMES)
    assert found["ok"] and found["agreement"] == 1.0
    assert found["per_class"] == {"parasitized": 1.0, "uninfected": 1.0}


def test_three_other_labels_in_a_thousand_fail() -> None:
    changed = logits()
    changed[:3] = -changed[:3]
    found = parity.compare(logits(), changed, NAMES)
    assert not found["ok"] and found["agreement"] == 0.997


def test_scores_that_drift_fail_though_every_label_stays() -> None:
    found = parity.compare(logits(), logits() * 1.3, NAMES)
    assert not found["ok"] and found["agreement"] == 1.0 and found["score_difference"] > 0.02


def test_a_rare_class_that_suffers_fails_though_the_whole_hardly_moves() -> None:
    rare = np.full((10_000, 3), (4.0, 0.0, -4.0), np.float32)
    rare[:150] = (0.0, 4.0, -4.0)
    changed = rare.copy()
    changed[:3] = (4.0, 0.0, -4.0)
    found = parity.compare(rare, changed, ["common", "rare", "never"])
    assert found["agreement"] == pytest.approx(0.9997) and found["score_difference"] == 0
    assert found["per_class"] == {"common": 1.0, "rare": 0.98}
    assert not found["ok"]


def record(**changes: object) -> dict[str, object]:
    return {"parity": {"head": HEAD, **parity.compare(logits(), logits(), NAMES), **changes}}


def test_the_gate_tells_the_figures() -> None:
    bad = gates.parity(example(), record(ok=False, agreement=0.95))
    assert not bad.ok and "95.00%" in bad.detail and "uninfected" in bad.detail
    assert gates.parity(example(), record()).ok


def test_a_comparison_of_another_head_does_not_count() -> None:
    assert not gates.parity(example(), record(head="f" * 64)).ok
    assert not gates.parity(example(), {}).ok


def test_labels_need_an_entry_unless_they_are_normal_or_it_is_said_why() -> None:
    assert gates.labels_mapped(example(), None).ok
    bare = replace(example(), labels=(Label("odd", None, "disease"), Label("fine", None, "normal")))
    assert not gates.labels_mapped(bare, None).ok
    assert "odd" in gates.labels_mapped(bare, "a pilot").detail and gates.labels_mapped(bare, "a pilot").ok
