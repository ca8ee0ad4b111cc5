"""Why a rollout waits or stopped, as sentences."""

from __future__ import annotations

from typing import Any, Final

from protocols.errors import Language

_ROSE = {
    "unsure": ("“unsure”", "“不确定”"),
    "not_this_kind_of_image": ("“not this kind of image”", "“非此类图像”"),
    "poor_quality": ("“poor quality”", "“图像质量差”"),
    "failures": ("crashes", "运行失败"),
}
_SENTENCES: Final[dict[str, tuple[str, str]]] = {
    "time": ("the stage lasts {left} more", "本阶段还需 {left}"),
    "nodes": (
        "{running} of the {needed} nodes that must run it do; of {reached} that it is offered to, {silent} are silent",
        "须有 {needed} 个节点运行，现有 {running} 个；获推送的 {reached} 个节点中有 {silent} 个尚无消息",
    ),
    "nobody": (
        "no node that it is offered to uses this model",
        "获推送的节点中没有使用此模型的",
    ),
    "results": ("{have} of {needed} results", "已有 {have}/{needed} 个结果"),
    "watching": ("every stage is done; it is watched for {left} more", "各阶段已完成；继续观察 {left}"),
    "superseded": ("{by} is being rolled out in its place", "正在推送 {by} 取代它"),
    "done": ("nothing: the rollout is done", "无：推送已完成"),
    "failed": (
        "{count} of {of} nodes that tried it could not bring it into use ({who}): {low:.1%} to {high:.1%}, allowed {allowed:.1%}",
        "{of} 个尝试的节点中有 {count} 个未能启用（{who}）：{low:.1%}–{high:.1%}，允许 {allowed:.1%}",
    ),
    "declined": (
        "{count} of {of} sites that tried it decline it ({who}): {low:.1%} to {high:.1%}, allowed {allowed:.1%}",
        "{of} 个尝试的站点中有 {count} 个拒绝（{who}）：{low:.1%}–{high:.1%}，允许 {allowed:.1%}",
    ),
    **{
        f"rose_{name}": (
            f"{en}: {{rate:.1%}} of {{results}}, {{before:.1%}} with the release before at the same nodes; "
            "{low:+.1%} to {high:+.1%}, allowed {allowed:+.1%}",
            f"{zh}：{{results}} 个中占 {{rate:.1%}}，同一节点上前一版本为 {{before:.1%}}；"
            "差值 {low:+.1%} 至 {high:+.1%}，允许 {allowed:+.1%}",
        )
        for name, (en, zh) in _ROSE.items()
    },
}


def sentence(code: str, figures: dict[str, Any], language: Language) -> str:
    """One reason."""
    shown = dict(figures)
    if "left_s" in shown:
        shown["left"] = _duration(shown["left_s"], language)
    if "who" in shown:
        shown["who"] = ", ".join(shown["who"])
    return _SENTENCES[code][0 if language == "en" else 1].format_map(shown)


def _duration(seconds: int, language: Language) -> str:
    for size, en, zh in ((86_400, "d", "天"), (3600, "h", "小时"), (60, "min", "分钟")):
        if seconds >= 2 * size:
            return f"{round(seconds / size)} {en if language == 'en' else zh}"
    return f"{seconds} {'s' if language == 'en' else '秒'}"
