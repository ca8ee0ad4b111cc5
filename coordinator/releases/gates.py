"""What a model version must pass before people are asked to approve it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.training.trunks import Second
from protocols.manifest import ReleaseManifest
from protocols.origin import KEY
from protocols.recognition import same_answer


@dataclass(frozen=True)
class Gate:
    """One check with its finding, in both languages."""

    name: str
    ok: bool
    detail: str
    detail_zh: str

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {"name": self.name, "ok": self.ok, "detail": self.detail, "detail_zh": self.detail_zh}


def labels_mapped(manifest: ReleaseManifest, reason: str | None) -> Gate:
    """Every label opens a page of the knowledge base, says that it is normal, or the manager says why not."""
    missing = [x.label for x in manifest.labels if x.entry is None and x.kind not in ("normal",)]
    if not missing:
        return Gate("labels_mapped", True, "every label has an entry", "每个标签都有条目")
    shown = ", ".join(missing)
    if reason:
        return Gate(
            "labels_mapped",
            True,
            f"without an entry: {shown}; {allowed(reason)}",
            f"无条目：{shown}；{allowed_zh(reason)}",
        )
    return Gate(
        "labels_mapped",
        False,
        f"without an entry: {shown}; map them with dataset label --entry ID, or say why not with --allow-unmapped",
        f"无条目：{shown}；请用 dataset label --entry ID 对应条目，或用 --allow-unmapped 说明原因",
    )


def retested(manifest: ReleaseManifest, training: dict[str, Any], revoked: str | None) -> Gate:
    """A release of another network was measured on data here, and its origin stands by it.

    Args:
        manifest: of the model.
        training: what taking it over recorded.
        revoked: what its origin said when it revoked it; None: it did not.
    """
    found = training.get(KEY)
    if found is None:
        return Gate("retested", True, "made here", "本网络训练")
    if revoked is not None:
        gone = f"{found['network']} has revoked {found['release']}: {revoked}"
        return Gate("retested", False, gone, f"{found['network']} 已撤销 {found['release']}：{revoked}")
    measured, name = found["evaluation"], f"{found['release']} of {found['network']}"
    name_zh = f"{found['network']} 的 {found['release']}"
    if measured is None:
        mend = f"medmesh-coordinator upstream pull {found['release']} --on DATA"
        return Gate(
            "retested",
            False,
            f"{name} was not measured on data of this network; {mend}",
            f"{name_zh} 尚未在本网络的数据上评估；{mend}",
        )
    shown = _figure(measured["balanced_accuracy"]["value"])
    signed = ", ".join(found["approvers"])
    images, groups = measured["n"], measured["groups"]
    return Gate(
        "retested",
        True,
        f"{name}, signed there by {signed}: {shown} balanced accuracy here on {images} images of {groups} groups",
        f"{name_zh}，由 {signed} 签署：在本网络 {groups} 组 {images} 张图像上平衡准确率 {shown}",
    )


def is_taken_over(training: dict[str, Any]) -> bool:
    """Whether another network made the version."""
    return KEY in training


def parity(manifest: ReleaseManifest, training: dict[str, Any]) -> Gate:
    """The released head answers like its float reference; the figures are training's, for exactly this head."""
    if is_taken_over(training):
        return Gate(
            "parity", True, "the origin's own gate; the float head is not here", "由来源网络检查；浮点头部不在本地"
        )
    found = training.get("parity")
    heads = [a.sha256 for a in manifest.artifacts if a.role == "head"]
    if found is None and not heads:
        return Gate("parity", True, "no head of ours", "没有本网络的头部")
    if found is None:
        return Gate("parity", False, "no comparison with the float head is on record", "没有与浮点头部比较的记录")
    classes = ", ".join(f"{label} {share:.2%}" for label, share in found["per_class"].items())
    detail = (
        f"same label as the float head for {found['agreement']:.2%} of the training images ({classes}); "
        f"99 of 100 scores within {found['score_difference']:.4f}"
    )
    detail_zh = (
        f"{found['agreement']:.2%} 的训练图像与浮点头部标签相同（{classes}）；"
        f"99% 的分数相差不超过 {found['score_difference']:.4f}"
    )
    return Gate("parity", bool(found["ok"]) and heads == [found["head"]], detail, detail_zh)


