"""A brought model on a node: pulled by the node's own activation code, proved there, used for recognition."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from coordinator.store.blobs import FolderBlobs
from edge_node.errors import ReleaseRefusedError
from edge_node.recognition.picture import Picture
from edge_node.worker.models import LocalModels
from protocols.manifest import ReleaseManifest
from protocols.pipeline import Pipelines
from tests.coordinator.vetting import models
from tests.coordinator.vetting.support import bring, coordinator
from tests.edge_node.support.node import running
from tests.edge_node.support.releases import Release, Simulator


async def brought(home: Path) -> Release:
    """A brought model as the coordinator would release it."""
    async with coordinator(home) as opened:
        await bring(opened, models.colours(models.OPS.SOFTMAX), output="softmax", input={"channels": "BGR"})
        manifest = await opened.models.manifest("brought")
        blobs = FolderBlobs(opened.home.artifacts)
        return Release(manifest, {a.sha256: blobs.path(a.sha256).read_bytes() for a in manifest.artifacts})


async def test_a_node_pulls_proves_and_uses_a_brought_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = await brought(tmp_path / "home")
    async with running(Simulator([release]), tmp_path / "node") as node:
        used = LocalModels(Pipelines(node.cache.path))
        monkeypatch.setattr(node.runner, "golden_scores", used.golden_scores)
        assert not await node.pull("malaria", "brought")
        assert await node.active() == ["brought@1"]
        manifest = ReleaseManifest.from_bytes(release.manifest_bytes)
        Image.new("RGB", (80, 60), (20, 40, 230)).save(tmp_path / "blue.png")
        (found,) = used.recognise(Picture(tmp_path / "blue.png"), [manifest], explain=True)
    # The network was told that channels come as BGR, so the picture's blue is its first one.
    assert found.answer.scores.argmax() == 0
    assert found.answer.outcome == "unsure"
    assert found.evidence is None


async def test_a_node_refuses_a_brought_model_whose_golden_scores_are_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = await brought(tmp_path / "home")
    stage = release.manifest.stages[0].sha256
    spoilt = bytearray(release.files[stage])
    at = spoilt.find(b"\x00\x00\x80\x40")  # the gain, 4.0
    spoilt[at : at + 4] = b"\x00\x00\x80\xc0"
    (tmp_path / "spoilt").write_bytes(spoilt)
    async with running(Simulator([release]), tmp_path / "node") as node:
        swapped = Pipelines(lambda sha256: tmp_path / "spoilt" if sha256 == stage else node.cache.path(sha256))
        monkeypatch.setattr(node.runner, "golden_scores", LocalModels(swapped).golden_scores)
        with pytest.raises(ReleaseRefusedError) as caught:
            await node.pull("malaria", "brought")
        assert caught.value.code == "release.self_test_failed"
        assert await node.active() == []
