"""The parts that a model card and an evaluation have in common: figures by class, plots, coverage, worst errors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from coordinator.reports import plots
from coordinator.reports.document import NONE, Block, Cell, Paragraph, Plot, Section, Table, Words, figure, interval
from coordinator.reports.scored import ClassCoverage, Mistake, Scored
from coordinator.training.metrics import Figures

MOST_MISTAKES = 12
_MOST_COLUMNS = 12  # classes whose confusions still fit into a table of text
ID_CHARACTERS = 12  # of a digest, as shown

CLASS = Words("class", "类别")
SENSITIVITY = Words("sensitivity", "灵敏度")
SPECIFICITY = Words("specificity", "特异度")
IMAGES = Words("images", "图像")
GROUPS = Words("groups", "分组")
OUTCOMES = {
    "recognised": Words("recognised", "已识别"),
    "unsure": Words("unsure", "不确定"),
    "not_this_kind_of_image": Words("not this kind of image", "不是此类图像"),
    "poor_quality": Words("poor quality", "图像质量差"),
}


def by_class(figures: Figures, names: Sequence[str]) -> Table:
    """Sensitivity, specificity and area of each class with their intervals."""
    return Table(
        (CLASS, IMAGES, GROUPS, SENSITIVITY, SPECIFICITY, "AUC"),
        tuple(
            (
                name if len(names) <= plots.MOST_NAMED else f"{number} {name}",
                str(row.images),
                str(row.groups),
                interval(row.sensitivity),
                interval(row.specificity),
                interval(row.auc),
            )
            for number, (name, row) in enumerate(zip(names, figures.per_class, strict=True), 1)
        ),
    )


def discrimination(scored: Scored, figures: Figures) -> tuple[Block, ...]:
    """ROC curves and confusion matrix."""
    curves = [
        plots.NamedCurve(name, curve, row.auc.value)
        for label, (name, row) in enumerate(zip(scored.names, figures.per_class, strict=True))
        if (curve := scored.roc(label)) is not None and row.auc is not None
    ]
    table = scored.confusion()
    blocks: list[Block] = []
    if curves:
        blocks.append(
            Plot(
                partial(plots.roc, curves),
                Words(
                    "ROC curves, each class against the rest, with the area under them (AUC).",
                    "各类别对其余类别的 ROC 曲线及曲线下面积（AUC）。",
                ),
            )
        )
    blocks.append(
        Plot(
            partial(plots.confusion, table, scored.names),
            Words(
                "Confusion matrix: of the images of each true class (row), the share and number that got each label "
                "(column).",
                "混淆矩阵：每个真实类别（行）的图像被判为各标签（列）的比例和数量。",
            ),
            _confusion_table(table, scored.names) if len(scored.names) <= _MOST_COLUMNS else None,
        )
    )
    return tuple(blocks)


def _confusion_table(table: NDArray[np.float64], names: Sequence[str]) -> Table:
    return Table(
        (Words("true class ↓ label →", "真实类别 ↓ 标签 →"), *names),
        tuple((name, *(f"{x:.0f}" for x in row)) for name, row in zip(names, table, strict=True)),
    )


def calibration(scored: Scored, figures: Figures, stated: float) -> tuple[Block, ...]:
    """Reliability diagram, coverage by class, and the sizes of the sets."""
    rows, overall = scored.coverage()
    return (
        Plot(
            partial(plots.reliability, scored.reliability(), figures.ece),
            Words(
                "Reliability: images sorted by the score of their likeliest label, in up to 15 bins of equally many. On "
                "the dotted line a score is the share that is right; ECE is the mean distance from it.",
                "可靠性：按最可能标签的得分排序，分为至多 15 个图像数相等的区间。落在虚线上表示得分等于实际正确的比例；"
                "ECE 为与虚线的平均距离。",
            ),
        ),
        Plot(
            partial(plots.coverage, rows, overall, scored.names, stated),
            Words(
                f"Coverage by class: how often the prediction set holds the true label; stated {stated:.0%}. On the "
                "right, how many labels a set holds on average.",
                f"各类别的覆盖率：预测集包含真实标签的比例；声明值 {stated:.0%}。右侧为每个预测集的平均标签数。",
            ),
        ),
        _coverage_table(rows, overall, scored.names, stated),
    )


def _coverage_table(
    rows: Sequence[ClassCoverage | None], overall: ClassCoverage, names: Sequence[str], stated: float
) -> Table:
    def line(name: Cell, row: ClassCoverage | None) -> tuple[Cell, ...]:
        if row is None:
            return (name, f"{stated:.0%}", *(NONE,) * 5)
        shares = (f"{x:.1%}" for x in (row.none, row.one, row.several))
        return (name, f"{stated:.0%}", interval(row.covered), figure(row.size, 2), *shares)

    return Table(
        (
            CLASS,
            Words("stated coverage", "声明覆盖率"),
            Words("measured coverage", "实测覆盖率"),
            Words("labels a set", "平均标签数"),
            Words("no label fits", "无合适标签"),
            Words("one label", "一个标签"),
            Words("several labels", "多个标签"),
        ),
        (
            *(line(name, row) for name, row in zip(names, rows, strict=True)),
            line(Words("all images", "全部图像"), overall),
        ),
    )


def worst(scored: Scored, image: Words, remark: Words) -> Section:
    """The most confident mistakes; ``image`` heads the column that names them."""
    found = scored.mistakes()
    title = Words("Worst errors", "最严重的错误")
    if not found:
        return Section(title, (Paragraph(Words("No image got a wrong label.", "没有图像被误判。")),))
    shown = found[:MOST_MISTAKES]
    answered = scored.outcomes is not None
    headings: tuple[Cell, ...] = (
        image,
        Words("true class", "真实类别"),
        Words("likeliest label", "最可能标签"),
        Words("its score", "其得分"),
        Words("score of the true class", "真实类别得分"),
        *((Words("outcome", "结果"),) if answered else ()),
    )
    return Section(
        title,
        (
            Paragraph(
                Words(
                    f"{len(found)} of {len(scored.truth)} images got a wrong likeliest label; the {len(shown)} most "
                    f"confident ones are shown. {remark.en}",
                    f"{len(scored.truth)} 张图像中有 {len(found)} 张的最可能标签有误；下表为得分最高的 {len(shown)} 张。"
                    f"{remark.zh}",
                )
            ),
            Table(headings, tuple(_mistake(m, answered) for m in shown)),
        ),
    )


def _mistake(m: Mistake, answered: bool) -> tuple[Cell, ...]:
    outcome: tuple[Cell, ...] = (OUTCOMES.get(m.outcome or "", m.outcome or NONE),) if answered else ()
    return (m.image, m.truth, m.given, figure(m.score_of_given), figure(m.score_of_truth), *outcome)
