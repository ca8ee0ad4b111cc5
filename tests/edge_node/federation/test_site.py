from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from edge_node.capture import keep as capture
from edge_node.errors import EdgeError
from edge_node.federation.extract import Trunk
from edge_node.federation.folder import Found, Reading
from edge_node.federation.site import LocalSite, stage_of
from edge_node.federation.store import SiteStore
from protocols.federation.task import Subject
from protocols.imaging import InputSpec
from protocols.pipeline import StageRunner
from tests.edge_node.federation.test_folder_and_store import folder, read

MEAN_TRUNK = Path(__file__).parent.parent / "data" / "mean_trunk.tflite"
TAP = sorted(StageRunner(MEAN_TRUNK).outputs)[0]
SUBJECT = Subject("malaria", "a" * 64, (TAP,))


class Kept:
    """Copies that a history holds; they may go."""

    def __init__(self, **copies: bytes) -> None:
        self.copies = copies

    async def results(self) -> frozenset[str]:
        return frozenset(self.copies)

    async def of(self, result: str) -> capture.Kept | None:
        return capture.Kept(self.copies[result], ".png") if result in self.copies else None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Kept]:
        yield self


def site(home: Path, trunk: Path | None = MEAN_TRUNK, refusal: str = "", copies: Kept | None = None) -> LocalSite:
    async def trunk_of(sha256: str) -> Trunk | None:
        return None if trunk is None else Trunk(sha256, trunk, InputSpec(32, (0.0, 1.0)))

    async def permitted(disease: str) -> None:
        if refusal:
            raise EdgeError(refusal, disease=disease)

    return LocalSite(home / "federation.sqlite", trunk_of, permitted, (copies or Kept()).opened)


def noted(home: Path) -> Path:
    images = folder(home / "images")

    async def note() -> None:
        async with SiteStore.open(home / "federation.sqlite") as store:
            await store.add("malaria", read(images))

    asyncio.run(note())
    return images


def code(work: LocalSite, subject: Subject = SUBJECT) -> str:
    with pytest.raises(EdgeError) as caught:
        work.features(subject)
    return caught.value.code


def test_features_are_computed_once_by_the_trunk_and_kept(tmp_path: Path) -> None:
    noted(tmp_path)
    found = site(tmp_path).features(SUBJECT)
    assert found.features.shape[0] == 6
    assert found.names == ("ill", "well")
    assert np.isfinite(found.features).all()
    again = site(tmp_path, trunk=None).features(SUBJECT)  # nothing is missing: the trunk is not asked for
    np.testing.assert_array_equal(again.features, found.features)


def test_a_picture_that_has_gone_or_was_replaced_by_nonsense_is_left_out(tmp_path: Path) -> None:
    images = noted(tmp_path)
    (images / "ill" / "0.png").unlink()
    (images / "ill" / "1.png").write_bytes(b"no picture")
    assert len(site(tmp_path).features(SUBJECT).labels) == 4


def test_sealed_copies_stand_in_for_originals_that_are_gone(tmp_path: Path) -> None:
    images = noted(tmp_path)
    before = site(tmp_path).features(SUBJECT)
    copies = Kept(r1=(images / "ill" / "0.png").read_bytes(), r2=b"no picture")
    digests = [hashlib.sha256((images / "ill" / f"{n}.png").read_bytes()).hexdigest() for n in range(2)]

    async def note() -> None:
        found = [Found(digest, "ill", digest, result=f"r{n}") for n, digest in enumerate(digests, start=1)]
        async with SiteStore.open(tmp_path / "federation.sqlite") as store:
            assert await store.add("malaria", Reading(("ill", "well"), found)) == 0
            known = await store.features(stage_of(SUBJECT))
            assert not set(digests) & set(known)  # a copy's features are not the original's: they are computed anew
            assert len(known) == 4

    asyncio.run(note())
    for number in range(2):
        (images / "ill" / f"{number}.png").unlink()
    found = site(tmp_path, copies=copies).features(SUBJECT)
    assert len(found.labels) == 5  # the damaged copy is left out
    np.testing.assert_allclose(np.sort(found.features, axis=0)[0], np.sort(before.features, axis=0)[0], atol=0.02)
    copies.copies.clear()
    assert len(site(tmp_path, copies=copies).features(SUBJECT).labels) == 4  # forgotten with its result


def test_without_consent_trunk_or_images_the_site_says_so(tmp_path: Path) -> None:
    assert code(site(tmp_path)) == "federation.no_images"
    noted(tmp_path)
    assert code(site(tmp_path, refusal="federation.not_consented")) == "federation.not_consented"
    assert code(site(tmp_path, trunk=None)) == "federation.no_trunk"
    assert code(site(tmp_path), Subject("skin", "a" * 64, (TAP,))) == "federation.no_images"


def test_a_trunk_that_is_damaged_or_has_other_outputs_is_named_and_nothing_is_kept(tmp_path: Path) -> None:
    noted(tmp_path)
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(MEAN_TRUNK.read_bytes()[:200])
    assert code(site(tmp_path, trunk=broken)) == "federation.trunk_unusable"
    other = Subject("malaria", "a" * 64, ("no_such_tap",))
    assert code(site(tmp_path), other) == "federation.trunk_unusable"

    async def kept() -> int:
        async with SiteStore.open(tmp_path / "federation.sqlite") as store:
            return len(await store.features(stage_of(SUBJECT))) + len(await store.features(stage_of(other)))

    assert asyncio.run(kept()) == 0
