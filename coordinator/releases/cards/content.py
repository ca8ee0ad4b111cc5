"""What stands in a card, in both languages. Never a file name, a group's name or a path."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from coordinator.intake.cleaning import FEW_IMAGES, IMBALANCE
from coordinator.intake.shortcuts import sentence
from coordinator.releases.cards import brought, federated, ladder, origin, texts, thresholds
from coordinator.releases.cards.facts import CardFacts, Version, headline
from coordinator.reports import sections
from coordinator.reports.document import (
    NONE,
    Alert,
    Block,
    Cell,
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
from coordinator.training import metrics, oof
from coordinator.training.evaluation import FEW_GROUPS
from coordinator.training.metrics import Figures
from protocols.manifest import ReleaseManifest
from protocols.recognition import scores

_ROUNDING = 1e-3  # figures of the manifest have four decimals


def card(facts: CardFacts) -> Document:
    """Put the card together."""
    scored = scored_of(facts)
    figures = None if scored is None else metrics.describe(scored.truth, scored.scores, scored.groups)
    manifest = facts.manifest
    parts: list[Section] = [_summary(facts, figures), texts.use(manifest), _data(manifest, figures), _method(facts)]
    parts.append(_performance(manifest, figures, scored))
    if facts.training.get("rungs"):
        parts.append(ladder.section(facts.training))
    parts.append(_calibration(facts, figures, scored))
    if origin.KEY in manifest.data:
        parts.append(origin.section(manifest))
    if "federated" in manifest.data:
        parts.append(federated.section(manifest))
    if "recalibrated" in facts.training:
        parts.append(_recalibration(facts))
    parts.append(_limits(manifest))
    if scored is not None:
        parts.append(sections.worst(scored, texts.IMAGE, texts.ABOUT_WORST))
    parts += [_labels_and_gates(facts), _changes(facts.versions), texts.REFERENCES]
    return Document(
        Words(f"Model card of {manifest.name}", f"模型卡：{manifest.name}"), _alerts(facts, figures), tuple(parts)
    )


def scored_of(facts: CardFacts) -> Scored | None:
    """The out-of-fold answers, if they are those that the manifest's figures were counted from."""
    found, trained, stated = facts.out_of_fold, facts.trained, headline(facts.trained)
    if found is None or stated is None or found.logits.shape[2] != len(trained.labels):
        return None
    tables = [metrics.confusion(found.truth, run, len(trained.labels)) for run in found.logits.argmax(axis=2)]
    if abs(float(np.mean([metrics.balanced_accuracy(t) for t in tables])) - stated.value) > _ROUNDING:
        return None
    return Scored(
        names=tuple(x.label for x in trained.labels),
        ids=tuple(image[: sections.ID_CHARACTERS] for image in found.images),
        truth=found.truth,
        groups=found.groups,
        scores=scores(found.logits, trained.calibration),
        in_set=oof.held_out_sets(found, trained.calibration.coverage),
    )


def _alerts(facts: CardFacts, figures: Figures | None) -> tuple[Alert, ...]:
    manifest, found = facts.manifest, []
    if manifest.backbone is not None and manifest.backbone.id.startswith("random-"):
        found.append(Alert(texts.RANDOM, grave=True))
    if facts.release is not None and facts.release["state"] == "withdrawn":
        found.append(Alert(texts.withdrawn(facts.release["reason"]), grave=True))
    if (said := brought.facts_of(manifest)) is not None:
        found.append(brought.alert(said))
    if headline(manifest) is None:
        found.append(Alert(texts.NO_FIGURES, grave=True))
    elif figures is None:
        found.append(Alert(texts.NO_ANSWERS))
    if facts.trained.version != manifest.version:
        found.append(Alert(texts.recalibrated(facts.trained.name)))
    counts = {label: row["n"] for label, row in manifest.metrics.get("per_class", {}).items()}
    if few := [label for label, n in counts.items() if n < FEW_IMAGES]:
        found.append(Alert(texts.few_images(few, FEW_IMAGES)))
    if counts and max(counts.values()) > IMBALANCE * max(min(counts.values()), 1):
        found.append(
            Alert(texts.imbalance(max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__), IMBALANCE))
        )
    if figures is not None:
        rows = zip(manifest.labels, figures.per_class, strict=True)
        if scarce := [label.label for label, row in rows if row.groups < FEW_GROUPS]:
            found.append(Alert(texts.few_groups(scarce, FEW_GROUPS)))
    found += [Alert(Words(text.en, text.zh)) for text in map(sentence, facts.shortcuts)]
    if unmapped := _unmapped(manifest):
        found.append(Alert(texts.unmapped(unmapped, manifest.unmapped_reason)))
    return tuple(found)


