"""Training one model version: features, the ladder of heads, calibration, manifest. Blocking; run it in a thread."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.engine import Engine
from coordinator.errors import CoordinatorError
from coordinator.home import Home
from coordinator.intake import shortcuts
from coordinator.intake.samples import Sample
from coordinator.store.blobs import FolderBlobs
from coordinator.training import figures, made, modality, oof, selection, views
from coordinator.training.features import Extraction, FeatureCache, map_shapes
from coordinator.training.ladder import ascent, distilled, spatial, timing
from coordinator.training.ladder.ascent import Ascent, Seen, Terms
from coordinator.training.ladder.budget import USUAL_BUDGET_KB
from coordinator.training.ladder.decision import Subject, decide, held_out
from coordinator.training.ladder.report import Outcome, report
from coordinator.training.ladder.work import Work, key, sweep
from coordinator.training.modality import Modality
from coordinator.training.plan import Plan
from coordinator.training.spatial.maps import MapCache, MapStore
from coordinator.training.table import Altered, as_data, check_samples
from coordinator.training.trunks import ReadyTrunk, Trunks
from protocols.imaging import Quality
from protocols.manifest import ReleaseManifest

VIEWS = {"quick": (1, 150), "standard": (1, 4000), "full": (2, 8000)}  # views an image, at most so many images
DEGRADED_IMAGES = 100
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Trained:
    """A model version: its manifest, and the figures that ``train`` prints."""

    manifest: ReleaseManifest
    document: dict[str, Any]


class _Clock:
    """Seconds spent in each part, and how many are left."""

    def __init__(self, plan: timing.Expected, progress: Progress) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress
        self._remaining = timing.Remaining(plan)
        self._start = self._began = time.monotonic()
        progress("time", 0, round(plan.total))

    @contextmanager
    def part(self, name: str) -> Any:
        self._began = time.monotonic()
        yield
        now = time.monotonic()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - self._began, 1)
        self.seconds["total"] = round(now - self._start, 1)

    def told(self, part: str, done: int, total: int) -> None:
        """Pass progress on, and what it says about the time."""
        now = time.monotonic()
        self._progress(part, done, total)
        self._remaining.told(part, done, total, now - self._began)
        spent = round(now - self._start)
        self._progress("time", spent, spent + round(self._remaining.seconds()))


class Trainer:
    """Trains heads on what a frozen trunk sees. Writes only immutable artifacts; the caller records the model."""

    def __init__(self, home: Home, engine: Engine, maps_mb: int) -> None:
        """Args:
        home: where everything lies.
        engine: where features are computed and linear heads fitted.
        maps_mb: of the disk, for cached maps.
        """
        self._home = home
        self._engine = engine
        self._maps = MapCache(home.maps, maps_mb * 1_000_000)
        self._artifacts = FolderBlobs(home.artifacts)
        self._images = FolderBlobs(home.images)
        self._features = FeatureCache(home.features)

    def train(self, plan: Plan, progress: Progress) -> Trained:
        """Train. What ``progress`` raises stops it; the same plan then goes on where it was.

        Args:
            plan: what to train.
            progress: told of each part, and as part ``time`` of the seconds spent and those expected in all.

        Raises:
            CoordinatorError: ``train.…`` or ``backbone.…``; nothing is recorded then.
        """
        plans = check_samples(plan.samples, selection.REPEATS[plan.effort])
        kind = plan.modality or modality.guess([plan.dataset, plan.disease, *(x.label for x in plan.labels)])
        sweep(self._home.trainings, plan.now.timestamp())
        clock = _Clock(self._expected(plan, kind, plans), progress)
        climbed = [self._climb(plan, name, kind, plans, clock) for name in plan.backbones]
        data = climbed[0].seen.data
        subject = Subject(data.labels, data.groups, data.source, plans)
        with clock.part("head"):
            clock.told("head", 0, 1)
            outcome, shipped = self._ship(plan, climbed, subject, clock)
            degraded = self._degraded(plan.samples, shipped.seen.trunk)
            manifest = made.make(plan, shipped.seen, outcome, degraded, self._artifacts)
            clock.told("head", 1, 1)
        extractions = [c.seen.extraction for c in climbed]
        config = shipped.config(outcome.rung)
        names = [x.label for x in plan.labels]
        document = {
            "model": manifest.model,
            "version": manifest.version,
            "dataset": plan.dataset,
            "backbone": shipped.seen.trunk.backbone.id,
            "effort": plan.effort,
            "modality": shipped.terms.modality,
            "taps": list(outcome.head.exported.inputs),
            "head_weights": outcome.head.exported.encoding.name,
            "parity": outcome.head.exported.parity,
            **report(climbed, subject, outcome),
            "spatial": config and config.document(),
            "spatial_weights": outcome.head.weights and FolderBlobs(self._home.weights).put(outcome.head.weights),
            "budget_bytes": shipped.terms.budget_bytes,
            "metrics": manifest.metrics,
            "warnings": figures.warnings(
                subject.truth,
                subject.groups,
                names,
                shipped.seen.maps is None and bool(shipped.terms.configs),
                shipped.hindrance,
            ),
            "features_computed": sum(e.computed for e in extractions),
            "features_cached": sum(len(plan.samples) - e.computed for e in extractions),
            "views": len(subject.source) if outcome.head.with_views else 0,
            "shortcuts": [a.document() for a in shortcuts.audit(plan.samples) if a.found],
            "out_of_fold": oof.keep(
                FolderBlobs(self._home.out_of_fold),
                [s.sha256 for s in plan.samples],
                subject.groups,
                subject.truth,
                outcome.held_out.logits,
            ),
            "seconds": clock.seconds,
            "artifacts": [a.document() for a in manifest.artifacts],
        }
        for each in climbed:
            each.work.clear()
        return Trained(manifest, document)

    def _expected(self, plan: Plan, kind: Modality, plans: list[NDArray[np.int64]]) -> timing.Expected:
        """What the training will cost, as far as one can know before it."""
        count, _ = VIEWS[plan.effort]
        digests = [s.sha256 for s in plan.samples]
        viewed = [digests[i] for i in _viewed(plan)]
        ready = [t for name in plan.backbones if (t := Trunks(self._home).ready(name)) is not None]
        absent = len(plan.backbones) - len(ready)
        missing, missing_views = absent * len(digests), absent * count * len(viewed)
        for trunk in ready:
            missing += self._features.missing(digests, trunk.trunk)
            missing_views += sum(
                self._features.missing(viewed, trunk.trunk, view, kind) for view in range(1, count + 1)
            )
        limit = (plan.budget_kb or USUAL_BUDGET_KB) * 1000
        teacher_epochs, taught = distilled.passes(plan.effort, limit, len(plan.labels), len(digests))
        return timing.expected(
            plan.effort,
            len(digests),
            missing,
            missing_views,
            sum(len(np.unique(p)) for p in plans) * len(plan.backbones),
            spatial.map_epochs(plan.effort, limit, len(plan.labels), len(digests)) * len(plan.backbones),
            os.cpu_count() or 1,
            absent,
            teacher_epochs * len(plan.backbones),
            taught * len(plan.backbones),
        )

    def _climb(self, plan: Plan, name: str, kind: Modality, plans: list[NDArray[np.int64]], clock: _Clock) -> Ascent:
        """All rungs of one backbone."""
        with clock.part("backbone"):
            clock.told("backbone", 0, 1)
            trunk = Trunks(self._home).make(name)
            clock.told("backbone", 1, 1)
        store = self._store(plan, trunk, kind, spatial.layers(plan.effort))
        with clock.part("features"):
            extraction = self._extract(plan.samples, trunk, 0, "other", store, clock.told, "features")
        kind = kind if plan.modality else modality.held_to_its_pictures(kind, extraction.thumbnails)
        with clock.part("views"):
            altered = self._altered(plan, trunk, kind, store, clock.told)
        data = as_data(plan.samples, plan.labels, extraction, altered)
        channels = {tap: values.shape[1] for tap, values in data.taps.items()}
        terms = Terms.of(plan.effort, plan.budget_kb, kind, channels, len(plan.labels), len(plan.samples))
        digests = [s.sha256 for s in plan.samples]
        maps = store.maps(digests, spatial.views(plan.effort), kind) if store and terms.configs else None
        images = [(s.sha256, s.label, s.group) for s in plan.samples]
        settings = {"trunk": trunk.trunk.sha256, "effort": plan.effort, "budget": plan.budget_kb, "modality": kind}
        work = Work(self._home.trainings / f"{plan.dataset}-{key(images, **settings)}")
        work.begin(digests)
        school = distilled.school(plan.effort, name, self._home.backbones, work.below("spatial"))
        seen = Seen(trunk, extraction, data, maps, school)
        return ascent.climb(seen, plans, terms, work, self._engine, clock.part, clock.told)

    def _store(self, plan: Plan, trunk: ReadyTrunk, kind: Modality, layers: tuple[str, ...]) -> MapStore | None:
        """Where maps are kept; None where no spatial head is tried, or all maps together would not fit into their limit."""
        if not layers:
            return None
        store = self._maps.store(trunk.trunk.sha256, map_shapes(trunk.trunk, layers))
        digests = [s.sha256 for s in plan.samples]
        viewed = [digests[i] for i in _viewed(plan)]
        keys = [views.key_of(d, v, kind) for v in range(1, 1 + spatial.views(plan.effort)) for d in viewed]
        try:
            store.missing([*digests, *keys])
        except CoordinatorError as error:
            if error.code != "train.spatial_no_room":
                raise
            return None
        return store

    def _ship(self, plan: Plan, climbed: list[Ascent], subject: Subject, clock: _Clock) -> tuple[Outcome, Ascent]:
        """Decide, fit on all images and export; a head that keeps to its budget only on paper is taken from the ladder."""
        names = [x.label for x in plan.labels]
        ladders = [c.ladder for c in climbed]
        while True:
            decision = decide(ladders, subject)
            chosen = climbed[decision.ladder]
            rung = ladders[decision.ladder].rungs[decision.chosen[1]]
            head = chosen.fit(rung.name, names, lambda done, total: clock.told("head", done, total + 1))
            if len(head.exported.data) <= chosen.terms.budget_bytes or len(ladders[decision.ladder].rungs) == 1:
                break
            ladders[decision.ladder] = ladders[decision.ladder].without(rung.name)
        found = held_out(ladders, subject, decision.chosen)
        return Outcome(tuple(ladders), decision, found, head), chosen

    def _extract(
        self,
        samples: list[Sample],
        trunk: ReadyTrunk,
        view: int,
        kind: Modality,
        store: MapStore | None,
        progress: Progress,
        part: str,
    ) -> Extraction:
        return self._features.extract(
            [(s.sha256, self._images.path(s.sha256)) for s in samples],
            trunk.trunk,
            self._engine,
            lambda done, total: progress(part, done, total),
            view,
            store,
            kind,
        )

    def _altered(
        self, plan: Plan, trunk: ReadyTrunk, kind: Modality, store: MapStore | None, progress: Progress
    ) -> Altered:
        """Features of altered views; of the images with the lowest digests where there are very many."""
        count, _ = VIEWS[plan.effort]
        chosen = _viewed(plan)
        samples = [plan.samples[i] for i in chosen]
        most = spatial.views(plan.effort)  # of which maps are kept too
        found = [
            self._extract(samples, trunk, view, kind, store if view <= most else None, progress, "views")
            for view in range(1, count + 1)
        ]
        return Altered(
            {tap: np.concatenate([f.taps[tap] for f in found]) for tap in found[0].taps}, np.tile(chosen, count)
        )

    def _degraded(self, samples: list[Sample], trunk: ReadyTrunk) -> list[dict[str, Quality]]:
        """Quality of degraded copies of some images."""
        step = -(-len(samples) // DEGRADED_IMAGES)
        tasks = [(self._images.path(s.sha256), trunk.trunk.spec) for s in samples[::step]]
        return list(self._engine.map(views.degraded_quality, tasks))


def _viewed(plan: Plan) -> NDArray[np.int64]:
    """Indices of the images that altered views are made of."""
    _, most = VIEWS[plan.effort]
    return np.sort(np.argsort([s.sha256 for s in plan.samples], kind="stable")[:most])
