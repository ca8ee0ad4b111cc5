from __future__ import annotations

import hashlib
import tracemalloc
import zlib
from dataclasses import replace
from datetime import timedelta

import pytest

from disease_kb import replica
from disease_kb.errors import KnowledgeBaseError, UnreadableSourceError
from disease_kb.model import Entry
from disease_kb.replica_dictionary import WINDOW_BYTES, dictionary, train
from disease_kb.seeding import seed_entries
from tests.disease_kb.conftest import EntryFactory


@pytest.fixture
def data(make_entry: EntryFactory) -> bytes:
    return replica.build([make_entry("a"), make_entry("b", zh="乙"), make_entry("c", en="C")])


def _bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(b" " * size) + packer.flush()


def _file(*blobs: bytes) -> bytes:
    framed = b"".join(len(blob).to_bytes(3, "big") + blob for blob in blobs)
    return b"MMKB\x01" + len(blobs).to_bytes(4, "big") + framed


def _edited(entry: Entry, place: int) -> Entry:
    texts = list(entry.texts)
    texts[place] = replace(texts[place], zh=f"{texts[place].zh}另请复诊。", en=f"{texts[place].en} Come again.")
    return replace(entry, texts=tuple(texts), version=entry.version + 1, updated=entry.updated + timedelta(30))


def test_an_empty_knowledge_base_is_a_replica_too() -> None:
    assert replica.read(replica.build([])) == []


def test_the_packaged_seed_fits_a_thin_line() -> None:
    assert len(replica.build(seed_entries())) <= 300_000


def test_one_changed_text_of_any_packaged_entry_costs_at_most_5_kb() -> None:
    seed = seed_entries()
    whole = replica.build(seed)
    for index, entry in enumerate(seed):
        new = replica.build([*seed[:index], _edited(entry, len(entry.texts) // 2), *seed[index + 1 :]])
        change = replica.patch(whole, new)
        assert len(change) <= 5_000
        assert replica.apply_patch(whole, change) == new


def test_a_patch_adds_removes_and_reorders(data: bytes, make_entry: EntryFactory) -> None:
    for names in ([], ["b"], ["a", "c", "d"], ["0", "a", "b", "c", "z"]):
        new = replica.build([make_entry(name) for name in names])
        assert replica.apply_patch(data, replica.patch(data, new)) == new


def test_a_patch_fits_only_the_file_it_was_made_for(data: bytes, make_entry: EntryFactory) -> None:
    change = replica.patch(data, replica.build([make_entry("z")]))
    with pytest.raises(UnreadableSourceError) as caught:
        replica.apply_patch(replica.build([make_entry("y")]), change)
    assert caught.value.code == "kb.replica.other_base"


def test_every_cut_of_a_file_is_refused(data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(UnreadableSourceError):
            replica.read(data[:length])


def test_a_changed_byte_is_refused_or_gives_valid_entries(data: bytes) -> None:
    for position in range(0, len(data), 7):
        damaged = data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :]
        try:
            entries = replica.read(damaged)
        except KnowledgeBaseError:
            continue
        assert all(isinstance(entry, Entry) for entry in entries)


def test_every_cut_or_changed_byte_of_a_patch_is_refused(data: bytes, make_entry: EntryFactory) -> None:
    change = replica.patch(data, replica.build([make_entry("a"), make_entry("new")]))
    for position in range(len(change)):
        with pytest.raises(UnreadableSourceError):
            replica.apply_patch(data, change[:position])
        with pytest.raises(UnreadableSourceError):
            replica.apply_patch(data, change[:position] + bytes([change[position] ^ 1]) + change[position + 1 :])


def test_a_patch_that_copies_without_end_is_refused(data: bytes) -> None:
    head = b"MMKP\x01" + hashlib.sha256(data).digest()[:8] + bytes(32)
    step = b"\x00" + (0).to_bytes(4, "big") + (9).to_bytes(4, "big")
    with pytest.raises(UnreadableSourceError):
        replica.apply_patch(data, head + step * 200_000)


def test_a_decompression_bomb_is_refused_in_little_memory() -> None:
    bomb = _file(*[_bomb(200_000_000)] * 3)
    assert len(bomb) < 1_000_000
    tracemalloc.start()
    with pytest.raises(UnreadableSourceError):
        replica.read(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_many_blobs_below_the_limit_are_bounded_together(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(replica, "MAX_UNPACKED_BYTES", 2_000)
    with pytest.raises(UnreadableSourceError) as caught:
        replica.read(data)
    assert caught.value.details["detail"] == "unpacked size"


@pytest.mark.parametrize(
    "part", [b"[]", b"{}", b"7", b'{"entry": 3, "order": "0"}', b'{"entry": {}, "order": "99"}', b"[" * 9_999, b"\xff"]
)
def test_well_packed_nonsense_is_refused(part: bytes) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    blob = packer.compress(part) + packer.flush()
    with pytest.raises(KnowledgeBaseError):
        replica.read(_file(blob, blob, blob))


@pytest.mark.parametrize("data", [b"", b"MMKB", b"MMKB\x02" + bytes(4), b"PK\x03\x04" + bytes(60)])
def test_another_file_is_not_a_replica(data: bytes) -> None:
    with pytest.raises(UnreadableSourceError) as caught:
        replica.read(data)
    assert caught.value.code == "kb.replica.not_one"


def test_a_claim_of_four_billion_blobs_is_refused() -> None:
    with pytest.raises(UnreadableSourceError):
        replica.read(b"MMKB\x01\xff\xff\xff\xff")


def test_the_dictionary_of_format_1_never_changes() -> None:
    assert len(dictionary()) <= 32_768
    assert zlib.crc32(dictionary()) == 996595509


def test_training_gives_the_same_dictionary_again(make_entry: EntryFactory) -> None:
    entries = seed_entries()[:6]
    assert train(entries) == train(reversed(entries))
    assert len(train(entries)) <= WINDOW_BYTES
