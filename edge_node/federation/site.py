"""A site as its ClientApp sees it: consented images as features. Used from the thread that answers."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np

from edge_node.errors import EdgeError
from edge_node.federation.extract import Trunk, extract
from edge_node.federation.folder import Found
from edge_node.federation.images import LabelledFeatures, held_out
from edge_node.federation.sources import CopiesOf, content, copies_for, no_copies, present
from edge_node.federation.spatial import is_installed
from edge_node.federation.store import SiteStore
from edge_node.federation.worker import MapWorker, WorkerMaps
from protocols.federation.task import Subject
from protocols.imaging import PREPARE_VERSION
from protocols.spatial.shape import SpatialShape

_KEEP_EVERY = 32
_AT_ONCE = 256  # images; the copies among them are held in memory, at most 150 kB each
_log = logging.getLogger("medmesh.federation")
TrunkOf = Callable[[str], Awaitable[Trunk | None]]
Permission = Callable[[str], Awaitable[None]]


def stage_of(subject: Subject) -> str:
    """What features depend on, beside the image."""
    text = f"{subject.trunk} {','.join(subject.taps)} {PREPARE_VERSION}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _by_group(image: Found) -> tuple[bytes, str]:
    """An order in which the first ones are a fair choice of whole groups."""
    return hashlib.sha256(image.group.encode()).digest(), image.sha256


def _key(image: Found) -> str:
    """A file and its copy do not give quite the same maps."""
    return f"{image.sha256}/{image.result or ''}"


class LocalSite:
    """Images of this machine."""

    def __init__(
        self,
        path: Path,
        trunk_of: TrunkOf,
        permission: Permission,
        copies: CopiesOf = no_copies,
        worker: MapWorker | None = None,
    ) -> None:
        """Args: trunk_of: a verified trunk by digest; permission: raises where the site does not take part now;
        copies: opens the history's sealed copies; worker: holds maps.
        """
        self._path = path
        self._trunk_of = trunk_of
        self._permission = permission
        self._copies = copies
        self._worker = worker or MapWorker()

    def features(self, subject: Subject) -> LabelledFeatures:
        """All consented images of a disease as the trunk sees them; computed now where they are not kept.

        Raises:
            EdgeError: ``federation.not_consented``, ``…no_images``, ``…no_trunk``, ``…not_now`` or ``storage.*``.
        """
        return asyncio.run(self._features(subject))

    async def _features(self, subject: Subject) -> LabelledFeatures:
        try:
            await self._permission(subject.disease)
        except EdgeError:
            self._worker.close()  # whoever withdraws wants no map of a picture to be held
            raise
        if subject.spatial is not None:
            return await self._maps(subject, subject.spatial)
        await self.compute(subject, lambda done, total: None)
        async with SiteStore.open(self._path) as store, AsyncExitStack() as stack:
            known = await store.features(stage_of(subject))
            images = [i for i in await store.images(subject.disease) if i.sha256 in known]
            images = await present(images, await stack.enter_async_context(copies_for(images, self._copies)))
            names = await store.labels(subject.disease)
        if not images:
            raise EdgeError("federation.no_images")
        return LabelledFeatures(
            np.stack([known[i.sha256] for i in images]),
            names,
            np.array([names.index(i.label) for i in images], dtype=np.int64),
            held_out(np.array([i.group for i in images])),
        )

    async def _maps(self, subject: Subject, shape: SpatialShape) -> LabelledFeatures:
        """Images as maps, in the worker's memory."""
        if not is_installed():
            raise EdgeError("federation.no_training_extra")
        stage = stage_of(subject)
        async with SiteStore.open(self._path) as store, AsyncExitStack() as stack:
            images = await store.images(subject.disease)
            copies = await stack.enter_async_context(copies_for(images, self._copies))
            images = sorted(await present(images, copies), key=_by_group)
            names = await store.labels(subject.disease)
            keys = {_key(i): i for i in images}
            holding = self._worker.keep(stage, keys)
            missing = [key for key in keys if key not in holding.keys]
            trunk = await self._trunk_of(subject.trunk) if missing and not holding.is_full else None
            if missing and not holding.is_full and trunk is None:
                raise EdgeError("federation.no_trunk")
            for first in range(0, len(missing) if trunk else 0, _AT_ONCE):
                found = [(key, await content(keys[key], copies)) for key in missing[first : first + _AT_ONCE]]
                readable = [(key, source) for key, source in found if source is not None]
                assert trunk is not None
                holding = self._worker.hold(stage, trunk, shape, readable)
                if holding.is_full:
                    _log.warning("of %s images only %s have room for their maps", len(images), len(holding.keys))
                    break
        held = [(key, i) for key, i in keys.items() if key in holding.keys]
        if not held:
            raise EdgeError("federation.no_images")
        return LabelledFeatures(
            WorkerMaps(self._worker, shape, tuple(key for key, _ in held), holding.channels),
            names,
            np.array([names.index(i.label) for _, i in held], dtype=np.int64),
            held_out(np.array([i.group for _, i in held])),
        )

    async def compute(self, subject: Subject, progress: Callable[[int, int], None]) -> int:
        """Compute the features that are not kept yet; returns how many images were computed.

        Raises:
            EdgeError: ``federation.no_trunk`` or ``federation.trunk_unusable``; what was computed stays.
        """
        stage = stage_of(subject)
        async with SiteStore.open(self._path) as store, AsyncExitStack() as stack:
            known = await store.features(stage)
            images = [i for i in await store.images(subject.disease) if i.sha256 not in known]
            copies = await stack.enter_async_context(copies_for(images, self._copies))
            missing = await present(images, copies)
            if not missing:
                return 0
            trunk = await self._trunk_of(subject.trunk)
            if trunk is None:
                raise EdgeError("federation.no_trunk")
            for first in range(0, len(missing), _AT_ONCE):
                found = [(i, await content(i, copies)) for i in missing[first : first + _AT_ONCE]]
                readable = [(i, source) for i, source in found if source is not None]

                def told(done: int, _: int, before: int = first) -> None:
                    progress(before + done, len(missing))

                fresh = []
                values = extract([source for _, source in readable], trunk, subject.taps, told)
                for (image, _), value in zip(readable, values, strict=True):
                    if value is not None:
                        fresh.append((image.sha256, value))
                    if len(fresh) >= _KEEP_EVERY:
                        await store.keep_features(stage, fresh)
                        fresh = []
                await store.keep_features(stage, fresh)
        return len(missing)
