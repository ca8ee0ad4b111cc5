"""Plots as SVG elements that stand inside a page: one style, colours that the colour-blind can tell apart, text that the
browser draws in its own fonts. Matplotlib is loaded only when something is drawn.
"""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.reports.document import Words, figure
from coordinator.reports.scored import ClassCoverage, Curve
from coordinator.training.metrics import Reliability
from protocols.errors import Language

# Okabe and Ito (2008): distinguishable with every kind of colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":", "-", "--", "-.")
_GREY = "#767676"
_MOST_CURVES = len(_COLOURS)
_MOST_NUMBERED = 10  # classes whose confusions are still readable as numbers
MOST_NAMED = 16  # classes whose names fit beside a confusion matrix; of more, their numbers stand there
_MOST_ROWS = 30
_LABEL_CELLS = 18  # width at which a class name is broken; a Chinese character is two
_LINE_CELLS = 24  # of one that cannot be broken
_EDGE_IN = 4.3
_STYLE = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],  # measured with; comes with Matplotlib and is wider than what browsers draw
    "font.size": 9.5,
    "axes.linewidth": 0.8,
    "axes.edgecolor": "#444444",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#dddddd",
    "text.usetex": False,
}

_FALSE_ALARMS = Words("False alarms (1 − specificity)", "假阳性率（1 − 特异度）")
_SENSITIVITY = Words("Sensitivity", "灵敏度")
_CHANCE = Words("chance", "随机")
_SCORE = Words("Score of the likeliest label", "最可能标签的得分")
_RIGHT = Words("Share that was right", "实际正确的比例")
_HONEST = Words("honest", "完全可信")
_TRUE = Words("True class", "真实类别")
_GIVEN = Words("Likeliest label", "最可能标签")
_NUMBERED = Words(" (number in the table)", "（表中序号）")
_COVERED = Words("Share of sets that hold the true label", "预测集包含真实标签的比例")
_STATED = Words("stated", "声明值")
_MEASURED = Words("measured, with 95 % interval", "实测值及 95% 区间")
_ALL = Words("all images", "全部图像")
_KILOBYTES = Words("Size of the head, kB", "头部大小（kB）")
_BALANCED = Words("Balanced accuracy on unseen groups", "未见分组上的平衡准确率")
_PUBLISHED = Words("published", "已发布")
_TRIED = Words("tried, with 95 % interval", "尝试过的方案及 95% 区间")
_FRONTIER = Words("frontier", "前沿")
_SET_SIZE = Words("labels\na set", "平均\n标签数")


@dataclass(frozen=True)
class NamedCurve:
    """A class with its curve and the area below it."""

    name: str
    curve: Curve
    area: float