def _unmapped(manifest: ReleaseManifest) -> list[str]:
    return [x.label for x in manifest.labels if x.entry is None and x.kind != "normal"]


def _summary(facts: CardFacts, figures: Figures | None) -> Section:
    manifest, release = facts.manifest, facts.release
    sizes = {a.role: a.size_bytes for a in manifest.artifacts}
    rows: list[tuple[Words, Cell]] = [
        (Words("Recognises", "识别内容"), joined(x.label for x in manifest.labels)),
        (Words("Disease", "疾病"), manifest.disease),
        (Words("Made by", "制作方"), facts.maker),
        (Words("Made", "制作时间"), moment(manifest.created)),
        (Words("Release", "发布状态"), texts.state(release["state"] if release else None)),
        (Words("Balanced accuracy", "平衡准确率"), interval(headline(manifest))),
    ]
    if figures is not None:
        rows.append((Words("Macro AUC", "宏平均 AUC"), interval(figures.auc_macro)))
    rows.append(
        (
            Words("Size", "大小"),
            Words(
                ", ".join(f"{role} {size:,} bytes" for role, size in sizes.items()),
                "、".join(f"{role} {size:,} 字节" for role, size in sizes.items()),
            ),
        )
    )
    return Section(Words("At a glance", "概览"), (Facts(tuple(rows)),))


def _data(manifest: ReleaseManifest, figures: Figures | None) -> Section:
    if (said := brought.facts_of(manifest)) is not None:
        return brought.data(said)
    data, per_class = manifest.data, manifest.metrics.get("per_class", {})
    total = sum(row["n"] for row in per_class.values())
    blocks: list[Block] = [
        Facts(
            (
                (Words("Data set", "数据集"), str(data.get("dataset", NONE))),
                (Words("Images", "图像"), str(data.get("images", NONE))),
                (
                    Words("Groups (patients, lesions or slides)", "分组（患者、病灶或玻片）"),
                    str(data.get("groups", NONE)),
                ),
            )
        )
    ]
    if per_class:
        groups = {
            label.label: str(row.groups)
            for label, row in zip(manifest.labels, figures.per_class if figures else (), strict=False)
        }
        blocks.append(
            Table(
                (sections.CLASS, sections.IMAGES, Words("share", "比例"), sections.GROUPS),
                tuple(
                    (label, str(row["n"]), f"{row['n'] / total:.1%}", groups.get(label, NONE))
                    for label, row in per_class.items()
                ),
            )
        )
    return Section(Words("Training data", "训练数据"), (*blocks, Paragraph(texts.ABOUT_DATA)))


def _method(facts: CardFacts) -> Section:
    manifest, training = facts.manifest, facts.training
    method = texts.method(training) if brought.facts_of(manifest) is None else brought.METHOD
    rows: list[tuple[Words, Cell]] = []
    if manifest.backbone is not None:
        rows += [
            (Words("Backbone", "主干网络"), manifest.backbone.id),
            (Words("Its source", "来源"), manifest.backbone.source),
            (Words("Its licence", "许可"), manifest.backbone.licence),
            (Words("SHA-256 of its weights", "权重的 SHA-256"), manifest.backbone.weights_sha256),
        ]
    spec = manifest.input
    rows += [
        (
            Words("Input", "输入"),
            f"{spec.edge_px} × {spec.edge_px} px, RGB, {spec.value_range[0]:g} … {spec.value_range[1]:g}",
        ),
        (
            Words("Artifacts", "组成文件"),
            joined(f"{a.role} {a.sha256[: sections.ID_CHARACTERS]}" for a in manifest.artifacts),
        ),
    ]
    for key, name in texts.TRAINING_FACTS.items():
        if training.get(key) not in (None, [], ""):
            value = training[key]
            rows.append((name, joined(map(str, value)) if isinstance(value, list) else str(value)))
    if spatial := training.get("spatial"):
        rows.append((Words("Head", "头部结构"), texts.spatial_head(spatial)))
    if found := training.get("parity"):
        rows.append((texts.PARITY, f"{found['agreement']:.2%}"))
    return Section(Words("Method and backbone", "方法与主干网络"), (Paragraph(method), Facts(tuple(rows))))


