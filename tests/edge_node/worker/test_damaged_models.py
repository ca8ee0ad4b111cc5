"""Damaged TFLite files, some kept because they once did harm, against the process that a node really starts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from edge_node.activation.self_test import self_test
from edge_node.errors import ReleaseRefusedError
from edge_node.recognition.picture import Picture
from edge_node.worker.client import WorkerLimits, WorkerModels
from edge_node.worker.errors import ModelDiedError
from protocols.errors import ProtocolError
from tests.edge_node.support.releases import DATA, HEAD, TRUNK
from tests.edge_node.support.shelf import Shelf

_SEEDS = 60


def damaged(data: bytes, seed: int) -> bytes:
    """A few bytes replaced, by the seed."""
    chance, changed = random.Random(seed), bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        changed[chance.randrange(len(changed))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    return bytes(changed)


def test_no_damaged_model_ends_the_program_and_the_next_one_runs(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    photo, sound = shelf.photo(), shelf.release()
    models = WorkerModels(shelf.path, WorkerLimits(timeout_s=5.0), pause_s=lambda _: 0.0)
    refused = 0
    try:
        for seed in range(_SEEDS):
            part = {"trunk": damaged(TRUNK, seed)} if seed % 2 else {"head": damaged(HEAD, seed)}
            try:
                models.recognise(Picture(photo), [shelf.release("damaged", **part)])
            except (ProtocolError, ModelDiedError):
                refused += 1
            assert models.recognise(Picture(photo), [sound])[0].answer.outcome == "recognised"
    finally:
        models.close()
    assert refused > _SEEDS // 3


@pytest.mark.parametrize("file", ["greedy_trunk.tflite"])  # seed 102: an input of 6 GB
def test_files_that_once_did_harm_do_not_pass_the_self_test(tmp_path: Path, file: str) -> None:
    shelf = Shelf(tmp_path)
    release = shelf.release(trunk=(DATA / file).read_bytes())
    models = WorkerModels(shelf.path, WorkerLimits())
    try:
        with pytest.raises(ReleaseRefusedError) as caught:
            self_test(release, shelf.path(release.golden.sha256), models)
    finally:
        models.close()
    assert caught.value.code == "release.self_test_failed"
