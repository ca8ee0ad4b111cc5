"""Maps of a site live in the memory of one process; what is fitted to them is tested where TensorFlow runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_node.errors import EdgeError
from edge_node.federation import site as sites
from edge_node.federation.extract import Trunk
from edge_node.federation.images import LabelledFeatures
from edge_node.federation.site import LocalSite
from edge_node.federation.store import SiteStore
from edge_node.federation.worker import MapWorker, WorkerMaps
from protocols.federation.head import Head, Standard
from protocols.federation.spatial import body_shapes
from protocols.federation.task import Subject
from protocols.imaging import InputSpec
from protocols.spatial.shape import SpatialShape
from tests.edge_node.federation.test_site import noted

MAP_TRUNK = Path(__file__).parent.parent / "data" / "map_trunk.tflite"
SHAPE = SpatialShape(width=2)
SUBJECT = Subject.of_maps("malaria", "a" * 64, SHAPE)
CHANNELS, IMAGE_BYTES = 6, 2 * (4 * 4 * 6 + 4 * 6)


@pytest.fixture
def worker() -> Iterator[MapWorker]:
    made = MapWorker()
    yield made
    made.close()


def local(home: Path, worker: MapWorker, trunk: Path | None = MAP_TRUNK, refusal: str = "") -> LocalSite:
    async def trunk_of(sha256: str) -> Trunk | None:
        return None if trunk is None else Trunk(sha256, trunk, InputSpec(32, (0.0, 1.0)))

    async def permitted(disease: str) -> None:
        if refusal:
            raise EdgeError(refusal, disease=disease)

    return LocalSite(home / "federation.sqlite", trunk_of, permitted, worker=worker)


def keys(found: LabelledFeatures) -> tuple[str, ...]:
    assert isinstance(found.features, WorkerMaps)
    return found.features.keys


def suiting(channels: int) -> tuple[Head, Standard]:
    body = {name: np.zeros(shape, np.float32) for name, shape in body_shapes(SHAPE, channels).items()}
    head = Head(np.zeros((SHAPE.features, 2), np.float32), np.zeros(2, np.float32), body)
    return head, Standard(np.zeros(2 * channels, np.float32), np.ones(2 * channels, np.float32))


def test_maps_are_computed_once_held_in_memory_and_written_nowhere(tmp_path: Path, worker: MapWorker) -> None:
    images = noted(tmp_path)
    before = {p for p in tmp_path.rglob("*") if "federation.sqlite" not in p.name}
    found = local(tmp_path, worker).features(SUBJECT)
    assert isinstance(found.features, WorkerMaps)
    assert (len(found.features), found.names, sorted(found.labels)) == (6, ("ill", "well"), [0, 0, 0, 1, 1, 1])
    assert found.features.suits(*suiting(CHANNELS)) and not found.features.suits(*suiting(7))
    again = local(tmp_path, worker, trunk=None).features(SUBJECT)  # nothing is missing: the trunk is not asked for
    assert keys(again) == keys(found)
    assert {p for p in tmp_path.rglob("*") if "federation.sqlite" not in p.name} == before

    async def kept() -> int:
        async with SiteStore.open(tmp_path / "federation.sqlite") as store:
            return len(await store.features(sites.stage_of(SUBJECT)))

    assert asyncio.run(kept()) == 0
    (images / "ill" / "0.png").unlink()
    assert len(local(tmp_path, worker, trunk=None).features(SUBJECT).labels) == 5
    with pytest.raises(EdgeError) as caught:  # of another trunk nothing is held
        local(tmp_path, worker, trunk=None).features(Subject.of_maps("malaria", "b" * 64, SHAPE))
    assert caught.value.code == "federation.no_trunk"


def test_where_there_is_no_room_for_all_the_same_ones_are_chosen_again(tmp_path: Path) -> None:
    noted(tmp_path)
    found = []
    for _ in range(2):
        worker = MapWorker(most_bytes=4 * IMAGE_BYTES)
        one = local(tmp_path, worker).features(SUBJECT)
        assert keys(local(tmp_path, worker, trunk=None).features(SUBJECT)) == keys(one)  # and nothing is tried again
        found.append(keys(one))
        worker.close()
    assert found[0] == found[1] and len(found[0]) == 4


def test_whoever_withdraws_has_no_map_held_any_longer(tmp_path: Path, worker: MapWorker) -> None:
    noted(tmp_path)
    local(tmp_path, worker).features(SUBJECT)
    process = worker._process
    assert process is not None
    with pytest.raises(EdgeError):
        local(tmp_path, worker, refusal="federation.not_consented").features(SUBJECT)
    assert not process.is_alive() and worker._process is None


def test_a_process_that_was_killed_is_started_again(tmp_path: Path, worker: MapWorker) -> None:
    noted(tmp_path)
    found = local(tmp_path, worker).features(SUBJECT)
    assert worker._process is not None
    worker._process.kill()
    worker._process.join()
    assert isinstance(found.features, WorkerMaps)
    with pytest.raises(EdgeError) as caught:
        found.features.logits(*suiting(CHANNELS))
    assert caught.value.code == "federation.fit_failed"
    assert keys(local(tmp_path, worker).features(SUBJECT)) == keys(found)


def test_a_trunk_without_maps_is_named(tmp_path: Path, worker: MapWorker) -> None:
    noted(tmp_path)
    with pytest.raises(EdgeError) as caught:
        local(tmp_path, worker, MAP_TRUNK.with_name("mean_trunk.tflite")).features(SUBJECT)
    assert caught.value.code == "federation.trunk_unusable"


def test_without_tensorflow_the_site_says_what_to_install(
    tmp_path: Path, worker: MapWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted(tmp_path)
    monkeypatch.setattr(sites, "is_installed", lambda: False)
    with pytest.raises(EdgeError) as caught:
        local(tmp_path, worker).features(SUBJECT)
    assert caught.value.code == "federation.no_training_extra"
    assert "medmesh[edge,federation,training]" in caught.value.document()["error"]["remedy"]
    assert worker._process is None
