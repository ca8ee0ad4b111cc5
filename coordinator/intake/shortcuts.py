"""Can the class be told without looking at the picture? Then a model may learn that instead of the disease. Pure.

Each facet of the files (size, format, aspect, border colour, name) is cut into few values, and a table of which class
each value speaks for is tested on groups that it has not seen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.intake.images import Facts
from coordinator.intake.samples import Sample
from coordinator.training import folds, metrics
from coordinator.training.metrics import Interval

LEAST_IMAGES = 20  # of each class; below, a table of a facet proves nothing
LEAST_GAIN = 0.1  # of the way from chance to certainty; less than that is no temptation for a model
MOST_P = 0.01  # five facets are tested
_FOLDS = 5
_PERMUTATIONS, _SEED = 199, 20_261_127
_LEAST_OF_VALUE = 3  # images that must have a value before it speaks for a class
_BINS = 8
_CAST = 12  # levels of 255 from which a border looks coloured
_TELLING = 5
FACETS = ("size", "format", "aspect", "border", "name")


@dataclass(frozen=True)
class Audit:
    """How well one facet alone tells the classes apart.

    Attributes:
        balanced_accuracy: cross-validated by group; the interval is resampled by group.
        chance: what guessing gives.
        p_value: of a permutation test by group.
        telling: values that speak for one class, with the share of it among images of that value, and their number.
    """

    facet: str
    balanced_accuracy: Interval
    chance: float
    p_value: float
    telling: tuple[tuple[str, str, float, int], ...]

    @property
    def found(self) -> bool:
        """Whether it does so clearly enough to mislead a model."""
        gain = self.balanced_accuracy.value - self.chance
        return self.p_value <= MOST_P and gain >= LEAST_GAIN * (1 - self.chance)

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "facet": self.facet,
            "found": self.found,
            "balanced_accuracy": self.balanced_accuracy.document(),
            "chance": round(self.chance, 4),
            "p_value": round(self.p_value, 4),
            "telling": [
                {"value": value, "label": label, "share": round(share, 3), "images": count}
                for value, label, share, count in self.telling
            ],
        }


def from_document(document: dict[str, Any]) -> Audit:
    """Read ``Audit.document``."""
    return Audit(
        document["facet"],
        Interval(**document["balanced_accuracy"]),
        document["chance"],
        document["p_value"],
        tuple((t["value"], t["label"], t["share"], t["images"]) for t in document["telling"]),
    )


@dataclass(frozen=True)
class Sentence:
    """In both languages."""

    en: str
    zh: str


_NAMES = {
    "size": ("size", "尺寸"),
    "format": ("file format", "文件格式"),
    "aspect": ("aspect ratio", "宽高比"),
    "border": ("border colour", "边缘颜色"),
    "name": ("file name", "文件名"),
}


def facet_name(facet: str) -> Sentence:
    """What a facet is called."""
    return Sentence(*_NAMES.get(facet, (facet, facet)))


def sentence(found: Audit) -> Sentence:
    """What a shortcut means, in a warning."""
    what, low = facet_name(found.facet), found.balanced_accuracy.low or 0.0
    value, high = found.balanced_accuracy.value, found.balanced_accuracy.high or 1.0
    danger = Sentence(
        "A model may learn that instead of the disease, and fail elsewhere.",
        "模型可能学到的是这一点而非疾病，在别处会失效。",
    )
    if found.facet == "name":  # which no model is shown
        danger = Sentence(
            "The classes were collected in different ways, and a model may learn what else differs with that.",
            "各类别的采集方式不同，模型可能学到随之而来的其他差异。",
        )
    return Sentence(
        f"The class can be told from the {what.en} alone: balanced accuracy {value:.2f} ({low:.2f} to {high:.2f}), by "
        f"chance {found.chance:.2f}. {danger.en}",
        f"仅凭{what.zh}即可区分类别：平衡准确率 {value:.2f}（{low:.2f}–{high:.2f}），随机水平 {found.chance:.2f}。{danger.zh}",
    )


def audit(samples: Sequence[Sample]) -> list[Audit]:
    """Test every facet; empty where there are too few images of a class or too few groups to say anything."""
    known = [s for s in samples if s.facts is not None]
    counts = Counter(s.label for s in known)
    names = sorted({s.label for s in samples})
    if len(names) < 2 or min(counts[n] for n in names) < LEAST_IMAGES:
        return []
    truth = np.array([names.index(s.label) for s in known], dtype=np.int64)
    groups = np.array([s.group for s in known])
    fold_of = folds.assign(groups, _FOLDS, 0)
    if len(np.unique(fold_of)) < _FOLDS:
        return []
    facts = [s.facts for s in known if s.facts is not None]
    facets = {
        "size": _sizes(facts),
        "format": [f.format for f in facts],
        "aspect": _aspects(facts),
        "border": _borders(facts),
        "name": _patterns(known, names),
    }
    tables = [_Table(np.unique(v, return_inverse=True)[1], fold_of, len(names)) for v in facets.values()]
    p_values = _p_values(tables, truth, groups)
    return [
        Audit(
            facet,
            metrics.balanced_accuracy_interval(truth, table.predict(truth), groups, len(names)),
            1 / len(names),
            p_value,
            _telling(values, truth, names),
        )
        for (facet, values), table, p_value in zip(facets.items(), tables, p_values, strict=True)
    ]


@dataclass(frozen=True)
class _Table:
    """Values of one facet as numbers, tested against labels by folds.

    Attributes:
        values: int64 [images].
        fold_of: int64 [images].
    """

    values: NDArray[np.int64]
    fold_of: NDArray[np.int64]
    classes: int

    def predict(self, truth: NDArray[np.int64]) -> NDArray[np.int64]:
        """The class for which each value speaks in the other folds; class 0 where it speaks for none."""
        shape = (int(self.fold_of.max()) + 1, int(self.values.max()) + 1, self.classes)
        cells = np.ravel_multi_index((self.fold_of, self.values, truth), shape)
        inside = np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)
        others = inside.sum(axis=0) - inside
        share = others / np.maximum(others.sum(axis=1, keepdims=True), 1)
        speaks = np.where(others.sum(axis=2) >= _LEAST_OF_VALUE, share.argmax(axis=2), 0)
        return np.asarray(speaks[self.fold_of, self.values], dtype=np.int64)

    def gained(self, truth: NDArray[np.int64]) -> float:
        """Balanced accuracy."""
        return metrics.balanced_accuracy(metrics.confusion(truth, self.predict(truth), self.classes))


def _p_values(tables: Sequence[_Table], truth: NDArray[np.int64], groups: NDArray[np.str_]) -> list[float]:
    """How often labels dealt anew are told as well, for each table: a permutation test.

    Labels are dealt whole groups at a time, and within a group among its images.
    """
    generator = np.random.default_rng(_SEED)
    seen = np.array([table.gained(truth) for table in tables])
    group_of = np.unique(groups, return_inverse=True)[1]
    at = np.argsort(group_of, kind="stable")
    dealt, as_good = np.empty_like(truth), np.zeros(len(tables))
    for _ in range(_PERMUTATIONS):
        turn = generator.permutation(group_of.max() + 1)
        dealt[at] = truth[np.lexsort((generator.random(len(truth)), turn[group_of]))]
        as_good += np.array([table.gained(dealt) for table in tables]) >= seen
    return [float(x) for x in (1 + as_good) / (1 + _PERMUTATIONS)]


def _telling(values: list[str], truth: NDArray[np.int64], names: list[str]) -> tuple[tuple[str, str, float, int], ...]:
    """The values that most images have and that speak for one class beyond its share."""
    share = np.bincount(truth, minlength=len(names)) / len(truth)
    found, value_of = np.unique(values, return_inverse=True)
    counts = np.bincount(value_of * len(names) + truth, minlength=len(found) * len(names)).reshape(-1, len(names))
    rows = []
    for value, row in zip(found.tolist(), counts, strict=True):
        count = int(row.sum())
        beyond = row / count - share
        best = int(beyond.argmax())
        if count >= _LEAST_OF_VALUE and beyond[best] > 0:
            rows.append((value, names[best], float(row[best] / count), count, float(beyond[best]) * count))
    rows.sort(key=lambda r: (-r[4], r[0]))
    return tuple(r[:4] for r in rows[:_TELLING])


def _bins(values: Sequence[float], count: int = _BINS) -> NDArray[np.int64]:
    edges = np.unique(np.quantile(values, np.linspace(0, 1, count + 1)[1:-1]))
    return np.searchsorted(edges, np.asarray(values), side="left").astype(np.int64)


def _binned(values: Sequence[float], shown: Callable[[int], str], count: int = _BINS) -> list[str]:
    """Each value's bin, called by its range."""
    bins = _bins(values, count)
    names = {}
    for number in np.unique(bins):
        inside = np.flatnonzero(bins == number)
        ordered = inside[np.argsort(np.asarray(values)[inside], kind="stable")]
        low, high = shown(int(ordered[0])), shown(int(ordered[-1]))
        names[int(number)] = low if low == high else f"{low} – {high}"
    return [names[int(b)] for b in bins]