def _performance(manifest: ReleaseManifest, figures: Figures | None, scored: Scored | None) -> Section:
    title = Words("Performance on unseen groups", "在未见分组上的表现")
    stated = headline(manifest)
    if stated is None:
        return Section(title, (Paragraph(texts.NO_FIGURES),))
    blocks: list[Block] = [
        Facts(
            (
                (Words("Method", "方法"), _how(manifest, scored)),
                (
                    Words("Images, groups", "图像数、分组数"),
                    f"{manifest.metrics.get('n', NONE)}, {manifest.metrics.get('groups', NONE)}",
                ),
                (Words("Balanced accuracy", "平衡准确率"), interval(stated)),
                (
                    Words("Macro AUC", "宏平均 AUC"),
                    figure(manifest.metrics.get("auc_macro")) if figures is None else interval(figures.auc_macro),
                ),
            )
        ),
        Paragraph(texts.ABOUT_FIGURES),
    ]
    if figures is not None and scored is not None:
        blocks += [sections.by_class(figures, scored.names), *sections.discrimination(scored, figures)]
    else:
        blocks.append(
            Table(
                (sections.CLASS, sections.SENSITIVITY, sections.SPECIFICITY, sections.IMAGES),
                tuple(
                    (label, figure(row["sensitivity"]), figure(row["specificity"]), str(row["n"]))
                    for label, row in manifest.metrics.get("per_class", {}).items()
                ),
            )
        )
    return Section(title, tuple(blocks))


def _how(manifest: ReleaseManifest, scored: Scored | None) -> Cell:
    if scored is None:
        return str(manifest.metrics.get("method", NONE))
    return texts.nested(len(scored.scores))


def _calibration(facts: CardFacts, figures: Figures | None, scored: Scored | None) -> Section:
    manifest, found = facts.manifest, facts.manifest.calibration
    is_ours = brought.facts_of(manifest) is None
    by_label = tuple(
        (x.label, f"{t:.4f}", f"{b:+.4f}")
        for x, t, b in zip(manifest.labels, found.thresholds, found.bias, strict=True)
    )
    blocks: list[Block] = [
        Facts(
            (
                (Words("Temperature", "温度"), f"{found.temperature:.4f}"),
                (Words("Stated coverage", "声明覆盖率"), f"{found.coverage:.0%}"),
                (Words("Expected calibration error", "期望校准误差"), figure(manifest.metrics.get("ece"))),
            )
        ),
        Paragraph(texts.ABOUT_CALIBRATION if is_ours else brought.about_calibration(manifest)),
    ]
    if figures is not None and scored is not None:
        blocks += sections.calibration(scored, figures, found.coverage)
    blocks.append(Table((sections.CLASS, Words("threshold", "阈值"), Words("bias", "偏置")), by_label))
    blocks += _found(manifest, thresholds.CALIBRATION)
    if found.coverage < 1 and (
        never := [x.label for x, t in zip(manifest.labels, found.thresholds, strict=True) if t >= 1]
    ):
        blocks.append(Alert(texts.never_excluded(never)))
    return Section(Words("Calibration and coverage", "校准与覆盖率"), tuple(blocks))


