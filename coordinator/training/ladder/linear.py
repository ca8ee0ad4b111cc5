"""The linear rungs: last pool, chosen taps, better fits, altered views. All within each training part, in worker processes.

A part is one outer fold of one repeat. Each writes its answers to the work folder when it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coordinator.engine import Engine
from coordinator.training.ladder.work import Arrays, Work
from coordinator.training.linear import LinearHead, Method
from coordinator.training.selection import LAST_POOL, Choice, Data, TapSet, Trial, best, fit, trials

BASE, TAPS, FITS, VIEWS = "last pool", "chosen taps", "better linear fit", "altered views"
_METHODS: tuple[Method, ...] = ("logistic", "ridge")
_IMBALANCE = (
    2.0  # times as many images of the commonest class as of the rarest, from which tempered weights are tried too
)
_FINALISTS = 2  # tap sets that are tried with each tap counting alike


@dataclass(frozen=True)
class Chosen:
    """What the inner folds of a training part choose, for each rung."""

    base: Choice
    taps: Choice
    fits: Choice
    own: dict[str, Choice]  # of each tap set, by name

    def rung(self, name: str) -> Choice:
        """The choice of a rung; views are an addition to the better fit."""
        return {BASE: self.base, TAPS: self.taps}.get(name, self.fits)


def choose(data: Data, rows: NDArray[np.bool_], tap_sets: Sequence[TapSet]) -> Chosen:
    """Choose on ``rows`` alone."""
    counts = np.bincount(data.labels[rows])
    methods = (*_METHODS, "tempered") if counts.max() > _IMBALANCE * counts.min() else _METHODS
    found = trials(data, rows, tap_sets, methods)
    plain = [t for t in found if t.choice.method == "logistic"]
    finalists = sorted(tap_sets, key=lambda s: min(t.loss for t in found if t.choice.tap_set == s))[:_FINALISTS]
    several = [s for s in finalists if len(s.taps) > 1]
    found += trials(data, rows, several, ("ridge",), level=True)

    def of(tap_set: TapSet, among: Sequence[Trial]) -> Choice:
        return best(t for t in among if t.choice.tap_set == tap_set)

    first = LAST_POOL if LAST_POOL in tap_sets else tap_sets[0]
    return Chosen(of(first, plain), best(plain), best(found), {s.name: of(s, found) for s in tap_sets})


def answer(data: Data, test: NDArray[np.bool_], tap_sets: Sequence[TapSet]) -> Arrays:
    """Logits for the images ``test`` and for their views, of heads that saw neither; by rung and by tap set."""
    train, chosen = ~test, choose(data, ~test, tap_sets)
    shown = test[data.source]
    found: Arrays = {}

    @cache  # rungs often share a choice
    def fitted(choice: Choice, views: bool) -> LinearHead:
        return fit(data, choice, train, views)

    for name in (BASE, TAPS, FITS, VIEWS):
        choice = chosen.rung(name)
        if name == VIEWS and not len(data.source):
            continue
        head = fitted(choice, name == VIEWS)
        found[f"rung/{name}"] = head.logits(data.features(choice.tap_set, test))
        if shown.any():
            found[f"views/{name}"] = head.logits(data.view_features(choice.tap_set, shown))
    for name, choice in chosen.own.items():
        found[f"taps/{name}"] = fitted(choice, False).logits(data.features(choice.tap_set, test))
    return found


@dataclass(frozen=True)
class _Task:
    folder: Path
    name: str
    test: NDArray[np.bool_]
    tap_sets: tuple[TapSet, ...]


_loaded: dict[Path, Data] = {}  # one a worker process


def _work(task: _Task) -> str:
    """Answer for one fold and keep it. Runs in a worker."""
    from threadpoolctl import threadpool_limits

    work = Work(task.folder)
    if task.folder not in _loaded:
        _loaded.clear()
        _loaded[task.folder] = _read(task.folder)
    with threadpool_limits(1):  # each worker has a core
        work.save(task.name, answer(_loaded[task.folder], task.test, task.tap_sets))
    return task.name


@dataclass(frozen=True)
class Answers:
    """Out-of-fold logits.

    Attributes:
        rungs: by name, float32 [repeats, images, labels].
        views: by rung, float32 [repeats, views, labels].
        taps: by tap set, float32 [repeats, images, labels].
    """

    rungs: dict[str, NDArray[np.float32]]
    views: dict[str, NDArray[np.float32]]
    taps: dict[str, NDArray[np.float32]]


def cross_validated(
    data: Data,
    tap_sets: tuple[TapSet, ...],
    plans: Sequence[NDArray[np.int64]],
    work: Work,
    engine: Engine,
    progress: Callable[[int, int], None],
) -> Answers:
    """Answers of all linear rungs for all images; folds that were done before are taken from the work folder."""
    parts = {
        f"linear-{repeat}-{int(fold)}": (repeat, plan == fold)
        for repeat, plan in enumerate(plans)
        for fold in np.unique(plan)
    }
    missing = [name for name in parts if work.load(name) is None]
    progress(len(parts) - len(missing), len(parts))
    if missing:
        _write(work.below("features"), data)
        tasks = [_Task(work.folder, name, parts[name][1], tap_sets) for name in missing]
        for done, _ in enumerate(engine.map(_work, tasks), start=len(parts) - len(missing) + 1):
            progress(done, len(parts))
    found = {name: work.load(name) for name in parts}
    classes = int(data.labels.max()) + 1
    gathered: dict[str, NDArray[np.float32]] = {}
    for name, (repeat, test) in parts.items():
        for key, logits in (found[name] or {}).items():
            on_views = key.startswith("views/")
            rows = test[data.source] if on_views else test
            whole = gathered.setdefault(key, np.zeros((len(plans), len(rows), classes), np.float32))
            whole[repeat, rows] = logits

    def under(prefix: str) -> dict[str, NDArray[np.float32]]:
        return {k.removeprefix(prefix): v for k, v in gathered.items() if k.startswith(prefix)}

    return Answers(under("rung/"), under("views/"), under("taps/"))


def _write(folder: Path, data: Data) -> None:
    """Features as plain arrays, which workers map into memory together."""
    arrays = {"labels": data.labels, "groups": data.groups, "source": data.source}
    arrays |= {f"taps-{t}": v for t, v in data.taps.items()} | {f"altered-{t}": v for t, v in data.altered.items()}
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)


def _read(folder: Path) -> Data:
    def array(name: str) -> NDArray[np.float32]:
        found: NDArray[np.float32] = np.load(folder / "features" / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        return found

    def named(prefix: str) -> dict[str, NDArray[np.float32]]:
        return {p.stem.removeprefix(prefix): array(p.stem) for p in (folder / "features").glob(f"{prefix}*.npy")}

    labels, groups, source = (np.array(array(n)) for n in ("labels", "groups", "source"))
    return Data(
        named("taps-"), labels.astype(np.int64), groups.astype(np.str_), named("altered-"), source.astype(np.int64)
    )
