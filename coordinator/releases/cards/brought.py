"""The card's sentences about a model that was brought ready-trained: by whom, and how little is known."""

from __future__ import annotations

from typing import Any

from coordinator.reports.document import Alert, Cell, Facts, Paragraph, Section, Words
from protocols.manifest import ReleaseManifest

_UNKNOWN = Words("not known here", "此处未知")
_CALIBRATED = Words(
    "Calibrated on a site's images after it was brought; see below. A score is not the probability of disease in your clinic.",
    "导入后已用某机构的图像校准，见下文。得分不等于您诊所中的患病概率。",
)
_NOT_CALIBRATED = Words(
    "Not calibrated: no labelled images came with the model. Its score is the model's own number, not a probability, and says "
    "nothing about how often it is right. Every label is in every prediction set, so every answer is unsure, until recalibrate "
    "has seen labelled images of a site.",
    "未校准：模型未附带任何已标注图像。得分只是模型自身的数值，不是概率，也不能说明其正确率。"
    "在用某机构的已标注图像运行 recalibrate 之前，所有标签都在预测集中，所有结果均为“不确定”。",
)
METHOD = Words(
    "One network, trained elsewhere, written anew as one TFLite stage and tried in a sandbox. How it was trained is not on "
    "record. It cannot show where in the picture its evidence lies.",
    "在别处训练的单个网络，重写为一个 TFLite 阶段并在沙箱中试运行。训练方法未记录。它不能显示图像中的依据位置。",
)
ABOUT_QUALITY = Words(
    "Nothing is called poor: there were no training images to take bounds from. Look at the picture yourself.",
    "不会判为质量差：没有可用于确定界限的训练图像。请自行检查图像质量。",
)
NOT_FOUND = Words("not found: no images came with the model", "未确定：模型未附带图像")


def facts_of(manifest: ReleaseManifest) -> dict[str, Any] | None:
    """What the bringer said; None for a model that was trained here."""
    found = manifest.data.get("brought")
    return dict(found) if isinstance(found, dict) else None


def alert(found: dict[str, Any]) -> Alert:
    """At the card's head."""
    return Alert(
        Words(
            f"Brought ready-trained by {found['by']}, not trained here. What it was trained on is not known, so neither is "
            "whether pictures that it is evaluated on were among it.",
            f"由 {found['by']} 提供的已训练模型，并非在此训练。其训练数据未知，因此也无法判断评估图像是否曾用于训练。",
        ),
        grave=True,
    )


def data(found: dict[str, Any]) -> Section:
    """In place of the training data."""
    rows: tuple[tuple[Words, Cell], ...] = (
        (Words("Name", "名称"), found["name"]),
        (Words("Brought by", "提供者"), found["by"]),
        (Words("Source", "来源"), found["source"]),
        (Words("Licence", "许可"), found["licence"]),
        (Words("File", "文件"), f"{found['kind']}, SHA-256 {found['sha256']}"),
        (Words("Its output", "输出"), found["output"]),
        (Words("Training data", "训练数据"), _UNKNOWN),
        (Words("Patients, devices, sites", "患者、设备、机构"), _UNKNOWN),
    )
    return Section(Words("Training data", "训练数据"), (Facts(rows), Paragraph(_SAID)))


_SAID = Words(
    "Name, source and licence are the bringer's word.",
    "名称、来源和许可均为提供者的说法。",
)


def about_calibration(manifest: ReleaseManifest) -> Words:
    """What a score means."""
    return _CALIBRATED if manifest.calibration.coverage < 1 else _NOT_CALIBRATED
