from __future__ import annotations

import asyncio
import hashlib
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coordinator.errors import CoordinatorError
from coordinator.releases.cards.content import card
from coordinator.releases.cards.facts import gather
from coordinator.reports import markdown
from coordinator.store.blobs import FolderBlobs
from coordinator.training import evaluation
from coordinator.training.recalibration import recalibrate
from coordinator.vetting.confine import Rights
from coordinator.vetting.examination import Allowed
from coordinator.vetting.quarantine import quarantined
from coordinator.vetting.sandbox import Bounds
from edge_node.activation.self_test import self_test
from edge_node.recognition.recogniser import Recogniser
from edge_node.worker.models import LocalModels
from protocols.imaging import prepare
from protocols.manifest import ReleaseManifest
from protocols.pipeline import Pipelines
from protocols.recognition import scores
from tests.coordinator.vetting import models
from tests.coordinator.vetting.models import OPS, options
from tests.coordinator.vetting.support import bring, coordinator, refused
from tests.support.coordinator import NOW
from tests.support.engine import InlineEngine

COLOUR = (200, 120, 40)


def picture() -> Image.Image:
    return Image.new("RGB", (64, 64), COLOUR)


def answer(manifest: ReleaseManifest, artifacts: Path) -> list[float]:
    """Scores for ``picture``, as a node computes them."""
    logits = Pipelines(FolderBlobs(artifacts).path).logits(manifest, prepare(picture(), manifest.input), {})
    return [float(x) for x in scores(logits, manifest.calibration)]


def expected(channels: tuple[float, float, float]) -> list[float]:
    weights = np.exp(4 * np.array(channels))
    return [float(x) for x in weights / weights.sum()]


MEANS = (COLOUR[0] / 255, COLOUR[1] / 255, COLOUR[2] / 255)
SIGMOIDS = 1 / (1 + np.exp(-4 * np.array(MEANS)))


@pytest.mark.parametrize(
    ("data", "labels", "wanted"),
    [
        (models.colours(), {}, expected(MEANS)),
        (models.colours(), {"input": {"channels": "BGR"}}, expected(MEANS[::-1])),
        (models.colours(), {"input": {"range": [-1, 1]}}, expected(tuple(2 * x - 1 for x in MEANS))),
        (models.colours(OPS.SOFTMAX), {"output": "softmax"}, expected(MEANS)),
        (models.colours(OPS.LOGISTIC), {"output": "sigmoid"}, list(SIGMOIDS / SIGMOIDS.sum())),
        (models.colours(kind=models.UINT8, gain=4 / 255), {"input": {"range": [0, 255]}}, expected(MEANS)),
    ],
)
async def test_each_kind_of_input_and_output_gives_the_models_own_scores(
    tmp_path: Path, data: bytes, labels: dict[str, Any], wanted: list[float]
) -> None:
    async with coordinator(tmp_path) as opened:
        document = await bring(opened, data, **labels)
        manifest = await opened.models.manifest("brought")
        assert document["version"] == manifest.version == 1
        assert answer(manifest, opened.home.artifacts) == pytest.approx(wanted, abs=1e-5)


async def test_one_sigmoid_number_is_the_second_of_two_labels(tmp_path: Path) -> None:
    builder, means = models.started()
    weights = builder.constant([[1.0, 0.0, 0.0]])
    logit = builder.step(OPS.FULLY_CONNECTED, [means, weights, -1], (1, 1), options("FullyConnectedOptions"))
    builder.graph.outputs = [builder.step(OPS.LOGISTIC, [logit], (1, 1))]
    async with coordinator(tmp_path) as opened:
        await bring(opened, builder.to_bytes(), output="sigmoid", labels=["normal", "sick"])
        found = answer(await opened.models.manifest("brought"), opened.home.artifacts)
    sick = 1 / (1 + np.exp(-MEANS[0]))
    assert found == pytest.approx([1 - sick, sick], abs=1e-5)


