from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from coordinator.errors import CoordinatorError
from coordinator.training.evaluation import Evaluation, Prediction
from coordinator.training.recalibration import fit, more_lenient, recalibrate, wider
from protocols.imaging import Quality
from protocols.manifest import Calibration
from protocols.novelty import Residuals
from protocols.recognition import answer, scores
from tests.support.manifests import example

PLAIN = replace(example(), calibration=Calibration(1.0, 0.9, (0.5, 0.5), (0.0, 0.0)))


def site(
    images: int = 400, shift: float = 6.0, stretch: float = 3.0, residual: float = 1.0, groups: int = 100
) -> Evaluation:
    """A site whose logits are ``stretch`` times too large and lean to label 0 by ``shift``."""
    chance = np.random.default_rng(3)
    truth = chance.integers(0, 2, images)
    honest = np.where(truth == 0, 1.0, -1.0) + chance.normal(0, 1.0, images)
    logits = np.stack([honest * stretch + shift, -honest * stretch], axis=1).astype(np.float32)
    quality, residuals = Quality(5.0, 0.5, 0.9, 0.0), Residuals(residual, 1.0)
    predictions = [Prediction(answer(PLAIN, row, quality, residuals), row, quality, residuals, "") for row in logits]
    return Evaluation(
        files=[str(n) for n in range(images)],
        groups=np.array([str(n % groups) for n in range(images)]),
        truth=truth,
        scores=np.stack([p.answer.scores for p in predictions]),
        predictions=predictions,
        rejected=[],
        grouped=True,
    )


def test_a_leaning_boastful_model_becomes_upright_and_honest() -> None:
    found = recalibrate(PLAIN, site())
    before, after = found.document["before"], found.document["after"]
    assert after["balanced_accuracy"] > before["balanced_accuracy"] + 0.03
    assert after["ece"] < min(before["ece"], 0.05)
    assert after["coverage"] == pytest.approx(0.9, abs=0.04)
    assert found.manifest.calibration.bias[0] < 0 < found.manifest.calibration.bias[1]


def test_only_the_manifest_changes() -> None:
    found = recalibrate(PLAIN, site()).manifest
    assert (found.artifacts, found.stages, found.labels, found.golden.sha256) == (
        PLAIN.artifacts,
        PLAIN.stages,
        PLAIN.labels,
        PLAIN.golden.sha256,
    )
    assert type(found).from_bytes(found.to_bytes()) == found


def test_calibration_holds_on_images_of_the_site_that_it_has_not_seen() -> None:
    all_images = site(images=2000)
    logits = np.array([p.logits for p in all_images.predictions])
    fitted = fit(logits[:300], all_images.truth[:300], PLAIN.calibration)
    right = scores(logits[300:], fitted).argmax(1) == all_images.truth[300:]
    assert right.mean() > 0.83  # the best any threshold reaches is 0.84


def test_a_handful_of_images_moves_little() -> None:
    few = site(images=24, groups=24)
    logits = np.array([p.logits for p in few.predictions])
    assert max(abs(b) for b in fit(logits, few.truth, PLAIN.calibration).bias) < 1.5


def test_an_unfamiliar_site_becomes_familiar_and_a_familiar_one_stays_as_it_was() -> None:
    limits = PLAIN.novelty
    assert limits is not None
    far = wider(limits, [Residuals(3.0, 1.0)] * 50)
    assert far.familiar == 3.0 and far.foreign == limits.foreign * 2
    assert wider(limits, [Residuals(0.5, 0.5)] * 50) == limits


def test_quality_bounds_make_room_for_the_site_and_never_get_stricter() -> None:
    darker = more_lenient(PLAIN.quality, [Quality(1.0, 0.05, 0.1, 0.6)] * 30)
    assert darker.sharpness_min < 1.0 and darker.exposure_min < 0.05 and darker.highlight_min < 0.1
    assert darker.clipped_max > 0.6 and darker.exposure_max == PLAIN.quality.exposure_max
    assert more_lenient(PLAIN.quality, [Quality(50.0, 0.5, 0.99, 0.0)] * 30) == PLAIN.quality


def test_the_manifest_says_what_was_found_at_the_site_and_what_stayed() -> None:
    before = replace(
        PLAIN, methods={n: {"method": f"made up for {n}"} for n in ("familiar", "foreign", "layout", "quality")}
    )
    near = recalibrate(before, site(residual=1.0)).manifest.methods
    assert near["temperature"]["method"] == "likelihood_at_site" and near["temperature"]["images"] == 400
    assert near["thresholds"] == {"method": "class_conditional_conformal_at_site", "coverage": 0.9, "groups": 100}
    assert {n: near[n] for n in before.methods} == before.methods
    far = recalibrate(before, site(residual=3.0)).manifest
    assert far.methods["familiar"]["method"] == "quantile_at_site"
    assert far.methods["foreign"]["method"] == "stretched_like_familiar"
    assert far.methods["layout"] == before.methods["layout"] and far.novelty != before.novelty
    darker = replace(before.quality, sharpness_min=9.0)
    assert (
        recalibrate(replace(before, quality=darker), site()).manifest.methods["quality"]["method"] == "widened_at_site"
    )


def test_too_few_images_of_a_class_or_a_single_patient_are_refused() -> None:
    with pytest.raises(CoordinatorError) as caught:
        recalibrate(PLAIN, site(images=12))
    assert caught.value.code == "recalibrate.too_few" and "at least 10" in caught.value.message()
    assert "Add labelled images" in caught.value.remedy() and "补充" in caught.value.remedy("zh")
    with pytest.raises(CoordinatorError) as caught:
        recalibrate(PLAIN, site(groups=1))
    assert caught.value.code == "recalibrate.one_group"
    assert "--groups" in caught.value.remedy() and "--groups" in caught.value.remedy("zh")