def _recalibration(facts: CardFacts) -> Section:
    found = facts.training["recalibrated"]
    rows = tuple(
        (name, figure(found["before"][key]), figure(found["after"][key])) for key, name in texts.AT_THE_SITE.items()
    )
    return Section(
        Words("Recalibration for a site", "按机构重新校准"),
        (
            Paragraph(texts.about_recalibration(found["from"], found["images"], found["groups"])),
            Table(
                (Words("figure at the site", "该机构的指标"), Words("before", "校准前"), Words("after", "校准后")), rows
            ),
        ),
    )


def _limits(manifest: ReleaseManifest) -> Section:
    quality = tuple((name, f"{getattr(manifest.quality, field):.5g}") for field, name in texts.QUALITY.items())
    blocks: list[Block] = [
        Paragraph(texts.ABOUT_QUALITY if brought.facts_of(manifest) is None else brought.ABOUT_QUALITY),
        Table((Words("measure", "指标"), Words("limit", "界限")), quality),
    ]
    if manifest.novelty is None:
        blocks.append(Alert(texts.NO_NOVELTY))
    else:
        limits = tuple((name, f"{getattr(manifest.novelty, field):.5g}") for field, name in texts.NOVELTY.items())
        blocks += [
            Paragraph(texts.about_novelty(manifest.novelty.inputs)),
            Table((Words("residual", "残差"), Words("limit", "界限")), limits),
        ]
    blocks += _found(manifest, thresholds.LIMITS)
    return Section(Words("What it refuses to answer", "不作答的情形"), tuple(blocks))


def _found(manifest: ReleaseManifest, names: dict[str, Words]) -> list[Block]:
    """How thresholds were found, as far as the manifest says so."""
    rows = thresholds.rows(manifest, names)
    return [Table(thresholds.HEADINGS, rows)] if rows else []


def _labels_and_gates(facts: CardFacts) -> Section:
    manifest, release = facts.manifest, facts.release
    labels = tuple((x.label, x.entry or NONE, texts.KINDS.get(x.kind, x.kind)) for x in manifest.labels)
    blocks: list[Block] = [
        Table((Words("label", "标签"), Words("knowledge base entry", "知识库条目"), Words("kind", "类别性质")), labels)
    ]
    if release is None:
        blocks.append(Paragraph(texts.NO_GATES))
    else:
        headings = (Words("gate", "检查项"), Words("passed", "通过"), Words("finding", "结果"))
        blocks.append(
            Table(headings, tuple((g["name"], "✓" if g["ok"] else "✗", _finding(g)) for g in release["gates"]))
        )
        signed = [f"{a['key']} ({moment(a['on'])})" for a in release["approvals"]]
        blocks.append(Facts(((Words("Approved with the keys", "批准密钥"), joined(signed) if signed else NONE),)))
    return Section(Words("Labels, gates and approvals", "标签、检查与批准"), tuple(blocks))


def _finding(gate: Mapping[str, str]) -> Cell:
    """A gate's finding; releases of earlier versions have it in English alone."""
    return Words(gate["detail"], gate.get("detail_zh") or gate["detail"])


def _changes(versions: tuple[Version, ...]) -> Section:
    before = {newer.number: older for newer, older in pairwise(versions)}
    rows = tuple(
        (
            str(v.number),
            moment(v.created),
            f"{v.dataset} ({v.images if v.images is not None else NONE})",
            interval(v.headline),
            _change(v, before.get(v.number)),
            texts.state(v.state),
            v.notes or NONE,
        )
        for v in versions
    )
    headings = (
        Words("version", "版本"),
        Words("made", "制作时间"),
        Words("data (images)", "数据（图像数）"),
        Words("balanced accuracy", "平衡准确率"),
        Words("change", "变化"),
        Words("release", "发布状态"),
        Words("notes", "说明"),
    )
    return Section(Words("Changes", "变更记录"), (Paragraph(texts.ABOUT_CHANGES), Table(headings, rows)))


def _change(newer: Version, older: Version | None) -> str:
    if older is None or newer.headline is None or older.headline is None:
        return NONE
    return f"{newer.headline.value - older.headline.value:+.3f}"
