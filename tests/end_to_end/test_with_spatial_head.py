"""A model with a spatial head goes every way that one with a linear head goes."""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from smear import draw_set

from coordinator.bootstrap import open_coordinator, utc_now
from coordinator.intake.datasets import Datasets
from coordinator.store.blobs import FolderBlobs
from coordinator.training.features import FeatureCache, Trunk, map_shapes
from coordinator.training.spatial import released, training
from coordinator.training.spatial.config import SpatialConfig
from coordinator.training.spatial.maps import MapCache
from protocols.artifacts import Artifact
from protocols.manifest import Golden, Stage
from protocols.pipeline import Pipelines, StageRunner
from protocols.selftest import golden_scores
from tests.end_to_end.conftest import Network, release
from tests.support.commands import Running, run

pytestmark = pytest.mark.slow

NAME = "spatial-cells"
CONFIG = SpatialConfig(width=16, epochs=4, members=2, pooling=("average", "maximum", "attention"))


async def candidate(home: Path, work: Path) -> None:
    """Record a version of its own disease: the linear model of the network with a spatial head in place of its head."""
    async with open_coordinator(home) as coordinator:
        row = await coordinator.models.row("malaria@1")
        manifest = coordinator.models.read_manifest(row.manifest)
        samples = await Datasets(coordinator.database, coordinator.home, coordinator.engine).samples("malaria")
        blobs, images = FolderBlobs(coordinator.home.artifacts), FolderBlobs(coordinator.home.images)
        trunk_stage = manifest.stages[0]
        trunk = Trunk(blobs.path(trunk_stage.sha256), trunk_stage.sha256, manifest.input, manifest.stages[1].inputs)
        store = MapCache(coordinator.home.maps, 10**9).store(trunk.sha256, map_shapes(trunk, CONFIG.maps))
        files = [(s.sha256, images.path(s.sha256)) for s in samples]
        FeatureCache(work / "features").extract(files, trunk, coordinator.engine, lambda *_: None, 0, store)
        maps = store.maps([s.sha256 for s in samples])
        names = [x.label for x in manifest.labels]
        labels = np.array([names.index(s.label) for s in samples])
        groups = np.array([s.group for s in samples])
        fit = await asyncio.to_thread(training.fitted, maps, labels, groups, CONFIG, work, lambda *_: None)
        head = released.choose(fit, maps, names)
        artifact = Artifact.of("head", head.data)
        blobs.put(head.data)
        made = replace(
            manifest,
            disease=NAME,
            model=NAME,
            created=utc_now().isoformat(timespec="seconds"),
            artifacts=(*(a for a in manifest.artifacts if a.role != "head"), artifact),
            stages=(trunk_stage, Stage(artifact.sha256, head.inputs)),
        )
        strip = blobs.path(made.golden.sha256).read_bytes()
        rows = golden_scores(made, strip, Pipelines(blobs.path))
        golden = Golden(made.golden.sha256, tuple(tuple(round(float(x), 6) for x in row) for row in rows))
        record: dict[str, Any] = {
            **row.training,
            "model": NAME,
            "version": 1,
            "taps": list(head.inputs),
            "spatial": CONFIG.document(),
            "spatial_weights": FolderBlobs(coordinator.home.weights).put(fit.folded.read_bytes()),
            "head_weights": head.encoding,
            "parity": head.parity,
            "artifacts": [a.document() for a in made.artifacts],
        }
        await coordinator.models.add(replace(made, golden=golden), record)


