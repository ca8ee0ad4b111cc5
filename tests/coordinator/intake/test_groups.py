"""Who an image belongs to: nobody may stand on both sides of a split, also as data grows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from coordinator.bootstrap import Coordinator
from coordinator.intake.cleaning import grouped
from coordinator.intake.groups import settle
from coordinator.intake.samples import Sample
from coordinator.training import folds
from tests.support.intake import add, opened
from tests.support.pictures import noise, write_set


def test_images_alone_join_and_given_groups_stay() -> None:
    cases = [
        # groups, how many are earlier, clusters, expected
        (["image:a", "image:b", "image:c"], 0, [[0, 2]], ["image:a", "image:b", "image:a"]),
        (["image:z", "image:a"], 1, [[0, 1]], ["image:z", "image:z"]),  # the earlier one keeps its place
        (["image:a", "p1"], 1, [[0, 1]], ["p1", "p1"]),
        (["p1", "p2"], 1, [[0, 1]], ["p1", "p2"]),  # what people say stays; the report warns
        (["p1", "p2", "image:a"], 0, [[0, 1, 2]], ["p1", "p2", "p1"]),
        (["image:a", "image:b", "image:c"], 2, [[0, 1, 2]], ["image:a"] * 3),  # a new one brings two together
        (["image:a", "image:a", "image:b"], 2, [[1, 2]], ["image:a"] * 3),
        (["image:b", "image:b", "p1"], 2, [[1, 2]], ["p1"] * 3),  # and with the one its whole group
    ]
    for groups, earlier, clusters, expected in cases:
        assert settle(groups, earlier, clusters) == expected, groups


async def test_a_near_duplicate_of_an_earlier_image_joins_its_group(coordinator: Coordinator, tmp_path: Path) -> None:
    first = write_set(tmp_path / "first", 12)
    (first / "groups.csv").unlink()
    noise(4242, 160).save(first / "uninfected" / "scene.png")
    await add(coordinator, first)
    before = {s.file: s for s in await opened(coordinator).samples("malaria")}

    second = write_set(tmp_path / "second", 12, first_seed=500)
    (second / "groups.csv").unlink()
    noise(4242, 160).save(second / "uninfected" / "again.jpg")
    report = await add(coordinator, second)
    assert report["near_duplicates"] == [["uninfected/scene.png", "uninfected/again.jpg"]]
    after = {s.file: s for s in await opened(coordinator).samples("malaria")}
    assert after["uninfected/again.jpg"].group == after["uninfected/scene.png"].group
    assert all(after[file].group == s.group for file, s in before.items()), "nobody moved"

    def placed(samples: list) -> dict[str, int]:
        fold = folds.assign(np.array([s.group for s in samples]), 5, 0)
        return dict(zip((s.file for s in samples), fold.tolist(), strict=True))

    now = placed(list(after.values()))
    assert now["uninfected/again.jpg"] == now["uninfected/scene.png"]
    assert placed(list(before.values())).items() <= now.items(), "each image is tested in the fold where it was"


async def test_patients_of_a_table_hold_against_alike_images(coordinator: Coordinator, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", 6)
    with (folder / "groups.csv").open("a") as table:
        for number in range(2):
            name = f"uninfected/twin{number}.{'jpg' if number else 'png'}"
            noise(4242, 160).save(folder / name)
            table.write(f"{name},person-{number}\n")
    report = await add(coordinator, folder)
    assert "intake.near_duplicates" in {w["code"] for w in report["warnings"]}
    groups = {s.file: s.group for s in await opened(coordinator).samples("malaria")}
    assert groups["uninfected/twin0.png"] == "person-0" and groups["uninfected/twin1.jpg"] == "person-1"


def test_a_new_image_that_brings_two_earlier_ones_together_moves_them() -> None:
    low, high = bytearray(32), bytearray(32)
    high[0] = 0b11111100  # six bits apart: not alike
    middle = bytes([0b11100000, *([0] * 31)])  # three from each
    alone = [
        Sample(f"{n:064x}", "uninfected", f"image:{n}", f"uninfected/{n}.png", None, bytes(hash_))
        for n, hash_ in enumerate((low, high))
    ]
    new = Sample("f" * 64, "uninfected", "image:f", "uninfected/f.png", None, middle)
    settled, regrouped, near, straddling = grouped([new], alone)
    assert (settled[0].group, regrouped, straddling) == ("image:0", {"image:1": "image:0"}, 0)
    assert near == [["uninfected/0.png", "uninfected/1.png", "uninfected/f.png"]]