def vetted(manifest: ReleaseManifest, training: dict[str, Any]) -> Gate:
    """A model that was brought ready-trained is exactly the file that the sandbox let through."""
    found = training.get("vetting")
    if is_taken_over(training):
        same = found is not None and list(dict.fromkeys(s.sha256 for s in manifest.stages)) == found["stages"]
        if same:
            shown = "the origin's files, tried in the sandbox"
            return Gate("vetted", True, shown, "来源网络的文件，已在沙箱中试运行")
        return Gate("vetted", False, "other files than were vetted", "文件与审查过的不同")
    if manifest.backbone is not None:
        return Gate("vetted", True, "not brought: trained here", "非外部提供：在此训练")
    if found is None or [s.sha256 for s in manifest.stages] != [found["stage"]]:
        return Gate(
            "vetted",
            False,
            "no vetting of this file is on record; import it again with medmesh-coordinator model import",
            "没有此文件的审查记录；请用 medmesh-coordinator model import 重新导入",
        )
    missing = [f"{name} ({state})" for name, state in found["sandbox"].items() if state != "on"]
    detail = f"operators on the list, tried in the sandbox; brought as {found['kind']} {found['sha256']}"
    detail_zh = f"运算均在清单内，已在沙箱中试运行；提供的文件为 {found['kind']} {found['sha256']}"
    if missing:
        detail, detail_zh = (
            f"{detail}; protections not in force: {', '.join(missing)}",
            f"{detail_zh}；未生效的保护：{'、'.join(missing)}",
        )
    return Gate("vetted", True, detail, detail_zh)


def calibrated(manifest: ReleaseManifest) -> Gate:
    """Whether sets and scores rest on images; a brought model may go out without, since it then answers ``unsure`` alone."""
    if (coverage := manifest.calibration.coverage) < 1:
        shown = f"prediction sets for a coverage of {coverage:.0%}"
        return Gate("calibrated", True, shown, f"预测集的覆盖率为 {coverage:.0%}")
    return Gate(
        "calibrated",
        True,
        "does not apply: not calibrated, so every answer is unsure; see recalibrate",
        "不适用：未校准，因此每次回答均为“不确定”；见 recalibrate",
    )


def trunk_of(manifest: ReleaseManifest) -> str | None:
    """Digest of the trunk that was made here from a backbone; None for a model that has none, was brought ready-trained, or
    comes from another network, which converts its own trunks twice.
    """
    if manifest.backbone is None or KEY in manifest.data:
        return None
    return next((a.sha256 for a in manifest.artifacts if a.role == "trunk"), None)


def converted_twice(manifest: ReleaseManifest, second: Second | None) -> Gate:
    """Converting the trunk a second time gives the same bytes.

    Args:
        manifest: of the model; its head was converted twice when it was trained.
        second: what the second conversion gave; None: this trunk has come out the same before.
    """
    trunk = trunk_of(manifest)
    if trunk is None or manifest.backbone is None:
        return Gate("converted_twice", True, "no trunk of ours", "没有本网络转换的主干")
    if second is None or second.trunk == trunk:
        shown = f"two conversions gave the same trunk {trunk}"
        return Gate("converted_twice", True, shown, f"两次转换得到相同的主干 {trunk}")
    if (why := second.obstacle) is not None:
        return Gate(
            "converted_twice",
            False,
            f"the trunk cannot be converted a second time: {why.message()} {why.remedy()}",
            f"主干无法再次转换：{why.message('zh')}{why.remedy('zh')}",
        )
    detail = f"a second conversion gave the trunk {second.trunk} instead of {trunk}"
    detail_zh = f"再次转换得到主干 {second.trunk}，而不是 {trunk}"
    if second.weights != manifest.backbone.weights_sha256:
        detail += f", from the weights {second.weights} instead of {manifest.backbone.weights_sha256}"
        detail_zh += f"，所用权重为 {second.weights}，而不是 {manifest.backbone.weights_sha256}"
    source = "file:PATH" if manifest.backbone.id.startswith("file:") else manifest.backbone.id
    fetch = f"medmesh-coordinator backbone fetch {source}"
    return Gate(
        "converted_twice",
        False,
        f"{detail}; convert it anew with {fetch}, then train again",
        f"{detail_zh}；请用 {fetch} 重新转换，然后重新训练",
    )


