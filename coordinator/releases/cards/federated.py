"""How a federated version came about, in both languages; no site is named."""

from __future__ import annotations

from typing import Any

from coordinator.reports.document import NONE, Alert, Block, Cell, Facts, Paragraph, Section, Words, figure, joined
from protocols.manifest import ReleaseManifest

_ABOUT = Words(
    "Sites fitted the head to their own images and sent its changes; images stayed there. Scores are balanced accuracies that "
    "the sites state for images which no training had seen when they were scored, weighted by the number of images.",
    "各机构在自己的图像上拟合模型头并只发送其改动，图像留在原处。得分为各机构在评分时未参与训练的图像上给出的平衡准确率，按图像数加权。",
)
_KEPT = Words(
    "Scores mean less than before: the temperature and thresholds were fitted for {start} and nobody has seen how they suit "
    "this head. Fit them with recalibrate.",
    "分数的意义不如以前：温度和阈值是为 {start} 拟合的，尚无人检验其是否适合本模型头。请用 recalibrate 重新拟合。",
)
_PERSONAL = Words(
    "One site fitted this head to its own images, and it was better there than the head that all sites made together. It is for "
    "that site's nodes: roll it out to their group.",
    "该模型头由一个机构在自己的图像上拟合，在该处优于各机构联合训练的模型头。仅供该机构的节点使用：请按其分组发布。",
)
_WORSE = Words(
    "The best head that one site made alone is better than this one on the same images.",
    "在同样的图像上，最佳单机构自己的模型头优于本模型头。",
)
_UNKNOWN = Words(
    "Nobody could tell whether this head is better than what one site makes alone.",
    "无法判断本模型头是否优于单个机构自己训练的模型头。",
)


def section(manifest: ReleaseManifest) -> Section:
    """The part of the card."""
    found: dict[str, Any] = manifest.data["federated"]
    if personal := found.get("personal"):
        return _personal(found, personal)
    own = found["global"]
    rows: list[tuple[Words, Cell]] = [
        (Words("Refined from", "起始版本"), str(found["from"])),
        (Words("Sites, rounds", "机构数、轮数"), f"{found['sites']}, {found['rounds']}"),
        (Words("Strategy", "聚合策略"), joined(found["strategies"])),
        (Words("Together: mean, lowest site", "联合：均值、最低机构"), f"{figure(own['mean'])}, {figure(own['min'])}"),
        (Words("Start", "起始"), figure(found["start_mean"])),
        (Words("Best site alone", "最佳单机构"), figure(found["best_single_site_mean"])),
        (Words("Sites whose own head is better there", "自有模型头更优的机构数"), str(found["sites_better_alone"])),
        (
            Words("Rounds after the scoring, on all images", "评分之后在全部图像上的轮数"),
            str(found["rounds_after_comparison"]),
        ),
        (Words("Privacy noise at the sites", "机构端隐私噪声"), _privacy(found["privacy"])),
    ]
    blocks: list[Block] = [Paragraph(_ABOUT), Facts(tuple(rows))]
    if found["against_best_site"] != "better":
        blocks.append(Alert(_WORSE if found["against_best_site"] == "worse" else _UNKNOWN))
    blocks.append(Alert(Words(_KEPT.en.format(start=found["from"]), _KEPT.zh.format(start=found["from"]))))
    return Section(Words("Federated refinement", "联邦训练"), tuple(blocks))


def _personal(found: dict[str, Any], scores: dict[str, float]) -> Section:
    rows: tuple[tuple[Words, Cell], ...] = (
        (Words("Refined from", "起始版本"), str(found["from"])),
        (Words("This head, at its site", "本模型头（在其机构）"), figure(scores["own"])),
        (Words("The shared head, there", "联合模型头（同处）"), figure(scores["global"])),
    )
    kept = Words(_KEPT.en.format(start=found["from"]), _KEPT.zh.format(start=found["from"]))
    return Section(Words("Made by one site alone", "由单个机构训练"), (Paragraph(_PERSONAL), Facts(rows), Alert(kept)))


def _privacy(found: dict[str, Any]) -> Cell:
    if not found["noise"]:
        return Words("none", "无")
    shown = NONE if found["epsilon"] is None else f"{found['epsilon']:.1f}"
    return Words(
        f"clip {found['clip']:g}, noise {found['noise']:g}: ε {shown} at δ {found['delta']:g} for all that a site holds, over "
        f"{found['releases']} changes; scores and coarse counts are not covered",
        f"裁剪 {found['clip']:g}，噪声 {found['noise']:g}：对一个机构的全部数据 ε {shown}（δ {found['delta']:g}），共 "
        f"{found['releases']} 次改动；得分与粗略计数不在保证范围内",
    )
