"""Everything that a card is made of, read from the coordinator's store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.intake.shortcuts import Audit, from_document
from coordinator.releases.lifecycle import Releases
from coordinator.releases.models import Models
from coordinator.store.blobs import FolderBlobs
from coordinator.training import oof
from coordinator.training.metrics import Interval
from coordinator.training.oof import OutOfFold
from protocols.manifest import ReleaseManifest


@dataclass(frozen=True)
class Version:
    """One line of the changelog."""

    number: int
    created: str
    headline: Interval | None  # balanced accuracy
    dataset: str
    images: int | None
    state: str | None  # of its release; None: never proposed
    notes: str


@dataclass(frozen=True)
class CardFacts:
    """One model version.

    Attributes:
        manifest: as proposed, else the candidate's.
        trained: what training made: another version where this one was recalibrated for a site, else the same.
        training: what training recorded.
        maker: name of the coordinator.
        release: its release with gates and approvals; None: never proposed.
        versions: this one and all earlier ones, newest first.
        out_of_fold: what cross-validation answered; None where it was not kept.
        shortcuts: by what else than the picture the training data's classes can be told.
    """

    manifest: ReleaseManifest
    trained: ReleaseManifest
    training: dict[str, Any]
    maker: str
    release: dict[str, Any] | None
    versions: tuple[Version, ...]
    out_of_fold: OutOfFold | None
    shortcuts: tuple[Audit, ...] = ()


async def gather(name: str, models: Models, releases: Releases, home: Home, maker: str) -> CardFacts:
    """Read the facts of ``model`` (newest) or ``model@version``.

    Raises:
        CoordinatorError: ``model.unknown``.
    """
    manifest = await models.manifest(name)
    training = await models.show(manifest.name)
    release = await _release(releases, manifest.name)
    if release is not None:
        manifest = models.read_manifest(release["manifest"])
    trained = await _trained(manifest, training, models)
    versions = [
        await _version(f"{row['model']}@{row['version']}", models, releases)
        for row in await models.list()
        if row["model"] == manifest.model and row["version"] <= manifest.version
    ]
    return CardFacts(
        manifest,
        trained,
        training,
        maker,
        release,
        tuple(sorted(versions, key=lambda v: -v.number)),
        oof.load(FolderBlobs(home.out_of_fold), training.get("out_of_fold")),
        tuple(map(from_document, (await models.show(trained.name)).get("shortcuts", ()))),
    )


def headline(manifest: ReleaseManifest) -> Interval | None:
    """Balanced accuracy as the manifest states it; a model that was brought ready-trained may state none."""
    found = manifest.metrics.get("balanced_accuracy")
    return None if found is None else Interval(found["value"], found["low"], found["high"])


async def _trained(manifest: ReleaseManifest, training: dict[str, Any], models: Models) -> ReleaseManifest:
    while "recalibrated" in training:
        manifest = await models.manifest(training["recalibrated"]["from"])
        training = await models.show(manifest.name)
    return manifest


async def _release(releases: Releases, name: str) -> dict[str, Any] | None:
    try:
        return await releases.show(name)
    except CoordinatorError as error:
        if error.code != "release.unknown":
            raise
        return None


async def _version(name: str, models: Models, releases: Releases) -> Version:
    manifest = await models.manifest(name)
    release = await _release(releases, name)
    return Version(
        manifest.version,
        manifest.created,
        headline(manifest),
        str(manifest.data.get("dataset", "")),
        manifest.data.get("images"),
        release["state"] if release else None,
        release["notes"] if release else "",
    )