async def test_a_brought_model_goes_through_card_gates_node_evaluation_and_recalibration(tmp_path: Path) -> None:
    async with coordinator(tmp_path / "home") as opened:
        await bring(opened, models.colours())
        proposed = await opened.releases.propose("brought", "", "drawn", floor=False, now=NOW)
        gates = {g["name"]: g["detail"] for g in proposed["gates"]}
        assert all(g["ok"] for g in proposed["gates"])
        assert "does not apply" in gates["calibrated"] and "tried in the sandbox" in gates["vetted"]
        assert gates["parity"] == "no head of ours" and gates["converted_twice"] == "no trunk of ours"

        facts = await gather("brought", opened.models, opened.releases, opened.home, "Test")
        text = markdown.render(card(facts), "en")
        for phrase in (
            "Brought ready-trained by Dr Li",
            "CC0-1.0",
            "not known here",
            "not a probability",
            "drawn for a test",
        ):
            assert phrase in text, phrase
        assert "frozen convolutional trunk" not in text and "out-of-fold" not in text

        manifest = await opened.models.manifest("brought")
        pipelines = Pipelines(FolderBlobs(opened.home.artifacts).path)
        self_test(manifest, FolderBlobs(opened.home.artifacts).path(manifest.golden.sha256), LocalModels(pipelines))
        (found,) = Recogniser(pipelines).recognise(_on_disk(tmp_path), [manifest], explain=True)
        assert (found.answer.outcome, found.answer.reasons) == ("unsure", ("several_labels_fit",))
        assert found.evidence is None

        site = _site(tmp_path / "site")
        result = evaluation.evaluate(manifest, opened.home.artifacts, site, None, InlineEngine(), lambda _d, _t: None)
        document = evaluation.document(manifest, result, set())
        assert document["balanced_accuracy"]["value"] == 1.0
        assert document["coverage"]["stated"] == 1.0 == document["coverage"]["measured"]
        mended = recalibrate(manifest, result).manifest
        assert mended.calibration.coverage == 0.9
        assert max(mended.calibration.thresholds) < 1


def _on_disk(folder: Path) -> Any:
    from edge_node.recognition.picture import Picture

    path = folder / "one.png"
    picture().save(path)
    return Picture(path)


def _site(folder: Path) -> Path:
    """Labelled pictures of plain colours with a little noise."""
    random = np.random.default_rng(1)
    for number, label in enumerate(("red", "green", "blue")):
        (folder / label).mkdir(parents=True)
        for i in range(20):
            pixels = random.integers(0, 120, (40, 40, 3), dtype=np.uint8)
            pixels[..., number] += 120
            Image.fromarray(pixels).save(folder / label / f"{i}.png")
    return folder


SHORT = Allowed(trial=Bounds(3, Rights(memory_mb=2048, cpu_s=1)))


def _nan() -> bytes:
    builder, means = models.started()
    zero = builder.step(OPS.SUB, [means, means], (1, 3), options("SubOptions"))
    builder.graph.outputs = [builder.step(OPS.DIV, [zero, zero], (1, 3), options("DivOptions"))]
    return builder.to_bytes()


def _misshapen() -> bytes:
    """Says [1, 3] and gives [1, 6]."""
    builder, means = models.started()
    joined = options("ConcatenationOptions", axis=1)
    builder.graph.outputs = [builder.step(OPS.CONCATENATION, [means, means], (1, 3), joined)]
    return builder.to_bytes()


@pytest.mark.parametrize(
    ("data", "labels", "code"),
    [
        (_nan(), {}, "vetting.not_finite"),
        (_misshapen(), {}, "vetting.wrong_output"),
        (models.greedy(), {}, "vetting.memory"),
        (models.endless(), {"input": {"edge_px": 256}}, "vetting.timed_out"),
        (models.colours(OPS.LOGISTIC), {"output": "softmax"}, "vetting.output_kind"),
        (models.colours(), {"output": "sigmoid"}, "vetting.output_kind"),
        (models.colours(OPS.SOFTMAX), {"output": "logits"}, "vetting.output_kind"),
        (models.colours(), {"sha256": "0" * 64}, "vetting.digest"),
        (models.colours(), {"labels": ["a", "b"]}, "vetting.label_count"),
        (models.colours(), {"labels": [{"label": "a", "entry": "no-such-page"}, "b", "c"]}, "dataset.unknown_entry"),
        (b"no model", {}, "vetting.damaged"),
    ],
)
async def test_a_refused_model_leaves_nothing_behind(
    tmp_path: Path, data: bytes, labels: dict[str, Any], code: str
) -> None:
    async with coordinator(tmp_path) as opened:
        assert (await refused(opened, data, "brought.tflite", SHORT, **labels)).code == code


