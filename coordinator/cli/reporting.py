"""The cleaning report as people read it."""

from __future__ import annotations

import shlex
from typing import Any

from protocols.console import Console


def print_report(console: Console, document: dict[str, Any]) -> None:
    """Print what an import did."""
    console.line(
        f"Data set {document['dataset']}: {document['accepted']} images accepted, "
        f"{len(document['rejected'])} rejected, {document['groups']} groups, "
        f"{document['already_present']} there before.",
        f"数据集 {document['dataset']}：接受 {document['accepted']} 张，拒绝 {len(document['rejected'])} 张，"
        f"分组 {document['groups']} 个，已有 {document['already_present']} 张。",
    )
    rows = []
    for label, count in document["classes"].items():
        mapped = document["labels"].get(label, {})
        rows.append([label, count, mapped.get("entry") or "—", mapped.get("how", "")])
    console.table([console.t("class", "类别"), console.t("images", "图像"), console.t("entry", "知识库条目"), ""], rows)
    for rejected in document["rejected"][:20]:
        reason = rejected["reason_zh"] if console.language == "zh" else rejected["reason"]
        console.line(f"  {rejected['file']}: {reason}", f"  {rejected['file']}：{reason}")
    if len(document["rejected"]) > 20:
        more = len(document["rejected"]) - 20
        console.line(f"  … and {more} more (dataset report)", f"  ……另有 {more} 个（dataset report）")
    for warning in document["warnings"]:
        console.line(f"! {warning['text']}", f"! {warning.get('text_zh', warning['text'])}")
    for label, mapped in document["labels"].items():
        if mapped["entry"] is None and mapped["kind"] != "normal":
            hint = (
                f"medmesh-coordinator dataset label {document['dataset']} {shlex.quote(label)} --entry ID|normal|other"
            )
            console.line(
                f"Class {label} has no page in the knowledge base yet: {hint}", f"类别 {label} 尚无知识库条目：{hint}"
            )
