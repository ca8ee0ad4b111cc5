"""Parts of a training that are kept until it is done: by what they are found, and how they go for good."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from coordinator.errors import CoordinatorError
from coordinator.training.ladder import work
from coordinator.training.ladder.work import Work


def test_the_folder_of_a_training_depends_on_all_that_decides_it() -> None:
    images = [("a" * 64, "sick", "p1"), ("b" * 64, "well", "p2")]
    same = work.key(reversed(images), trunk="t", effort="full", budget=None)
    assert work.key(images, trunk="t", effort="full", budget=None) == same
    others = [
        work.key(images[:1], trunk="t", effort="full", budget=None),
        work.key([(images[0][0], "well", "p1"), images[1]], trunk="t", effort="full", budget=None),
        work.key([(images[0][0], "sick", "p2"), images[1]], trunk="t", effort="full", budget=None),
        work.key(images, trunk="u", effort="full", budget=None),
        work.key(images, trunk="t", effort="quick", budget=None),
        work.key(images, trunk="t", effort="full", budget=40),
    ]
    assert len({same, *others}) == len(others) + 1


def test_trainings_that_nobody_goes_on_with_are_forgotten(tmp_path: Path) -> None:
    now = time.time()
    for name, age_days in (("old", 20), ("new", 2)):
        kept = Work(tmp_path / name)
        kept.begin([])
        kept.save("part", {"x": np.zeros(1)})
        for path in (tmp_path / name, *(tmp_path / name).iterdir()):
            os.utime(path, (now - age_days * 86_400,) * 2)
    (tmp_path / ".removed-0").mkdir()  # whoever removed it was killed
    work.sweep(tmp_path, now)
    assert [p.name for p in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize("how", ["cleared", "forgotten"])
def test_who_still_computes_cannot_bring_a_removed_training_back(tmp_path: Path, how: str) -> None:
    root, images = tmp_path / "trainings", {"a" * 64}
    kept, may_end = Work(root / "malaria"), threading.Event()
    kept.begin(images)
    kept.below("spatial")
    refused: list[str] = []

    def straggle() -> None:
        while not may_end.is_set():
            for write in (lambda: kept.save("linear-0-0", {"x": np.zeros(9)}), lambda: kept.below("features")):
                try:
                    write()
                except CoordinatorError as error:
                    refused.append(error.code)

    with ThreadPoolExecutor(4) as threads:
        stragglers = [threads.submit(straggle) for _ in range(4)]
        time.sleep(0.1)
        if how == "cleared":
            kept.clear()
        else:
            work.forget(root, images)
        time.sleep(0.1)
        may_end.set()
    for each in stragglers:
        each.result()
    assert not list(root.iterdir()) and set(refused) == {"train.removed"}
