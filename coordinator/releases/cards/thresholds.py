"""How each threshold was found, as the manifest records it, in both languages."""

from __future__ import annotations

from typing import Any

from coordinator.releases.cards import brought
from coordinator.reports.document import Cell, Words
from protocols.manifest import ReleaseManifest

HEADINGS = (Words("threshold", "阈值"), Words("how it was found", "确定方法"))
CALIBRATION = {
    "temperature": Words("temperature and bias", "温度与偏置"),
    "thresholds": Words("thresholds of the prediction set", "预测集阈值"),
}
LIMITS = {
    "quality": Words("limits of quality", "质量界限"),
    "familiar": Words("familiar appearance", "熟悉外观"),
    "foreign": Words("foreign appearance", "异类外观"),
    "layout": Words("layout", "布局"),
}
_HOW = {
    "maximum_likelihood": Words(
        "maximum likelihood on the out-of-fold answers for {images} images; no bias",
        "在 {images} 张图像的折外结果上取最大似然；无偏置",
    ),
    "class_conditional_conformal": Words(
        "conformal quantile of each class's out-of-fold answers for a coverage of {coverage:.0%}, corrected for {groups} groups",
        "取各类别折外结果的共形分位数，覆盖率 {coverage:.0%}，按 {groups} 个分组校正",
    ),
    "quantile_of_unseen_images": Words(
        "{share:.0%} of the training images lie below it, each judged by statistics fitted without its group",
        "{share:.0%} 的训练图像低于此值，判断每张图像时所用的统计量不含其分组",
    ),
    "quantile_of_altered_views": Words(
        "{share:.0%} of {views} strongly altered views lie below it, judged in the same way; at least {least:g} times the "
        "familiar limit",
        "{views} 个强烈变化视图中 {share:.0%} 低于此值（判断方法相同）；至少为熟悉界限的 {least:g} 倍",
    ),
    "multiple_of_quantile": Words(
        "{times:g} times what {share:.0%} of the training images lie below, judged in the same way",
        "{share:.0%} 的训练图像所低于的值的 {times:g} 倍（判断方法相同）",
    ),
    "between_images_and_degraded_copies": Words(
        "{share:.1%} of the training images pass each; moved {towards:.0%} of the way towards what {caught:.0%} of the degraded "
        "copies of {copies} images do not pass, where those lie apart",
        "{share:.1%} 的训练图像能通过每一项；若与 {copies} 张图像的劣化副本有间隔，再向 {caught:.0%} 的副本不能通过的值移动 "
        "{towards:.0%}",
    ),
    "none_brought": brought.NOT_FOUND,
    "likelihood_at_site": Words(
        "likelihood on {images} labelled images of {groups} groups of the site, every class counting alike, held back as "
        "{prior:g} images would",
        "在该机构 {groups} 个分组的 {images} 张已标注图像上按似然拟合，各类别权重相等，先验约相当于 {prior:g} 张图像",
    ),
    "class_conditional_conformal_at_site": Words(
        "conformal quantile of each class's out-of-fold answers at the site for a coverage of {coverage:.0%}, corrected for "
        "{groups} groups",
        "取该机构各类别折外结果的共形分位数，覆盖率 {coverage:.0%}，按 {groups} 个分组校正",
    ),
    "quantile_at_site": Words(
        "{share:.0%} of {images} images of the site lie below it; it was lower before",
        "该机构 {images} 张图像中 {share:.0%} 低于此值；原值更低",
    ),
    "stretched_like_familiar": Words("raised in the same proportion as the familiar limit", "与熟悉界限按相同比例提高"),
    "kept_from_start": Words(
        "that of {start}, which this version was refined from by several sites; fit it to a site with recalibrate",
        "沿用 {start}（本版本由多个机构在其基础上联合改进）；可用 recalibrate 按机构重新拟合",
    ),
    "widened_at_site": Words(
        "{share:.0%} of {images} images of the site pass each, with {room:.0%} to spare; never stricter than before",
        "该机构 {images} 张图像中 {share:.0%} 能通过每一项，并留 {room:.0%} 余量；不会比原来更严",
    ),
}


def rows(manifest: ReleaseManifest, names: dict[str, Words]) -> tuple[tuple[Cell, Cell], ...]:
    """One row for each of ``names`` that the manifest says something of; releases made before it did say nothing."""
    return tuple((shown, _how(manifest.methods[name])) for name, shown in names.items() if name in manifest.methods)


def _how(found: dict[str, Any]) -> Cell:
    """A method that this program does not know is shown by its name."""
    words = _HOW.get(found["method"])
    return str(found["method"]) if words is None else Words(words.en.format_map(found), words.zh.format_map(found))