async def test_what_is_no_model_file_is_refused_by_content(tmp_path: Path) -> None:
    async with coordinator(tmp_path) as opened:
        assert (await refused(opened, b"text", "notes.bin")).code == "vetting.unknown_kind"
        assert (await refused(opened, b"\x08\x01", "saved_model.pb")).code == "vetting.saved_model"
        folder = tmp_path / "saved"
        folder.mkdir()
        (folder / "saved_model.pb").write_bytes(b"")
        with pytest.raises(CoordinatorError) as caught, quarantined(tmp_path / "q", folder, 10):
            pass
        assert caught.value.code == "vetting.saved_model"


async def test_the_upload_is_copied_under_a_name_of_ours_that_nobody_else_reads(tmp_path: Path) -> None:
    file = tmp_path / "Patient Li.tflite"
    file.write_bytes(b"x" * 100)
    with quarantined(tmp_path / "q", file, 100) as held:
        assert "Li" not in str(held.path.relative_to(tmp_path))
        assert stat.S_IMODE(held.path.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "q").stat().st_mode) == 0o700
        assert held.sha256 == hashlib.sha256(b"x" * 100).hexdigest()
    assert not list((tmp_path / "q").iterdir())
    with pytest.raises(CoordinatorError) as caught, quarantined(tmp_path / "q", file, 99):
        pass
    assert caught.value.code == "vetting.too_large"
    assert not list((tmp_path / "q").iterdir())


async def test_versions_of_a_model_are_about_one_disease(tmp_path: Path) -> None:
    async with coordinator(tmp_path) as opened:
        await bring(opened, models.colours())
        assert (await bring(opened, models.colours(gain=2.0)))["version"] == 2
        with pytest.raises(CoordinatorError) as caught:
            await bring(opened, models.colours(), disease="skin")
        assert caught.value.code == "dataset.other_disease"


IMPORT = """
import asyncio, json, sys
from pathlib import Path
from coordinator.bootstrap import open_coordinator, utc_now
from coordinator.vetting.importing import import_model

async def main(home, labels):
    async with open_coordinator(Path(home)) as opened:
        def tell(part, done, total):
            print(part, done, flush=True)
        await import_model(opened, Path(home) / "brought.tflite", json.loads(labels), "x", utc_now(), tell)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_killed_in_the_middle_there_is_no_model_no_process_and_the_next_import_clears_up(tmp_path: Path) -> None:
    import json

    async with coordinator(tmp_path) as opened:
        (tmp_path / "brought.tflite").write_bytes(models.endless())
        labels = json.dumps(models.labels_file(input={"edge_px": 256}))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", IMPORT, str(tmp_path), labels, stdout=subprocess.PIPE, cwd=Path.cwd()
        )
        assert process.stdout is not None
        while not (line := await process.stdout.readline()).startswith(b"trying"):
            assert line
        await asyncio.sleep(1.5)
        children = _descendants(process.pid)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        assert len(children) >= 2
        await asyncio.to_thread(_wait_for_end, children)
        assert await opened.models.list() == []
        assert list(opened.home.vetting.iterdir())
        await bring(opened, models.colours())
        assert not list(opened.home.vetting.iterdir())


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *_descendants(child)]
    return found


def _wait_for_end(pids: list[int]) -> None:
    until = time.monotonic() + 5
    while any(map(_runs, pids)):
        assert time.monotonic() < until
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