def _sizes(facts: Sequence[Facts]) -> list[str]:
    """Widths and heights in bins of their own; a size that many images have stays itself."""
    widths, heights = _bins([f.width for f in facts]), _bins([f.height for f in facts])
    exact = Counter((f.width, f.height) for f in facts)
    many = {size for size, count in exact.items() if count * _BINS >= len(facts)}
    spans: dict[tuple[int, int], list[int]] = {}
    for i, cell in enumerate(zip(widths.tolist(), heights.tolist(), strict=True)):
        if (facts[i].width, facts[i].height) not in many:
            spans.setdefault(cell, []).append(i)
    values = [f"{f.width}×{f.height}" for f in facts]
    for inside in spans.values():
        w, h = [facts[i].width for i in inside], [facts[i].height for i in inside]
        for i in inside:
            values[i] = f"{_span(w)} × {_span(h)}"
    return values


def _span(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}–{high}"


def _aspects(facts: Sequence[Facts]) -> list[str]:
    ratios = [f.width / f.height for f in facts]
    return _binned(ratios, lambda i: f"{ratios[i]:.2f}")


def _borders(facts: Sequence[Facts]) -> list[str]:
    """Brightness of the border in bins, and the colour that it leans to."""
    light = _binned([sum(f.border) / 3 for f in facts], lambda i: f"{sum(facts[i].border) // 3}", 4)
    return [f"{a} {_cast(f.border)}".strip() for a, f in zip(light, facts, strict=True)]