def width(content: str) -> int:
    """Cells that a text takes; an East Asian wide character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in content)


def shortened(name: str, cells: int = _LABEL_CELLS) -> str:
    """A class name on one line, cut in the middle where it is too long: classes often differ in their last word."""
    if width(name) <= cells:
        return name
    head, tail = "", ""
    for c in name:
        if width(head + c) > cells // 2:
            break
        head += c
    for c in reversed(name):
        if width(c + tail) > cells - width(head) - 1:
            break
        tail = c + tail
    return f"{head}…{tail}"


def roc(curves: Sequence[NamedCurve], language: Language) -> str:
    """One curve a class; of many classes the least distinguishable have colours, the others are grey."""
    worst = sorted(curves, key=lambda c: c.area)[:_MOST_CURVES] if len(curves) > _MOST_CURVES else list(curves)
    with _figure(_EDGE_IN, _EDGE_IN + 0.3 + 0.19 * len(worst), "roc") as drawing:
        axes = drawing.axes(0.62, 0.55 + 0.19 * len(worst) + 0.1, _EDGE_IN - 0.75, _EDGE_IN - 0.75)
        axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=(0, (2, 3)))
        axes.text(0.66, 0.6, _CHANCE.of(language), color="#555555", fontsize=8.5)
        for one in curves:
            if one not in worst:
                axes.plot(one.curve.false_alarms, one.curve.sensitivity, color="#c4c4c4", linewidth=0.8)
        lines = [
            axes.plot(one.curve.false_alarms, one.curve.sensitivity, color=colour, linestyle=dash, linewidth=1.7)[0]
            for one, colour, dash in zip(worst, _COLOURS, _DASHES, strict=False)
        ]
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(-0.01, 1.01)
        axes.grid(True, linewidth=0.6)
        axes.set_xlabel(_FALSE_ALARMS.of(language))
        axes.set_ylabel(_SENSITIVITY.of(language))
        drawing.figure.legend(
            lines,
            [f"{shortened(one.name, 30)}: AUC {one.area:.3f}" for one in worst],
            loc="lower left",
            bbox_to_anchor=(0.1, 0.0),
            frameon=False,
            handlelength=2.8,
            labelspacing=0.25,
            borderpad=0.1,
        )
        return drawing.svg(Words("ROC curve of each class against the rest", "各类别对其余类别的 ROC 曲线"), language)


def reliability(found: Reliability, ece: float, language: Language) -> str:
    """Stated against true probability; the area of a point is its number of images."""
    with _figure(_EDGE_IN, _EDGE_IN + 0.15, "reliability") as drawing:
        axes = drawing.axes(0.62, 0.55, _EDGE_IN - 0.75, _EDGE_IN - 0.75)
        low = max(0.0, min(float(found.score.min()), float(found.right.min())) - 0.06)
        axes.plot([low, 1], [low, 1], color=_GREY, linewidth=0.8, linestyle=(0, (2, 3)))
        axes.text(low + 0.72 * (1 - low), low + 0.66 * (1 - low), _HONEST.of(language), color="#555555", fontsize=8.5)
        axes.plot(found.score, found.right, color=_COLOURS[0], linewidth=1.2)
        axes.scatter(found.score, found.right, s=30 * found.images / found.images.max(), color=_COLOURS[0], zorder=3)
        axes.set_title(f"ECE {ece:.3f}", loc="left", fontsize=10, weight="bold")
        axes.set_xlim(low, 1.02)
        axes.set_ylim(low, 1.02)
        axes.grid(True, linewidth=0.6)
        axes.set_xlabel(_SCORE.of(language))
        axes.set_ylabel(_RIGHT.of(language))
        return drawing.svg(Words("Reliability diagram", "可靠性图"), language)


def confusion(table: NDArray[np.float64], names: Sequence[str], language: Language) -> str:
    """Share of each true class that got each label; counts where there is room.

    Args:
        table: [true, given], images.
        names: of the classes.
        language: of the axes.
    """
    classes = len(names)
    totals = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, totals, out=np.zeros_like(table), where=totals > 0)
    named = classes <= MOST_NAMED
    shown = [_broken(n) if named else str(i) for i, n in enumerate(names, 1)]
    longest = max(width(line) for n in shown for line in n.split("\n"))
    left = 0.6 + 0.078 * longest
    upright = classes <= 3 and longest <= 14
    bottom = 0.75 if upright else 0.72 + 0.082 * longest
    side = max(2.3, min(0.62 * classes, _EDGE_IN - 0.3))
    with _figure(left + side + 0.2, bottom + side + 0.15, "confusion") as drawing:
        axes = drawing.axes(left, bottom, side, side)
        axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=0.8)
        axes.invert_yaxis()
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        size = 9.5 if classes <= _MOST_NUMBERED else 7.5
        every = slice(None, None, -(-classes // (2 * MOST_NAMED)))
        ticks = np.arange(classes)[every] + 0.5
        axes.set_xticks(ticks, shown[every], rotation=0 if upright else 90, fontsize=size)
        axes.set_yticks(ticks, shown[every], fontsize=size)
        if classes <= _MOST_NUMBERED:
            for (row, column), share in np.ndenumerate(shares):
                if not totals[row, 0]:
                    continue
                colour = "white" if share > 0.55 else "#1a1a1a"
                cell = (column + 0.5, row + 0.5)
                axes.annotate(f"{share:.0%}", cell, (0, 5), color=colour, ha="center", va="center",
                              textcoords="offset points", fontsize=10 if classes <= 6 else 8)  # fmt: skip
                axes.annotate(f"{table[row, column]:.0f}", cell, (0, -6), color=colour, ha="center", va="center",
                              textcoords="offset points", fontsize=8 if classes <= 6 else 6.5)  # fmt: skip
        axes.set_xlabel(_GIVEN.of(language) + ("" if named else _NUMBERED.of(language)), labelpad=8)
        axes.set_ylabel(_TRUE.of(language), labelpad=8)
        return drawing.svg(Words("Confusion matrix", "混淆矩阵"), language)


def coverage(
    rows: Sequence[ClassCoverage | None],
    overall: ClassCoverage,
    names: Sequence[str],
    stated: float,
    language: Language,
) -> str:
    """Measured coverage of each class beside the stated one, with the mean size of the sets."""
    found = [(n, r) for n, r in zip(names, rows, strict=True) if r is not None and r.covered is not None]
    if len(found) > _MOST_ROWS:
        found = sorted(found, key=lambda pair: pair[1].covered.value if pair[1].covered else 0)[:_MOST_ROWS]
    found.append((_ALL.of(language), overall))
    shown = [_broken(n) for n, _ in found]
    left = 0.25 + 0.078 * max(width(line) for n in shown for line in n.split("\n"))
    height = 0.38 * len(found) + 0.1
    with _figure(left + 2.9 + 0.75, height + 1.25, "coverage") as drawing:
        axes = drawing.axes(left, 0.9, 2.9, height)
        lowest = min(_low(r) for _, r in found)
        axes.axvline(stated, color=_COLOURS[1], linewidth=1.4, linestyle="--", label=_STATED.of(language))
        for place, (_, row) in enumerate(found):
            assert row.covered is not None
            high = row.covered.value if row.covered.high is None else row.covered.high
            axes.plot([_low(row), high], [place, place], color=_COLOURS[0], linewidth=1.6)
            axes.plot(row.covered.value, place, "o", color=_COLOURS[0], markersize=6,
                      label=_MEASURED.of(language) if place == 0 else None)  # fmt: skip
            axes.text(1.04, place, figure(row.size, 2), va="center", transform=axes.get_yaxis_transform())
        axes.text(1.04, -0.62, _SET_SIZE.of(language), va="bottom", fontsize=8, transform=axes.get_yaxis_transform())
        axes.set_yticks(range(len(found)), shown)
        axes.set_ylim(len(found) - 0.45, -0.55)
        axes.set_xlim(max(0.0, min(lowest, stated) - 0.05), 1.01)
        axes.locator_params(axis="x", nbins=5)
        axes.grid(True, axis="x", linewidth=0.6)
        axes.set_xlabel(_COVERED.of(language))
        drawing.figure.legend(loc="lower left", bbox_to_anchor=(0.02, 0.0), frameon=False, ncols=2, fontsize=8.5,
                              columnspacing=1.2, handletextpad=0.5)  # fmt: skip
        return drawing.svg(Words("Coverage of the prediction sets by class", "各类别预测集的覆盖率"), language)


def frontier(points: Sequence[dict[str, Any]], language: Language) -> str:
    """Bytes of heads against balanced accuracy, with the line that no smaller head beats.

    Args:
        points: as ``training.ladder.frontier.document`` gives them.
        language: of the axes.
    """
    with _figure(_EDGE_IN + 1.1, _EDGE_IN - 0.3, "frontier") as drawing:
        axes = drawing.axes(0.68, 0.95, _EDGE_IN + 0.25, _EDGE_IN - 1.4)
        for number, point in enumerate(points):
            x, y = point["bytes"] / 1000, point["balanced_accuracy"]
            if point["low"] is not None:
                axes.plot([x, x], [point["low"], point["high"]], color=_GREY, linewidth=0.9, alpha=0.7)
            axes.plot(x, y, "o", color=_GREY, markersize=4, label=_TRIED.of(language) if number == 0 else None)
        best = [p for p in points if p["frontier"]]
        steps = [(p["bytes"] / 1000, p["balanced_accuracy"]) for p in best]
        axes.step(
            *zip(*steps, strict=True), where="post", color=_COLOURS[0], linewidth=1.5, label=_FRONTIER.of(language)
        )
        axes.plot(*zip(*steps, strict=True), "o", color=_COLOURS[0], markersize=5)
        for point in points:
            if point["chosen"]:
                axes.plot(point["bytes"] / 1000, point["balanced_accuracy"], "D", color=_COLOURS[1], markersize=7,
                          label=_PUBLISHED.of(language))  # fmt: skip
        axes.set_xlim(0, max(p["bytes"] for p in points) / 1000 * 1.08)
        axes.grid(True, linewidth=0.6)
        axes.set_xlabel(_KILOBYTES.of(language))
        axes.set_ylabel(_BALANCED.of(language))
        drawing.figure.legend(loc="lower left", bbox_to_anchor=(0.02, 0.0), frameon=False, ncols=3, fontsize=8.5,
                              columnspacing=1.2, handletextpad=0.5)  # fmt: skip
        return drawing.svg(Words("Bytes against balanced accuracy", "字节数与平衡准确率"), language)


def _low(row: ClassCoverage) -> float:
    assert row.covered is not None
    return row.covered.value if row.covered.low is None else row.covered.low


def _broken(name: str) -> str:
    """A class name on at most two lines, at a hyphen, underscore or space where there is one; Chinese stays on one, because
    lines of fonts that Matplotlib does not know cannot be aligned.
    """
    if width(name) > len(name):
        return shortened(name, _LINE_CELLS)
    if width(name) <= _LABEL_CELLS:
        return name
    at = max((x for x in range(1, _LABEL_CELLS + 1) if name[x - 1] in "_- "), default=_LABEL_CELLS)
    return f"{name[:at].rstrip()}\n{shortened(name[at:])}"


class _Drawing:
    """A figure under construction; lengths in inches from its lower left corner."""

    def __init__(self, made: Any) -> None:
        self.figure = made

    def axes(self, left: float, bottom: float, wide: float, high: float) -> Any:
        """A coordinate system at a fixed place, so that nothing depends on how wide a font is."""
        total_wide, total_high = self.figure.get_size_inches()
        return self.figure.add_axes((left / total_wide, bottom / total_high, wide / total_wide, high / total_high))

    def svg(self, title: Words, language: Language) -> str:
        """The element, without what only a file of its own needs."""
        buffer = io.StringIO()
        with warnings.catch_warnings():  # DejaVu has no Chinese; the browser's fonts have
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            self.figure.savefig(buffer, format="svg", metadata={"Date": None})
        return _inline(buffer.getvalue(), title.of(language))


@contextmanager
def _figure(wide_in: float, high_in: float, name: str) -> Iterator[_Drawing]:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        yield _Drawing(Figure(figsize=(wide_in, high_in)))


def _inline(file: str, title: str) -> str:
    """An SVG file as an element of a page: it takes the page's width and fonts, and no two have an id in common."""
    element = file[file.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>\s*", "", element, flags=re.DOTALL)
    element = re.sub(r"<style.*?</style>\s*", "", element, flags=re.DOTALL)
    element = re.sub(r'<g id="[^"]*"', "<g", element)
    element = re.sub(r";? *font-family: [^;\"]*(?=[;\"])", "", element)
    box = re.search(r'viewBox="([^"]*)"', element)
    assert box is not None
    name = escape(title, quote=True)
    start = f'<svg role="img" aria-label="{name}" viewBox="{box[1]}" xmlns="http://www.w3.org/2000/svg" ' + (
        'xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return start + f"<title>{escape(title)}</title>" + element[element.index(">") + 1 :]
