"""Two releases over a site's labelled images; what either answered before, and what their trunk gave, is not computed again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edge_node.acceptance.answers import Answered, AnswersDiedError, Bounds, Features, Question, answers, pooled_inputs
from edge_node.acceptance.comparison import Comparison
from edge_node.acceptance.decision import compare
from edge_node.federation.folder import Found
from edge_node.federation.site import stage_of
from edge_node.federation.sources import Copies, CopiesOf, content, copies_for, no_copies, present
from edge_node.federation.store import SiteStore
from protocols.federation.task import Subject
from protocols.manifest import ReleaseManifest

MOST_IMAGES = 1000  # more would cost a small machine minutes and narrow the interval little
_KEEP_EVERY = 32
_AT_ONCE = 256

Ask = Callable[[bytes, Mapping[str, Path], Sequence[Question], Bounds], Iterator[Answered | None]]


class CandidateDiedError(Exception):
    """The candidate does not run on this site's images; the release in use does."""


@dataclass(frozen=True)
class Party:
    """One of the two releases: the digest of its manifest, its bytes, and its verified files by digest."""

    sha256: str
    manifest: bytes
    files: Mapping[str, Path]


class Judge(Protocol):
    """What a site's images say of releases."""

    async def labelled(self, disease: str) -> str | None:
        """What changes with the labelled images of a disease; None where there are none."""
        ...

    async def compare(self, active: Party, candidate: Party) -> Comparison:
        """Compare two releases of one disease.

        Raises:
            CandidateDiedError: the candidate does not run on these images.
        """
        ...


class NoJudge:
    """A site without labelled images."""

    async def labelled(self, _: str) -> str | None:
        """See ``Judge``."""
        return None

    async def compare(self, active: Party, candidate: Party) -> Comparison:
        """See ``Judge``."""
        return Comparison.nothing()


class SiteJudge:
    """The images that ``data add`` noted."""

    def __init__(
        self, path: Path, copies: CopiesOf = no_copies, bounds: Bounds | None = None, ask: Ask = answers
    ) -> None:
        """Args: path: of the site's store; copies: opens the history's sealed copies; ask: runs a release over images."""
        self._path = path
        self._copies = copies
        self._bounds = bounds or Bounds()
        self._ask = ask

    async def labelled(self, disease: str) -> str | None:
        """See ``Judge``."""
        if not self._path.exists():
            return None
        async with SiteStore.open(self._path) as store:
            images = await store.images(disease)
        if not images:
            return None
        rows = "\n".join(f"{i.sha256} {i.label} {i.group} {i.result is None}" for i in images)
        return hashlib.sha256(rows.encode()).hexdigest()

    async def compare(self, active: Party, candidate: Party) -> Comparison:
        """See ``Judge``."""
        manifests = [ReleaseManifest.from_bytes(party.manifest) for party in (active, candidate)]
        disease = manifests[0].disease
        both = {x.label for x in manifests[0].labels} & {x.label for x in manifests[1].labels}
        async with SiteStore.open(self._path) as store, AsyncExitStack() as stack:
            images = chosen([i for i in await store.images(disease) if i.label in both])
            copies = await stack.enter_async_context(copies_for(images, self._copies))
            try:
                before = await self._answers(store, copies, active, manifests[0], images)
            except AnswersDiedError:  # then nothing can be said, and the candidate is not the one to blame
                return Comparison.nothing()
            try:
                after = await self._answers(store, copies, candidate, manifests[1], images)
            except AnswersDiedError as error:
                raise CandidateDiedError from error
            await store.forget_answers(disease, [active.sha256, candidate.sha256])
        seen = [i for i in images if i.sha256 in before and i.sha256 in after]
        return compare(
            np.array([i.label for i in seen], dtype=np.str_),
            np.array([before[i.sha256] == i.label for i in seen], dtype=np.bool_),
            np.array([after[i.sha256] == i.label for i in seen], dtype=np.bool_),
            np.array([i.group for i in seen], dtype=np.str_),
        )

    async def _answers(
        self, store: SiteStore, copies: Copies, party: Party, manifest: ReleaseManifest, images: Sequence[Found]
    ) -> dict[str, str]:
        """The party's likeliest label by image; those that are not kept are computed and kept."""
        known = await store.answers(party.sha256)
        missing = [i for i in images if i.sha256 not in known]
        features = await self._features(store, manifest)
        needed = {i.sha256 for i in await present([i for i in missing if i.sha256 not in features], copies)}
        missing = [i for i in missing if i.sha256 in features or i.sha256 in needed]
        for first in range(0, len(missing), _AT_ONCE):
            part = missing[first : first + _AT_ONCE]
            questions = [
                Question(await content(i, copies) if i.sha256 in needed else None, features.get(i.sha256, {}))
                for i in part
            ]
            found = await asyncio.to_thread(self._asked, party, questions)
            pairs = [(i.sha256, answer) for i, answer in zip(part, found, strict=True) if answer is not None]
            await store.keep_answers(party.sha256, [(sha256, answer.label) for sha256, answer in pairs])
            for name in pooled_inputs(manifest):
                fresh = [(sha256, answer.features[name]) for sha256, answer in pairs if name in answer.features]
                await store.keep_features(_stage(manifest, name), fresh)
            known |= {sha256: answer.label for sha256, answer in pairs}
        return {i.sha256: known[i.sha256] for i in images if i.sha256 in known}

    def _asked(self, party: Party, questions: Sequence[Question]) -> list[Answered | None]:
        return list(self._ask(party.manifest, party.files, questions, self._bounds))

    @staticmethod
    async def _features(store: SiteStore, manifest: ReleaseManifest) -> dict[str, Features]:
        """By image, what the trunk gave for all outputs that the release reads; images that lack one are left out."""
        by_name = {name: await store.features(_stage(manifest, name)) for name in pooled_inputs(manifest)}
        if not by_name:
            return {}
        complete = set.intersection(*(set(found) for found in by_name.values()))
        return {sha256: {name: found[sha256] for name, found in by_name.items()} for sha256 in complete}


def chosen(images: Sequence[Found]) -> list[Found]:
    """Whole groups in the order of their hashes, up to the most that is looked at: the same ones every time."""
    if len(images) <= MOST_IMAGES:
        return list(images)
    groups: dict[str, list[Found]] = {}
    for image in images:
        groups.setdefault(image.group, []).append(image)
    taken: list[Found] = []
    for name in sorted(groups, key=lambda group: hashlib.sha256(group.encode()).digest()):
        if taken and len(taken) + len(groups[name]) > MOST_IMAGES:
            continue
        taken += groups[name]
    return taken


def _stage(manifest: ReleaseManifest, name: str) -> str:
    return stage_of(Subject(manifest.disease, manifest.stages[0].sha256, (name,)))