def _cast(border: tuple[int, int, int]) -> str:
    red, green, blue = border
    warm, fresh = red - blue, green - (red + blue) / 2
    one = "red" if warm > _CAST else "blue" if warm < -_CAST else ""
    other = "green" if fresh > _CAST else "magenta" if fresh < -_CAST else ""
    return f"{one} {other}".strip()


def _patterns(samples: Sequence[Sample], labels: list[str]) -> list[str]:
    """File names with numbers replaced by # and the classes' own words left out: what a new file's name would share."""
    own = {word for label in labels for word in re.findall(r"[^\W\d_]+", label.casefold())}

    def pattern(file: str) -> str:
        stem = PurePosixPath(file).stem.casefold()
        words = re.sub(r"[^\W\d_]+", lambda m: "" if _is_own(m.group(), own) else m.group(), stem)
        return re.sub(
            r"(#[^\w#]*)+|_+|\s+", lambda m: "#" if "#" in m.group() else " ", re.sub(r"\d+", "#", words)
        ).strip()

    found = [pattern(s.file) for s in samples]
    common = Counter(found)
    # Random names have no pattern in common; what only one or two files share would not help with the next one.
    return [p if common[p] >= _LEAST_OF_VALUE else "" for p in found]


def _is_own(word: str, own: set[str]) -> bool:
    """A class's own word, also in another number (cell, cells)."""
    return any(word == o or (min(len(word), len(o)) > 3 and (word.startswith(o) or o.startswith(word))) for o in own)
