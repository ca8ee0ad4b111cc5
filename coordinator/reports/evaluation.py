"""The report on a model's answers for somebody's own labelled images. It names files: it is for those who have them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from coordinator.reports import sections
from coordinator.reports.document import (
    NONE,
    Alert,
    Block,
    Document,
    Facts,
    Paragraph,
    Section,
    Table,
    Words,
    figure,
    interval,
    joined,
    moment,
)
from coordinator.reports.scored import Scored
from coordinator.training.evaluation import Evaluation
from coordinator.training.metrics import Figures, Interval
from protocols.manifest import ReleaseManifest

_MOST_REJECTED = 20
_REASONS = {
    "blurred": Words("blurred", "模糊"),
    "underexposed": Words("underexposed", "曝光不足"),
    "overexposed": Words("overexposed", "曝光过度"),
    "another_kind": Words("another kind of image", "其他种类的图像"),
    "unfamiliar": Words("unlike the training images", "与训练图像不相似"),
    "several_labels_fit": Words("several labels fit", "多个标签均可能"),
    "no_label_fits": Words("no label fits", "没有合适的标签"),
}


def scored(manifest: ReleaseManifest, evaluation: Evaluation) -> Scored:
    """The answers as plots and tables read them."""
    in_set = np.zeros(evaluation.scores.shape, dtype=bool)
    for row, prediction in zip(in_set, evaluation.predictions, strict=True):
        row[list(prediction.answer.in_set)] = True
    return Scored(
        names=tuple(x.label for x in manifest.labels),
        ids=tuple(evaluation.files),
        truth=evaluation.truth,
        groups=evaluation.groups,
        scores=evaluation.scores[np.newaxis],
        in_set=in_set[np.newaxis],
        outcomes=tuple(p.answer.outcome for p in evaluation.predictions),
    )


def report(
    manifest: ReleaseManifest, evaluation: Evaluation, figures: dict[str, Any], source: str, now: datetime
) -> Document:
    """Put the report together.

    Args:
        manifest: of the model.
        evaluation: its answers.
        figures: ``evaluation.document`` of them.
        source: name of the set, as the user calls it.
        now: when it was evaluated.
    """
    answers, found = scored(manifest, evaluation), evaluation.figures()
    worst = sections.worst(
        answers,
        Words("file", "文件"),
        Words(
            "Errors that a clinician would have been shown as an answer stand first. Look at each: the label in the "
            "folder may be the wrong one.",
            "会作为结果展示给临床医生的错误排在最前。请逐一查看：也可能是文件夹中的标签有误。",
        ),
    )
    return Document(
        Words(f"Evaluation of {manifest.name}", f"{manifest.name} 的评估"),
        tuple(
            Alert(Words(w["text"], w["text_zh"]), grave=w["code"] == "evaluate.random_backbone")
            for w in figures["warnings"]
        ),
        (
            _summary(manifest, found, figures, source, now),
            _outcomes(figures),
            Section(
                Words("By class", "各类别"),
                (sections.by_class(found, answers.names), *sections.discrimination(answers, found)),
            ),
            Section(
                Words("Calibration and coverage", "校准与覆盖率"),
                sections.calibration(answers, found, manifest.calibration.coverage),
            ),
            worst,
            *_rejected(evaluation),
        ),
    )


def _summary(manifest: ReleaseManifest, found: Figures, figures: dict[str, Any], source: str, now: datetime) -> Section:
    counts = joined(f"{label} {row['n']}" for label, row in figures["per_class"].items())
    return Section(
        Words("Summary", "概要"),
        (
            Facts(
                (
                    (Words("Model", "模型"), f"{manifest.name} ({moment(manifest.created)})"),
                    (Words("Disease", "疾病"), manifest.disease),
                    (Words("Images", "图像"), Words(f"{found.images} of {source}", f"{source} 中的 {found.images} 张")),
                    (Words("Groups", "分组"), str(found.groups)),
                    (Words("Classes", "类别"), counts),
                    (Words("Evaluated", "评估时间"), moment(now.isoformat())),
                    (Words("Balanced accuracy", "平衡准确率"), interval(found.balanced_accuracy)),
                    (Words("Accuracy", "准确率"), figure(found.accuracy)),
                    (Words("Macro AUC", "宏平均 AUC"), interval(found.auc_macro)),
                    (Words("Expected calibration error", "期望校准误差"), figure(found.ece)),
                )
            ),
            Paragraph(
                Words(
                    "These figures count every image by its likeliest label, whatever the outcome. In brackets: 95 % "
                    "bootstrap intervals that resample whole groups. The released files were run as nodes run them.",
                    "以上指标按最可能标签计入每一张图像，不论结果如何。括号内为按整组重采样的 95% 自助法区间。"
                    "运行的是已发布文件，与节点一致。",
                )
            ),
        ),
    )


def _outcomes(figures: dict[str, Any]) -> Section:
    rows = tuple(
        (name, str(figures["outcomes"].get(outcome, 0)), f"{figures['outcomes'].get(outcome, 0) / figures['n']:.1%}")
        for outcome, name in sections.OUTCOMES.items()
    )
    answered = figures["answered_only"]
    blocks: list[Block] = [Table((Words("outcome", "结果"), sections.IMAGES, Words("share", "比例")), rows)]
    if figures["reasons"]:
        reasons = sorted(figures["reasons"].items(), key=lambda item: -item[1])
        shown = tuple((_REASONS.get(reason, reason), str(count)) for reason, count in reasons)
        blocks.append(Table((Words("reason of not answering", "未给出答案的原因"), sections.IMAGES), shown))
    if answered["n"]:
        balanced = interval(Interval(**answered["balanced_accuracy"]))
        blocks.append(
            Facts(
                (
                    (
                        Words("Balanced accuracy of the recognised alone", "仅已识别图像的平衡准确率"),
                        balanced,
                    ),
                    (
                        Words("Their share of all images", "其占全部图像的比例"),
                        f"{answered['share']:.1%}",
                    ),
                )
            )
        )
        blocks.append(
            Paragraph(
                Words(
                    "This leaves out the images that the model itself found hard; it says how good an answer is where one "
                    "is given, and nothing without its share.",
                    "此项不含模型自认为困难的图像；它只说明给出答案时的好坏，须与比例一并解读。",
                )
            )
        )
    return Section(Words("What a clinician would have seen", "临床医生会看到的结果"), tuple(blocks))


def _rejected(evaluation: Evaluation) -> tuple[Section, ...]:
    if not evaluation.rejected:
        return ()
    rows = tuple((r["file"], r["code"] or NONE) for r in evaluation.rejected[:_MOST_REJECTED])
    table = Table((Words("file", "文件"), Words("reason", "原因")), rows)
    return (Section(Words("Files that could not be read", "无法读取的文件"), (table,)),)
