"""The cache of maps: what is stored comes back, stays below its limit and survives torn files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from coordinator.errors import CoordinatorError
from coordinator.training.spatial import maps as spatial_maps
from coordinator.training.spatial.maps import MapCache, MapReader, packed, record_bytes
from tests.support.spatial import LIMIT, SHAPE, activations, digests, made, store

LABELS = np.arange(12) % 2
RECORD = record_bytes(SHAPE)


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.maps"))


def test_a_value_is_off_by_half_a_step_of_its_channels_maximum_at_most(tmp_path: Path) -> None:
    reader = MapReader(made(tmp_path, LABELS))
    original = activations(LABELS, 0)
    for image in range(len(LABELS)):
        apart = np.abs(reader.values("mixed4", image)[0] - original[image])
        assert (apart <= original[image].max(axis=(0, 1)) / 510 * 1.001).all()


def test_a_silent_channel_stays_silent() -> None:
    assert not any(packed(np.zeros(SHAPE, np.float32)))


def test_views_are_read_each_from_its_place_and_a_missing_one_is_the_image(tmp_path: Path) -> None:
    maps = made(tmp_path, LABELS, views=1)
    reader = MapReader(maps)
    assert maps.views == 1 and maps.images == len(LABELS)
    assert np.abs(reader.values("mixed7", 3, 1)[0] - activations(LABELS, 11)[3]).max() < 0.02
    more = MapReader(store(tmp_path).maps(digests(len(LABELS)), views=2))
    assert np.array_equal(more.values("mixed7", 3, 2), reader.values("mixed7", 3, 0))


def test_only_what_is_missing_is_computed_again(tmp_path: Path) -> None:
    made(tmp_path, LABELS)
    assert store(tmp_path).missing([*digests(13), f"{digests(1)[0]}/1"]) == {digests(13)[12], f"{digests(1)[0]}/1"}
    assert store(tmp_path, trunk="d" * 64).missing(digests(2)) == set(digests(2))


def test_a_layer_that_is_there_is_not_stored_twice(tmp_path: Path) -> None:
    one = store(tmp_path, ("mixed4",))
    values = packed(activations(LABELS)[0])
    for digest in digests(2):
        one.put(digest, {"mixed4": values})
    one.flush()
    both = store(tmp_path)
    assert both.missing(digests(2)) == set(digests(2))
    both.put(digests(1)[0], {"mixed4": values, "mixed7": values})
    both.flush()
    assert MapCache(tmp_path, LIMIT).bytes_used() == 3 * RECORD
    assert both.missing(digests(1)) == set()


def test_the_least_recently_used_shards_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spatial_maps, "SHARD_RECORDS", 4)
    limit = 10 * RECORD
    record = packed(activations(LABELS)[0])

    def fill(first: int, count: int) -> None:
        kept = store(tmp_path, ("mixed4",), limit)
        wanted = digests(first + count)[first:]
        for key in kept.missing(wanted):
            kept.put(key, {"mixed4": record})
        kept.flush()
        assert MapCache(tmp_path, limit).bytes_used() <= limit
        assert len(kept.maps(wanted).shards) > 0

    fill(0, 4)
    fill(4, 4)
    fill(0, 4)  # used again: now the second four are the oldest
    fill(8, 4)
    left = store(tmp_path, ("mixed4",)).missing(digests(12))
    assert left == set(digests(12)[4:8])
    MapCache(tmp_path, limit).bytes_used()
    assert len(shards(tmp_path)) == 2, "files of dropped shards are gone"


def test_what_can_never_fit_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    made(tmp_path, LABELS)
    with pytest.raises(CoordinatorError) as refused:
        store(tmp_path, limit=30 * RECORD).missing(digests(16))
    assert refused.value.code == "train.spatial_no_room"
    assert store(tmp_path).missing(digests(12)) == set(), "a refusal drops nothing"


def test_torn_flipped_and_lost_files_are_computed_again(tmp_path: Path) -> None:
    made(tmp_path, LABELS)
    first, second = shards(tmp_path)
    with first.open("r+b") as file:
        file.truncate(5 * RECORD + 7)
    assert store(tmp_path, ("mixed4",)).missing(digests(12)) == set(digests(12)[5:])
    data = bytearray(second.read_bytes())
    data[3 * RECORD + 4000] ^= 1
    second.write_bytes(data)
    assert store(tmp_path, ("mixed7",)).missing(digests(12)) == {digests(12)[3]}
    second.unlink()
    mended = store(tmp_path, ("mixed7",))
    assert mended.missing(digests(12)) == set(digests(12))
    made(tmp_path, LABELS)
    assert store(tmp_path).missing(digests(12)) == set()


def test_records_that_never_reached_the_index_are_no_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, LABELS)
    more = activations(LABELS, 5)
    kept = store(tmp_path)
    for image, digest in enumerate(digests(24)[12:]):
        kept.put(digest, {layer: packed(more[image]) for layer in kept.shapes})
    real = spatial_maps._write
    calls: list[int] = []

    def dies_after_the_first(path: Path, records: dict[int, bytes], size: int) -> None:
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        real(path, records, size)

    monkeypatch.setattr(spatial_maps, "_write", dies_after_the_first)
    with pytest.raises(KeyboardInterrupt):
        kept.flush()
    monkeypatch.undo()
    again = store(tmp_path)
    assert again.missing(digests(24)) == set(digests(24)[12:])
    reader = MapReader(again.maps(digests(12)))
    assert np.abs(reader.values("mixed4", 11)[0] - activations(LABELS, 0)[11]).max() < 0.02


def test_files_that_the_index_does_not_know_are_cleared_away(tmp_path: Path) -> None:
    made(tmp_path, LABELS)
    (tmp_path / "00000099.maps").write_bytes(b"left by a crash")
    MapCache(tmp_path, LIMIT).bytes_used()
    assert len(shards(tmp_path)) == 2


def test_removed_images_are_overwritten_with_all_their_views(tmp_path: Path) -> None:
    made(tmp_path, LABELS, views=1)
    before = shards(tmp_path)[0].read_bytes()
    MapCache(tmp_path, LIMIT).remove(digests(2))
    after = shards(tmp_path)[0].read_bytes()
    zeros = [n for n in range(len(after) // RECORD) if not any(after[n * RECORD : (n + 1) * RECORD])]
    assert zeros == [0, 1, 12, 13] and after[2 * RECORD : 12 * RECORD] == before[2 * RECORD : 12 * RECORD]
    kept = store(tmp_path)
    assert kept.missing(digests(3)) == set(digests(2))
    with pytest.raises(CoordinatorError) as gone:
        kept.maps(digests(2))
    assert gone.value.code == "train.spatial_maps_gone"
    MapCache(tmp_path, LIMIT).remove(digests(12))
    MapCache(tmp_path, LIMIT).bytes_used()
    assert shards(tmp_path) == []
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as database:
        assert database.execute("SELECT COUNT(*) FROM records").fetchone() == (0,)


def test_the_identity_is_of_what_is_shown_and_not_of_where_it_lies(tmp_path: Path) -> None:
    here, there = made(tmp_path / "a", LABELS), made(tmp_path / "b", LABELS)
    assert here.identity == there.identity and here.shards != there.shards
    assert store(tmp_path / "a").maps(digests(11)).identity != here.identity


def test_a_shard_that_goes_while_it_is_needed_is_told(tmp_path: Path) -> None:
    maps = made(tmp_path, LABELS)
    shards(tmp_path)[0].unlink()
    with pytest.raises(CoordinatorError) as gone:
        MapReader(maps)
    assert gone.value.code == "train.spatial_maps_gone"
