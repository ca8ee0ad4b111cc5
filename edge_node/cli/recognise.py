"""``recognise``."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_node.bootstrap import Edge
from edge_node.cli.root import app
from edge_node.cli.text import warn, warn_of_key_file
from edge_node.errors import EdgeError
from protocols.console import Console, command

if TYPE_CHECKING:
    from edge_node.capture.keep import Kept
    from edge_node.recognition.service import Findings
    from edge_node.trust.standing import Standing
    from edge_node.worker.guard import GuardedFindings

_SUGGESTED = "auto"


@command(app)
async def recognise(
    console: Console,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...")],
    disease: Annotated[str | None, typer.Option("--disease", help="Disease · 疾病")] = None,
    model: Annotated[str | None, typer.Option("--model", help="MODEL or MODEL@VERSION · 模型")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every model on this machine · 本机全部模型")] = False,
    crop: Annotated[
        str | None,
        typer.Option(
            "--crop", metavar="x,y,w,h|auto", help="Region in pixels, or let it be suggested · 裁剪区域，或自动建议"
        ),
    ] = None,
    frame: Annotated[
        int | None,
        typer.Option("--frame", metavar="N", min=1, help="Which of several pictures in a file · 文件中的第几帧"),
    ] = None,
    case: Annotated[str | None, typer.Option("--case", metavar="REF", help="Your own reference · 病例编号")] = None,
    explain: Annotated[
        Path | None,
        typer.Option("--explain", metavar="OUT.png", help="Draw where the evidence lies · 绘制判断依据所在位置"),
    ] = None,
    save: Annotated[bool, typer.Option("--save/--no-save", help="Keep in the history · 保存到历史记录")] = True,
) -> None:
    """Recognise pictures on this machine and show the diagnosis aid · 识别图像并给出诊断参考."""
    from edge_node.cache.usable import usable_releases
    from edge_node.capture.cropped import cropped
    from edge_node.capture.keeping import kept_copies
    from edge_node.recognition.crop import parse_crop
    from edge_node.recognition.explain import ExplanationFiles
    from edge_node.recognition.picture import Picture

    if (disease is None) is not every or (every and model is not None):
        raise EdgeError("edge.recognise_what")
    region = None if crop in (None, _SUGGESTED) else parse_crop(crop)
    files = None if explain is None else ExplanationFiles(explain, several=every or len(images) > 1)
    pictures = [Picture(image, region, frame) for image in images]
    edge = Edge(console.home)
    keep = save and edge.config.pictures_mb > 0
    async with edge.local() as local:
        standing = await edge.standing(local.store)
        usable = await usable_releases(local.store, local.artifacts, standing.revoked, disease, model)
        recognition = edge.recognition(local)
        if crop == _SUGGESTED:
            pictures = await cropped(pictures, edge.suggestions(local), usable.manifests)
            usable = await usable_releases(local.store, local.artifacts, standing.revoked, disease, model)
        # The copies are made here while the models run in their own process.
        copies = asyncio.create_task(kept_copies(pictures if keep else [], usable.manifests[0].input))
        try:
            findings = await recognition.recognise(pictures, usable.manifests, case, files)
            kept = dict(zip((str(picture.file) for picture in pictures), await copies, strict=False))
        finally:
            copies.cancel()
    warn(console, standing)
    for refusal in (*usable.revoked, *findings.quarantined):
        console.say(refusal.message("en"), refusal.message("zh"))
    if save:
        await _save(console, edge, findings, kept)
    if findings.results:
        from edge_node.cli.findings import print_findings

        document = _document(console, findings, usable.revoked, standing)
        console.answer(document, lambda: print_findings(console, findings.results))
    _end(console, findings)


def _document(
    console: Console, findings: GuardedFindings, revoked: list[EdgeError], standing: Standing
) -> dict[str, Any]:
    def described(failures: list[EdgeError]) -> list[dict[str, Any]]:
        return [failure.document(console.language)["error"] for failure in failures]

    return {
        "results": findings.results,
        "errors": [{"image": str(f.file), **f.document(console.language)["error"]} for f in findings.failures],
        "unwritten": described(findings.unwritten),
        "revoked": described(revoked),
        "quarantined": described(findings.quarantined),
        "staleness": standing.staleness(),
        "node_revoked": standing.node_revoked,
    }


async def _save(console: Console, edge: Edge, findings: GuardedFindings, kept: Mapping[str, Kept | None]) -> None:
    """Keep the results, and copies of their pictures, in the history; a failure is told, and they are shown all the same."""
    if not findings.results:
        return
    is_first = not edge.paths.outbox.exists()
    try:
        async with edge.history(create=True) as history:
            findings.results = await history.save(findings.results)
            for file, copy in kept.items():
                if copy is not None:
                    await history.pictures.keep(copy, [r["id"] for r in findings.results if r["image"] == file])
        if is_first:
            warn_of_key_file(console, (await edge.outbox().counts()).key_place)
    except EdgeError as error:
        findings.unwritten.append(error)


def _end(console: Console, findings: Findings) -> None:
    """Name everything that failed on stderr; the failure that gives the exit code comes last and ends the command."""
    from edge_node.recognition.failures import deciding

    failed: list[EdgeError] = [*findings.failures, *findings.unwritten]
    if not failed:
        return
    last = deciding(findings.failures) if findings.failures else failed[-1]
    for failure in failed:
        if failure is not last:
            _report(console, failure)
    raise last


def _report(console: Console, failure: EdgeError) -> None:
    """Name a failure on stderr."""
    if console.json:
        sys.stderr.write(json.dumps(failure.document(console.language), ensure_ascii=False) + "\n")
    else:
        console.say(
            f"Error [{failure.code}]: {failure.message('en')}\n{failure.remedy('en')}",
            f"错误 [{failure.code}]: {failure.message('zh')}\n{failure.remedy('zh')}",
        )
