"""One image more among very many is grouped by its own near-duplicates alone, as if all pairs had been compared."""

from __future__ import annotations

import time

import numpy as np
import pytest

from coordinator.intake.cleaning import beside, grouped
from coordinator.intake.groups import alone, cluster_of, near_duplicates
from coordinator.intake.samples import Sample


def chains(seed: int, count: int = 60) -> list[Sample]:
    """Images in chains of which each is near the next, and groups of which some were given."""
    chance = np.random.default_rng(seed)
    samples, bits = [], chance.integers(0, 2, 256)
    for number in range(count):
        if chance.random() < 0.3:
            bits = chance.integers(0, 2, 256)
        bits = bits.copy()
        bits[chance.choice(256, int(chance.integers(0, 7)), replace=False)] ^= 1
        sha256 = f"{number:064x}"
        group = f"patient:{number % 5}" if chance.random() < 0.3 else alone(sha256)
        samples.append(Sample(sha256, "a", group, f"{number}.png", None, np.packbits(bits).tobytes()))
    return [samples[i] for i in chance.permutation(count)]


@pytest.mark.parametrize("seed", range(12))
def test_the_same_group_as_by_comparing_all_pairs(seed: int) -> None:
    *before, one = chains(seed)
    earlier, _, _, _ = grouped(before, [])
    settled, regrouped, near, straddling = grouped([one], earlier)
    close = beside(one, earlier)
    assert grouped([one], close)[0] == settled
    assert grouped([one], close)[1] == regrouped and grouped([one], close)[3] == straddling
    assert [sorted(c) for c in grouped([one], close)[2]] == [sorted(c) for c in near]


def test_an_image_that_is_there_already_or_without_a_hash_stays_what_it_is() -> None:
    first, second, *_ = chains(1)
    assert first in beside(first, [first, second])
    bare = Sample("f" * 64, "a", "patient:1", "x.png")
    assert beside(bare, [first, second]) == [] and grouped([bare], [])[0] == [bare]


def test_a_cluster_is_that_of_all_pairs_and_found_in_a_fraction_of_the_time() -> None:
    hashes = np.random.default_rng(2).integers(0, 256, (4000, 32)).astype(np.uint8)
    hashes[17] = hashes[400]
    hashes[17, 0] ^= 1
    began = time.process_time()
    assert cluster_of(hashes, 17) == [17, 400]
    quick = time.process_time() - began
    assert near_duplicates(hashes) == [[17, 400]]
    assert quick * 10 < time.process_time() - began
