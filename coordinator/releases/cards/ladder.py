"""The ladder in a card: what was tried, what each rung gained, what it costs, and which backbone won."""

from __future__ import annotations

from typing import Any

from coordinator.reports import plots
from coordinator.reports.document import NONE, Block, Cell, Paragraph, Plot, Section, Table, Words, interval
from coordinator.training.ladder import linear, race
from coordinator.training.metrics import Interval
from protocols.errors import Language

ABOUT = Words(
    "Every rung answered for the same images in the same folds, none of which it had seen. A rung is kept where a bootstrap "
    "that draws whole groups says that it is better than the one kept before: the difference's 95 % interval lies above 0, or "
    "balanced accuracy is no lower and the log-loss clearly is. Intervals are widened where few groups hold a class.",
    "各方案对相同折中的相同图像作答，且均未见过这些图像。仅当按整组重抽样的自助法表明优于前一保留方案时"
    "才采用：差值的 95% 区间高于 0，或平衡准确率不低而对数损失明显更低。含某一类别的分组较少时，区间会相应加宽。",
)
ABOUT_VIEWS = Words(
    "Altered views are there for other sites' cameras, so they are judged on altered views of unseen groups and may cost at most "
    "one point of balanced accuracy on the images themselves.",
    "变化视图用于适应其他机构的成像条件，因此在未见分组的变化视图上评判，且在原图上的平衡准确率损失不得超过一个百分点。",
)
ABOUT_FRONTIER = Words(
    "Sizes of head files in bytes against balanced accuracy on unseen groups; the trunk, which all diseases share, is not "
    "counted. A head off the line is beaten by a smaller one. The published head is weighed, the others are estimated.",
    "头部文件字节数与未见分组平衡准确率的关系；所有疾病共用的主干不计入。不在折线上的方案被更小的方案超过。已发布头部为实测大小，其余为估计值。",
)
_TITLE = Words("Rungs that were compared", "比较过的方案")
_BALANCED = Words("balanced accuracy", "平衡准确率")
_BYTES = Words("head bytes", "头部字节")
_GAIN = Words("difference", "差值")
_KEPT = Words("kept", "采用")
_WHY = Words("why", "原因")
_NAMES = {
    linear.BASE: "最后一层池化",
    linear.TAPS: "所选特征层",
    linear.FITS: "改进的线性拟合",
    linear.VIEWS: "加入变化视图",
    race.NAME: "微调 mixed7 以上的网络",
}


def section(training: dict[str, Any]) -> Section:
    """What the training document says; documents of older versions say less."""
    backbone = training.get("backbone")
    rows = [r for r in training["rungs"] if r.get("backbone", backbone) == backbone]
    blocks: list[Block] = [Paragraph(ABOUT)]
    if any(r.get("difference_on_views") for r in rows):
        blocks.append(Paragraph(ABOUT_VIEWS))
    blocks.append(_rungs(rows, training.get("taps")))
    if folds := training.get("chosen_in_folds"):
        blocks.append(Paragraph(_in_folds(folds)))
    if points := training.get("frontier"):
        blocks.append(Plot(_drawn(points), ABOUT_FRONTIER, _frontier(points)))
    if len(found := training.get("backbones", [])) > 1:
        blocks.append(_backbones(found))
    return Section(_TITLE, tuple(blocks))


def _drawn(points: list[dict[str, Any]]) -> Any:
    def draw(language: Language) -> str:
        return plots.frontier(points, language)

    return draw


def _rungs(rows: list[dict[str, Any]], taps: list[str] | None) -> Table:
    return Table(
        (Words("rung", "方案"), _BALANCED, _GAIN, _BYTES, _KEPT, _WHY),
        tuple(
            (
                _chosen(r["name"], r.get("chosen", r.get("taps") == taps)),
                _interval(r),
                _difference(r),
                f"{r['bytes']:,}",
                _mark(r.get("kept")),
                _why(r),
            )
            for r in rows
        ),
    )


def _backbones(rows: list[dict[str, Any]]) -> Table:
    return Table(
        (Words("backbone", "主干网络"), _BALANCED, _GAIN, Words("its rung", "其方案"), _WHY),
        tuple((_chosen(r["backbone"], r["chosen"]), _interval(r), _difference(r), r["rung"], _why(r)) for r in rows),
    )


def _frontier(points: list[dict[str, Any]]) -> Table:
    return Table(
        (Words("head", "头部模型"), _BYTES, _BALANCED, Words("on the frontier", "位于前沿")),
        tuple((_chosen(p["name"], p["chosen"]), f"{p['bytes']:,}", _interval(p), _mark(p["frontier"])) for p in points),
    )


def _chosen(name: str, chosen: bool) -> Cell:
    name_zh = _in_chinese(name)
    if chosen:
        return Words(f"{name} (published)", f"{name_zh}（已发布）")
    return name if name_zh == name else Words(name, name_zh)


def _in_chinese(name: str) -> str:
    """A rung's name; those of taps and heads are the same in both languages."""
    return _NAMES.get(name, name)


def _interval(row: dict[str, Any]) -> Cell:
    return interval(Interval(row["balanced_accuracy"], row["low"], row["high"]))


def _difference(row: dict[str, Any]) -> Cell:
    if not row.get("difference"):
        return NONE
    found = row["difference"]["balanced_accuracy"]
    if found["low"] is None:
        return f"{found['value']:+.3f}"
    return Words(
        f"{found['value']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})",
        f"{found['value']:+.3f}（{found['low']:+.3f} 至 {found['high']:+.3f}）",
    )


def _mark(kept: bool | None) -> str:
    return NONE if kept is None else "✓" if kept else "✗"


def _why(row: dict[str, Any]) -> Cell:
    return Words(row["why"]["text"], row["why"]["text_zh"]) if row.get("why") else NONE


def _in_folds(folds: dict[str, int]) -> Words:
    """How often each rung was chosen where the choice had to do without the fold that was counted."""
    total = sum(folds.values())
    en = ", ".join(f"{name} in {count} of {total}" for name, count in folds.items())
    zh = "、".join(f"{_in_chinese(name)}：{count}/{total}" for name, count in folds.items())
    return Words(
        f"The figures of this card come from choices made without the fold that is counted. They chose {en} folds.",
        f"本卡片的指标来自不含被统计折的选择。各折选择：{zh}。",
    )
