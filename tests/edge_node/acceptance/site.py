"""A site with labelled images, for nodes whose wires are fakes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from edge_node.acceptance.answers import Answered, Bounds, Examination, Question
from edge_node.acceptance.comparison import Comparison
from edge_node.acceptance.judge import CandidateDiedError, Party
from edge_node.federation.folder import read_folder
from edge_node.federation.store import SiteStore
from tests.edge_node.support.node import now
from tests.edge_node.support.releases import BLUE, LABELS, RED, Release, make_release, png


def permuted(version: int, **changes: object) -> Release:
    """A release whose head is right about everything, under the wrong names; its self-test passes."""
    release = make_release(version=version, labels=(LABELS[1], LABELS[0]), created=f"2026-03-{version:02}")
    return Release(replace(release.manifest, **changes), release.files)  # type: ignore[arg-type]


def fill(folder: Path, each: int = 12, only: Sequence[str] = ("red", "blue")) -> Path:
    """Plain squares that the releases tell apart; every image is another patient's."""
    for label, (red, green, blue) in (("red", RED), ("blue", BLUE)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(each if label in only else 1):
            (folder / label / f"{number}.png").write_bytes(png((red, green + number, blue)))
    return folder


async def note(path: Path, images: Path, disease: str = "malaria") -> None:
    """As ``data add`` does."""
    async with SiteStore.open(path) as store:
        await store.add(disease, read_folder(images, None, lambda done, total: None))


class Counting:
    """Runs releases in this process, and counts for how many images their first stage ran."""

    def __init__(self) -> None:
        self.trunk_runs = self.asked = 0

    def __call__(
        self, manifest: bytes, files: Mapping[str, Path], questions: Sequence[Question], bounds: Bounds
    ) -> Iterator[Answered | None]:
        examination = Examination(manifest, files)
        for question in questions:
            self.asked += 1
            answered = examination.answer(question)
            self.trunk_runs += bool(answered is not None and answered.features)
            yield answered


class Scripted:
    """A judge who says what a test wants, and remembers what it was asked."""

    def __init__(self, *verdicts: str) -> None:
        self.verdicts = list(verdicts)
        self.data: str | None = "images"
        self.asked = 0

    async def labelled(self, disease: str) -> str | None:
        return self.data

    async def compare(self, active: Party, candidate: Party) -> Comparison:
        self.asked += 1
        verdict = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        if verdict == "died":
            raise CandidateDiedError
        if verdict == "worse":
            return Comparison("worse", 0.7, 0.9, -0.3, -0.1, 40, 20)
        return Comparison("not_worse", 0.9, 0.9, -0.1, 0.1, 40, 20)


class Clock:
    """The present, and later when a test says so."""

    def __init__(self) -> None:
        self.later = timedelta()

    def __call__(self) -> datetime:
        return now() + self.later