def best_site(manifest: ReleaseManifest, reason: str | None) -> Gate:
    """A federated head is at least as good as the best head that one site made alone, or the manager says why it goes out."""
    found = manifest.data.get("federated")
    if found is None:
        return Gate("best_site", True, "not federated", "非联邦训练")
    if personal := found.get("personal"):
        its, shared = _figure(personal["own"]), _figure(personal["global"])
        return Gate(
            "best_site",
            True,
            f"one site's own head: {its} there, the shared one {shared}; for that site's nodes only",
            f"某机构自有的头部：在该机构为 {its}，共享头部为 {shared}；仅用于该机构的节点",
        )
    own, best = found["global"].get("mean"), found["best_single_site_mean"]
    start, sites = _figure(found["start_mean"]), found["global"].get("sites") or 0
    shown = (
        f"together {_figure(own)}, best site alone {_figure(best)}, start {start} balanced accuracy on "
        f"what {sites} sites held out"
    )
    shown_zh = f"{sites} 个机构留出图像上的平衡准确率：联合 {_figure(own)}，最佳单机构 {_figure(best)}，起点 {start}"
    if found["against_best_site"] == "better":
        return Gate("best_site", True, shown, shown_zh)
    if reason:
        return Gate("best_site", True, f"{shown}; {allowed(reason)}", f"{shown_zh}；{allowed_zh(reason)}")
    return Gate("best_site", False, f"{shown}; {ACCEPT}", f"{shown_zh}；{ACCEPT_ZH}")


def notes(text: str, earlier: str | None) -> Gate:
    """Release notes say what changes for those who have the release before.

    Args:
        text: the notes.
        earlier: those of the last release that nodes were offered; None: there was none.
    """
    if earlier is None:
        found = text.strip()
        return Gate(
            "notes", True, found or "the first release of this model needs none", found or "此模型首次发布，无需说明"
        )
    if sum(c.isalpha() for c in text) < _LEAST_NOTES:
        return Gate(
            "notes",
            False,
            "say what changes for those who have the release before, with --notes",
            "请用 --notes 说明相对上一版本的变化",
        )
    if text.strip() == earlier.strip():
        return Gate(
            "notes",
            False,
            "the notes are those of the release before; say what changes, with --notes",
            "说明与上一版本相同；请用 --notes 说明变化",
        )
    return Gate("notes", True, text.strip(), text.strip())


_LEAST_NOTES = 4  # letters: a word, or two of Chinese


def card_complete(manifest: ReleaseManifest) -> Gate:
    """The card can say what the model is for, what it was made of and how good it is, or that this is not known."""
    wanted: list[tuple[str, str, Any]] = [
        ("a label's name", "标签名称", all(x.label.strip() for x in manifest.labels)),
        ("its origin", "来源", manifest.data),
    ]
    if manifest.backbone is not None:
        wanted += [
            ("the training data's name", "训练数据名称", manifest.data.get("dataset")),
            ("the number of images", "图像数", manifest.data.get("images")),
            ("the number of groups", "组数", manifest.data.get("groups")),
            (
                "balanced accuracy on unseen groups",
                "未见过的组上的平衡准确率",
                manifest.metrics.get("balanced_accuracy"),
            ),
            ("the backbone's source", "主干来源", manifest.backbone.source),
            ("the backbone's licence", "主干许可", manifest.backbone.licence),
        ]
    missing = [(en, zh) for en, zh, value in wanted if not value]
    if missing:
        return Gate(
            "card_complete",
            False,
            f"the card lacks {', '.join(en for en, _ in missing)}; make the version anew",
            f"模型卡缺少{'、'.join(zh for _, zh in missing)}；请重新生成该版本",
        )
    return Gate(
        "card_complete", True, "the card states origin, data, figures and licence", "模型卡写明了来源、数据、指标与许可"
    )


def allowed(reason: str) -> str:
    """What a finding says where a person let it pass."""
    return f"allowed because: {reason}"


def allowed_zh(reason: str) -> str:
    """The same in Chinese."""
    return f"放行原因：{reason}"


ACCEPT = "say why it is released all the same with --accept-worse"
ACCEPT_ZH = "请用 --accept-worse 说明仍要发布的原因"


def _figure(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"


def self_test(manifest: ReleaseManifest, got: NDArray[np.float64]) -> Gate:
    """The released files still give the scores that training recorded."""
    ok = same_answer(np.array(manifest.golden.scores), got)
    if ok:
        return Gate("self_test", True, "golden pictures give the recorded scores", "基准图像得到记录的分数")
    return Gate("self_test", False, "golden pictures differ", "基准图像的分数与记录不符")