@pytest.fixture(scope="module")
def spatial(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Network:
    asyncio.run(candidate(network.home, tmp_path_factory.mktemp("work")))
    release(network.home, f"{NAME}@1")
    return network


def test_a_node_pulls_recognises_and_shows_where(spatial: Network, tmp_path: Path) -> None:
    node = spatial.join(tmp_path / "clinic")
    pulled = run("medmesh-edge", "pull", NAME, home=node)
    assert pulled["active"]
    image = next((spatial.images / "parasitized").iterdir())
    shown = tmp_path / "where.png"
    found = run("medmesh-edge", "recognise", str(image), "--disease", NAME, "--explain", str(shown), home=node)
    (result,) = found["results"]
    assert result["release"] == {"model": NAME, "version": "1"} or result["release"]["model"] == NAME
    assert sum(x["score"] for x in result["labels"]) == pytest.approx(1, abs=1e-3)
    assert result["novelty"] is not None
    assert shown.read_bytes().startswith(b"\x89PNG")


def test_the_released_files_are_evaluated(spatial: Network) -> None:
    figures = run("medmesh-coordinator", "evaluate", NAME, "--on", str(spatial.images), home=spatial.home)
    assert figures["n"] == 120 and figures["balanced_accuracy"]["value"] > 0.6


def test_recalibrating_keeps_the_head(spatial: Network, tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(spatial.images, site)
    made = run("medmesh-coordinator", "recalibrate", f"{NAME}@1", "--on", str(site), home=spatial.home)
    old = run("medmesh-coordinator", "model", "show", f"{NAME}@1", home=spatial.home)
    new = run("medmesh-coordinator", "model", "show", f"{NAME}@{made['version']}", home=spatial.home)
    assert new["artifacts"] == old["artifacts"] and new["parity"] == old["parity"]


def test_one_file_gives_the_numbers_of_the_pipeline(spatial: Network, tmp_path: Path) -> None:
    target = tmp_path / "one.tflite"
    run("medmesh-coordinator", "model", "export", f"{NAME}@1", "--single-file", str(target), home=spatial.home)
    document = run("medmesh-coordinator", "model", "show", f"{NAME}@1", home=spatial.home)

    async def manifest() -> Any:
        async with open_coordinator(spatial.home) as coordinator:
            return coordinator.models.read_manifest(document["manifest"])

    made, blobs = asyncio.run(manifest()), FolderBlobs(spatial.home / "coordinator" / "artifacts")
    single, pipelines = StageRunner(target), Pipelines(blobs.path)
    generator = np.random.default_rng(4)
    for _ in range(3):
        pixels = generator.uniform(-1, 1, (1, 75, 75, 3)).astype(np.float32)
        memo: dict[str, Any] = {}
        logits = pipelines.logits(made, pixels, memo)
        assert single.run({"image": pixels})["logits"][0] == pytest.approx(logits, abs=1e-5)
        evidence = pipelines.evidence(made, pixels, memo)
        assert evidence is not None and evidence.grid.shape == (3, 3, 2)
        assert evidence.grid.sum(axis=(0, 1)) + evidence.bias == pytest.approx(logits, abs=1e-5)


def test_the_card_tells_of_a_spatial_head(spatial: Network) -> None:
    card = run("medmesh-coordinator", "model", "card", f"{NAME}@1", "--lang", "en", home=spatial.home)["card"]
    assert "convolution" in card and "mixed4" in card


@pytest.mark.timeout(900)
def test_two_sites_refine_it_with_their_own_images(spatial: Network, tmp_path: Path) -> None:
    """Over the mesh: maps by the released trunk, a fit in the nodes' own processes, a version through the usual checks."""
    nodes = []
    try:
        for number in range(2):
            home, images = spatial.join(tmp_path / f"hospital{number}"), tmp_path / f"images{number}"
            draw_set(images, seed=60 + number, patients=8, cells_each=4)
            run("medmesh-edge", "pull", NAME, home=home)
            run("medmesh-edge", "data", "add", str(images), "--disease", NAME, home=home)
            run("medmesh-edge", "federation", "consent", NAME, home=home)
            nodes.append(Running("medmesh-edge", "serve", home=home))
            nodes[-1].wait_for(event="connected", timeout_s=60)
        options = ("--rounds", "2", "--gather-s", "20", "--wait-s", "200", "--deadline-s", "200", "--exchange", "int8")
        run("medmesh-coordinator", "federate", "start", f"{NAME}@1", *options, home=spatial.home)
        status: dict[str, Any] = {}
        for _ in range(200):
            status = run("medmesh-coordinator", "federate", "status", home=spatial.home)
            if status["state"] in ("done", "failed", "stopped"):
                break
            time.sleep(8)
        assert (status["state"], status["round"]) == ("done", 2), status
        assert [s["rounds"] for s in status["sites"]] == [2, 2] and not status["declined"]
        assert status["global"]["sites"] == 2 and status["best_single_site"]["sites"] == 2
        shown = run("medmesh-coordinator", "model", "show", status["model"], home=spatial.home)
        old = run("medmesh-coordinator", "model", "show", f"{NAME}@1", home=spatial.home)
        assert shown["parity"]["head"] == next(a["sha256"] for a in shown["artifacts"] if a["role"] == "head")
        assert shown["parity"]["head"] != old["parity"]["head"] and shown["parity"]["ok"]
        assert shown["spatial_weights"] != old["spatial_weights"]  # where the next run starts
        figures = run(
            "medmesh-coordinator", "evaluate", status["model"], "--on", str(spatial.images), home=spatial.home
        )
        assert figures["balanced_accuracy"]["value"] > 0.6
        parameters = CONFIG.parameters(2)
        rounds = sum(s["bytes_up"] + s["bytes_down"] for s in status["sites"]) / 2 / 2
        assert rounds < 2.2 * 4 * parameters  # all questions of the run, the comparison too
    finally:
        for node in nodes:
            node.stop()
