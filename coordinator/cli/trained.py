"""What ``train`` tells a person: how long it will take, and what the ladder came to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocols.console import Console

_SAY_EVERY_S = 60


class TimeTold:
    """Passes progress on, and says about how long the whole will take: at the start and each minute."""

    def __init__(self, console: Console, progress: Callable[[str, int, int | None], None]) -> None:
        self._console = console
        self._progress = progress
        self._said: int | None = None

    def __call__(self, part: str, done: int, total: int) -> None:
        """As ``train`` calls it; part ``time`` counts seconds."""
        if part == "time" and (self._said is None or done - self._said >= _SAY_EVERY_S):
            left = max(total - done, 0)
            en, zh = spoken(left)
            if self._said is None:
                self._console.say(f"This will take about {en}.", f"预计需要约{zh}。")
            elif left:
                self._console.say(f"About {en} left.", f"还剩约{zh}。")
            self._said = done
        if part != "time" or self._console.err.is_terminal:  # a bar for who watches; lines are said above
            self._progress(part, done, total)


def spoken(seconds: int) -> tuple[str, str]:
    """A time as one says it, in both languages."""
    if seconds < 90:
        rounded = max(10, -(-seconds // 10) * 10)
        return f"{rounded} seconds", f" {rounded} 秒"
    minutes = round(seconds / 60)
    return f"{minutes} minutes", f" {minutes} 分钟"


def show(console: Console, name: str, document: dict[str, Any]) -> None:
    """The result for people."""
    figure = document["metrics"]["balanced_accuracy"]
    between = "" if figure["low"] is None else f"{figure['low']:.3f}–{figure['high']:.3f}"
    console.line(
        f"Model {name}: balanced accuracy {figure['value']:.3f} (95 % interval {between or 'not known'}, nested, by group).",
        f"模型 {name}：平衡准确率 {figure['value']:.3f}（95% 区间 {between or '未知'}，按组嵌套交叉验证）。",
    )
    for warning in document["warnings"]:
        console.line(f"! {warning['text']}", f"! {warning['text_zh']}")
    console.line(
        f"Features: {document['features_computed']} computed, {document['features_cached']} from the cache.",
        f"特征：新计算 {document['features_computed']}，缓存 {document['features_cached']}。",
    )
    console.line(
        f"Modality: {document['modality']} (say --modality where this is wrong). Head: {document['rung']}, "
        f"reads {', '.join(document['taps'])}.",
        f"影像类型：{document['modality']}（如有误请用 --modality 指定）。头部模型：{document['rung']}，"
        f"读取 {'、'.join(document['taps'])}。",
    )
    if len(document["backbones"]) > 1:
        _compared(console, "backbones", [{"name": b["backbone"], **b} for b in document["backbones"]])
    _compared(console, "rungs", [r for r in document["rungs"] if r["backbone"] == document["backbone"]])
    console.table(
        [console.t("head", "头部模型"), console.t("bytes", "字节"), console.t("balanced accuracy", "平衡准确率"), ""],
        [[p["name"], p["bytes"], f"{p['balanced_accuracy']:.3f}", "✓" if p["chosen"] else ""]
         for p in document["frontier"] if p["frontier"] or p["chosen"]],
        title=console.t("Frontier: no smaller head did better", "前沿：没有更小且更好的头部模型"),
    )  # fmt: skip


def _compared(console: Console, what: str, rows: list[dict[str, Any]]) -> None:
    titles = {"rungs": ("The ladder", "阶梯"), "backbones": ("Backbones on the same folds", "相同折上的主干网络")}
    console.table(
        [
            console.t("rung" if what == "rungs" else "backbone", "方案" if what == "rungs" else "主干网络"),
            console.t("balanced accuracy", "平衡准确率"),
            console.t("difference", "差值"),
            console.t("kept", "采用"),
            *([console.t("bytes", "字节")] if what == "rungs" else []),
        ],
        [
            [
                row["name"],
                f"{row['balanced_accuracy']:.3f}" + bounds(row["low"], row["high"]),
                difference(row),
                "✓" if row["kept"] else "—",
                *([row["bytes"]] if what == "rungs" else []),
            ]
            for row in rows
        ],
        title=console.t(*titles[what]),
    )
    for row in rows[1:]:
        console.line(f"{row['name']}: {row['why']['text']}.", f"{row['name']}：{row['why']['text_zh']}。")


def bounds(low: float | None, high: float | None) -> str:
    """The bounds of an interval, where it has any."""
    return "" if low is None or high is None else f" ({low:.3f}–{high:.3f})"


def difference(row: dict[str, Any]) -> str:
    """What a rung gains over the one kept before it."""
    if row["difference"] is None:
        return "—"
    found = row["difference"]["balanced_accuracy"]
    shown = "" if found["low"] is None else f" ({found['low']:+.3f}–{found['high']:+.3f})"
    return f"{found['value']:+.3f}{shown}"
