"""Evidence by location, by arithmetic and with tiny real stages (``data/make_stages.py`` tells what they are)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from protocols import explanation
from protocols.errors import ProtocolError
from protocols.explanation import Evidence, LinearMap, extent, heat, locate, read_linear_map
from protocols.imaging import InputSpec
from protocols.manifest import Label, ReleaseManifest, Stage
from protocols.pipeline import Pipelines, StageRunner, Tensors
from tests.support.manifests import example

DATA = Path(__file__).parent / "data"
POOLS = tuple(f"{layer}_{pool}" for layer in ("mixed2", "mixed4", "mixed7") for pool in ("avg", "max"))
RANDOM = np.random.default_rng(3)


def normal(*shape: int) -> NDArray[np.float32]:
    return RANDOM.normal(size=shape).astype(np.float32)


def outputs_of(**maps: NDArray[np.float32]) -> Tensors:
    """What a trunk gives for these maps [h, w, channels]: the maps and their pools."""
    outputs: Tensors = {}
    for layer, values in maps.items():
        outputs[f"{layer}_map"] = values[np.newaxis]
        outputs[f"{layer}_avg"] = values.mean(axis=(0, 1))[np.newaxis]
        outputs[f"{layer}_max"] = values.max(axis=(0, 1))[np.newaxis]
    return outputs


def logits_of(head: LinearMap, outputs: Tensors) -> NDArray[np.float32]:
    return np.asarray(sum(outputs[n][0] @ w for n, w in head.weights.items()) + head.bias, dtype=np.float32)


def located(head: LinearMap, outputs: Tensors, edge_px: int = 299) -> Evidence:
    evidence = locate(head, outputs, logits_of(head, outputs), edge_px)
    assert evidence is not None
    return evidence


def total(evidence: Evidence) -> NDArray[np.float32]:
    return np.asarray(evidence.grid.sum(axis=(0, 1)) + evidence.bias)


# --- arithmetic


def test_an_average_is_credited_where_the_map_is_active() -> None:
    active = np.zeros((3, 3, 2), np.float32)
    active[1, 2] = (9.0, 18.0)
    head = LinearMap({"mixed4_avg": np.array([[1, 0], [0, -1]], np.float32)}, np.array([0.5, 0.0], np.float32))
    evidence = located(head, outputs_of(mixed4=active))
    assert evidence.grid[1, 2] == pytest.approx([1.0, -2.0])
    assert np.count_nonzero(evidence.grid) == 2
    assert evidence.bias == pytest.approx([0.5, 0.0])


def test_a_maximum_belongs_to_where_it_is_reached_in_equal_parts() -> None:
    active = np.zeros((2, 2, 2), np.float32)
    active[0, 0], active[1, 1] = (4.0, 1.0), (2.0, 1.0)
    head = LinearMap({"mixed4_max": np.array([[1, 0], [0, 1]], np.float32)}, np.zeros(2, np.float32))
    grid = located(head, outputs_of(mixed4=active)).grid
    assert grid[..., 0].tolist() == [[4.0, 0.0], [0.0, 0.0]]
    assert grid[..., 1].tolist() == [[0.5, 0.0], [0.0, 0.5]]


def test_what_has_no_map_is_spread_evenly() -> None:
    outputs = {**outputs_of(mixed4=normal(2, 2, 3)), "mixed8_avg": normal(1, 4)}
    head = LinearMap({"mixed4_avg": np.zeros((3, 2), np.float32), "mixed8_avg": normal(4, 2)}, normal(2))
    evidence = located(head, outputs)
    assert np.ptp(evidence.grid, axis=(0, 1)) == pytest.approx([0, 0], abs=1e-6)
    assert total(evidence) == pytest.approx(logits_of(head, outputs), abs=1e-5)


def test_without_any_map_nothing_is_located() -> None:
    outputs = {"mixed8_avg": normal(1, 4)}
    head = LinearMap({"mixed8_avg": normal(4, 2)}, normal(2))
    assert locate(head, outputs, logits_of(head, outputs), 299) is None


def test_parts_that_do_not_add_up_are_not_shown() -> None:
    outputs = outputs_of(mixed4=normal(4, 4, 8))
    head = LinearMap({"mixed4_avg": normal(8, 2)}, normal(2))
    wrong = logits_of(head, outputs) + np.array([1.0, 0.0], np.float32)
    assert locate(head, outputs, wrong, 299) is None
    assert locate(head, outputs, np.full(2, np.nan, np.float32), 299) is None


coarse_values = st.sampled_from([0.0, 0.0, 1.0, 2.5, 7.0])  # many ties


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([(1, 1), (2, 3), (5, 5), (17, 17)]).flatmap(
        lambda side: arrays.arrays(np.float32, (*side, 4), elements=coarse_values)
    ),
    st.sampled_from([(1, 1), (3, 2), (8, 8)]).flatmap(
        lambda side: arrays.arrays(np.float32, (*side, 3), elements=coarse_values)
    ),
    st.sampled_from([75, 299, 300]),
)
def test_the_parts_add_up_to_the_logits_whatever_the_grids(
    fine: NDArray[np.float32], coarse: NDArray[np.float32], edge_px: int
) -> None:
    outputs = outputs_of(mixed4=fine, mixed10=coarse)
    channels = {"mixed4_avg": 4, "mixed4_max": 4, "mixed10_avg": 3, "mixed10_max": 3}
    weights = np.random.default_rng(1).normal(size=(4, 4, 3)).astype(np.float32)
    head = LinearMap({n: w[:c] for w, (n, c) in zip(weights, channels.items(), strict=True)}, np.ones(3, np.float32))
    evidence = located(head, outputs, edge_px)
    assert evidence.grid.shape[:2] == tuple(np.maximum(fine.shape[:2], coarse.shape[:2]))
    assert total(evidence) == pytest.approx(logits_of(head, outputs), rel=1e-4, abs=1e-3)


def test_a_coarse_cell_goes_to_the_fine_ones_that_it_covers() -> None:
    coarse = np.zeros((8, 8, 1), np.float32)
    coarse[0, 3] = 64.0
    outputs = outputs_of(mixed10=coarse, mixed7=np.zeros((17, 17, 1), np.float32))
    head = LinearMap({n: np.ones((1, 2), np.float32) for n in ("mixed10_avg", "mixed7_avg")}, np.zeros(2, np.float32))
    grid = located(head, outputs).grid[..., 0]
    # InceptionV3 at 299 px: the cell's centre is at (37, 133) px, those of fine cells 1 and 7 are too
    expected = np.zeros((17, 17))
    expected[0:3, 6:9] = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25])
    assert grid == pytest.approx(expected, abs=1e-6)


def test_cells_lie_where_inception_puts_them() -> None:
    for cells, first_px, step_px in ((17, 21.5, 16), (8, 37.5, 32)):
        start, width = extent(299, cells)
        assert (start + width / 2) * 299 == pytest.approx(first_px)
        assert width * 299 == pytest.approx(step_px)
    assert extent(256, 8) == (0.0, 1 / 8)


# --- heat


def test_heat_shows_what_speaks_for_a_label_against_the_mean_of_the_others() -> None:
    grid = np.zeros((9, 9, 3), np.float32)
    grid[2, 2], grid[6, 6] = (4.0, 1.0, 1.0), (0.0, 3.0, 1.0)
    shown = heat(Evidence(grid, np.zeros(3, np.float32)), 0)
    assert shown.shape == (9, 9) and shown.dtype == np.float32
    assert np.unravel_index(shown.argmax(), shown.shape) == (2, 2) and shown.max() == pytest.approx(1.0)
    assert np.unravel_index(shown.argmin(), shown.shape) == (6, 6) and shown.min() == pytest.approx(-2 / 3)
    assert shown[4:, :4] == pytest.approx(0.0)


def test_of_two_labels_one_is_the_others_negative() -> None:
    evidence = Evidence(normal(5, 7, 2), normal(2))
    assert heat(evidence, 0) == pytest.approx(-heat(evidence, 1), abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 2), (4, 5, 3), (17, 17, 2)])
def test_heat_before_scaling_adds_up_to_the_lead(shape: tuple[int, int, int]) -> None:
    evidence = Evidence(normal(*shape), normal(shape[2]))
    logits, shown = total(evidence), heat(evidence, 1)
    lead = logits[1] - np.delete(logits, 1).mean()
    assert np.abs(shown).max() == pytest.approx(1.0)
    assert np.sign(shown.sum()) == np.sign(lead)


def test_no_evidence_is_no_heat() -> None:
    assert not heat(Evidence(np.zeros((3, 3, 2), np.float32), np.zeros(2, np.float32)), 0).any()


# --- reading a head


def test_a_linear_head_is_read_by_identity_matrices() -> None:
    weights = {"a": normal(300, 2), "b": normal(5, 2)}
    bias = normal(2)

    def run(inputs: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.asarray(sum(inputs[n] @ w for n, w in weights.items()) + bias, dtype=np.float32)

    read = read_linear_map(run, {"a": 300, "b": 5})
    assert read is not None and read.bias == pytest.approx(bias)
    for name, wanted in weights.items():
        assert read.weights[name] == pytest.approx(wanted, abs=1e-5)


def test_a_head_that_mixes_rows_is_not_read() -> None:
    assert read_linear_map(lambda inputs: inputs["a"].sum(axis=0, keepdims=True), {"a": 4}) is None


# --- real stages


class CountingRunner(StageRunner):
    runs = 0

    def run(self, inputs: Tensors) -> Tensors:
        CountingRunner.runs += 1
        return super().run(inputs)


def release(*stages: tuple[str, tuple[str, ...]], labels: int = 3) -> ReleaseManifest:
    return replace(
        example(),
        input=InputSpec(32, (0.0, 1.0)),
        stages=tuple(Stage(name, inputs) for name, inputs in stages),
        labels=tuple(Label(str(i), None, "other") for i in range(labels)),
    )


def with_head(name: str, *inputs: str) -> ReleaseManifest:
    return release(("trunk", ()), (name, inputs))


def pipelines() -> Pipelines:
    return Pipelines(lambda sha256: DATA / f"{sha256}.tflite")


def picture(seed: int) -> NDArray[np.float32]:
    """Coloured squares of 8 px."""
    squares = np.random.default_rng(seed).uniform(size=(1, 4, 4, 3)).astype(np.float32)
    return np.asarray(squares.repeat(8, axis=1).repeat(8, axis=2))


# int8 heads round their inputs, float16 heads only their weights. Measured: 0.006 and 0.0000006 logits over these pictures; with
# the real trunk and trained heads on four pools 0.11 (of logits up to 6) and 0.00001 over 1,780 pictures.
@pytest.mark.parametrize(("encoding", "tolerance"), [("int8", 0.015), ("float16", 1e-4)])
def test_evidence_and_bias_add_up_to_a_real_heads_logits(encoding: str, tolerance: float) -> None:
    running, manifest = pipelines(), with_head(f"head_{encoding}", *POOLS)
    for seed in range(20):
        memo: dict[str, Tensors] = {}
        logits = running.logits(manifest, picture(seed), memo)
        evidence = running.evidence(manifest, picture(seed), memo)
        assert evidence is not None and evidence.grid.shape == (4, 4, 3)
        assert np.abs(total(evidence) - logits).max() <= tolerance
        assert np.abs(logits).max() > 1


def test_evidence_points_at_what_makes_the_difference() -> None:
    running, manifest = pipelines(), with_head("head_float16", *POOLS)
    plain = np.full((1, 32, 32, 3), 0.3, np.float32)
    spotted = plain.copy()
    spotted[0, 8:16, 16:24] = (1.0, 0.2, 0.9)  # exactly the cell (1, 2) of mixed4, within (0, 1) of mixed7
    before, after = (running.evidence(manifest, pixels, {}) for pixels in (plain, spotted))
    assert before is not None and after is not None
    change = np.abs(after.grid - before.grid).sum(axis=2)
    assert np.unravel_index(change.argmax(), change.shape) == (1, 2)
    assert change[1, 2] > 2 * np.sort(change.ravel())[-2]


def test_evidence_repeats_no_work_and_reads_a_head_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.pipeline.StageRunner", CountingRunner)
    running, manifest = pipelines(), with_head("head_int8", *POOLS)
    memo: dict[str, Tensors] = {}
    running.logits(manifest, picture(0), memo)
    running.evidence(manifest, picture(0), memo)
    before = CountingRunner.runs
    running.evidence(manifest, picture(0), memo)
    assert CountingRunner.runs == before
    running.logits(manifest, picture(1), fresh := {})
    running.evidence(manifest, picture(1), fresh)
    assert CountingRunner.runs == before + 2  # trunk and head


def test_reading_a_head_leaves_its_answers_alone() -> None:
    running, manifest = pipelines(), with_head("head_int8", *POOLS)
    before = running.logits(manifest, picture(0), {})
    running.evidence(manifest, picture(0), {})
    assert (running.logits(manifest, picture(0), {}) == before).all()


def test_two_heads_on_one_trunk_do_not_share_answers() -> None:
    running, memo = pipelines(), {}
    first, second = with_head("head_int8", *POOLS), with_head("head_curved", "mixed4_avg")
    apart = [running.logits(m, picture(0), {}).tolist() for m in (first, second)]
    assert [running.logits(m, picture(0), memo).tolist() for m in (first, second)] == apart


def test_a_head_that_locates_its_evidence_itself_is_believed() -> None:
    running, manifest = pipelines(), with_head("head_spatial", "mixed4_map")
    logits, evidence = (f(manifest, picture(2), {}) for f in (running.logits, running.evidence))
    assert isinstance(evidence, Evidence) and evidence.grid.shape == (4, 4, 3)
    assert total(evidence) == pytest.approx(logits, abs=1e-5)
    assert evidence.bias == pytest.approx([0.5, 0.0, -0.5], abs=1e-4)


def test_misshapen_evidence_is_refused() -> None:
    with pytest.raises(ProtocolError) as caught:
        pipelines().evidence(with_head("head_misshapen", "mixed4_map"), picture(0), {})
    assert caught.value.code == "stage.wrong_output"


@pytest.mark.parametrize(
    "manifest", [with_head("head_curved", "mixed4_avg"), release(("whole", ()))], ids=["curved", "one stage"]
)
def test_a_model_that_cannot_be_taken_apart_gives_none(manifest: ReleaseManifest) -> None:
    running = pipelines()
    assert running.logits(manifest, picture(0), {}).shape == (3,)
    assert running.evidence(manifest, picture(0), {}) is None


def test_a_head_that_takes_one_picture_at_a_time_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise ProtocolError("stage.unusable")

    monkeypatch.setattr(explanation, "read_linear_map", refuse)
    assert pipelines().evidence(with_head("head_int8", *POOLS), picture(0), {}) is None
