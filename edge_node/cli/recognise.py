"""``recognise``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_node.bootstrap import Edge, LocalCache
from edge_node.cli.root import app
from edge_node.cli.text import warn
from edge_node.errors import EdgeError
from protocols.console import Console, command

if TYPE_CHECKING:
    from edge_node.recognition.service import Findings
    from edge_node.trust.standing import Standing
    from edge_node.worker.guard import GuardedFindings
    from protocols.manifest import ReleaseManifest


@command(app)
async def recognise(
    console: Console,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...")],
    disease: Annotated[str | None, typer.Option("--disease", help="Disease · 疾病")] = None,
    model: Annotated[str | None, typer.Option("--model", help="MODEL or MODEL@VERSION · 模型")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every model on this machine · 本机全部模型")] = False,
    crop: Annotated[str | None, typer.Option("--crop", metavar="x,y,w,h", help="Region in pixels · 裁剪区域")] = None,
    case: Annotated[str | None, typer.Option("--case", metavar="REF", help="Your own reference · 病例编号")] = None,
    explain: Annotated[
        Path | None,
        typer.Option("--explain", metavar="OUT.png", help="Draw where the evidence lies · 绘制判断依据所在位置"),
    ] = None,
    save: Annotated[bool, typer.Option("--save/--no-save", help="Keep in the history · 保存到历史记录")] = True,
) -> None:
    """Recognise pictures on this machine and show the diagnosis aid · 识别图像并给出诊断参考."""
    from edge_node.recognition.crop import parse_crop
    from edge_node.recognition.explain import ExplanationFiles

    if (disease is None) is not every or (every and model is not None):
        raise EdgeError("edge.recognise_what")
    region = None if crop is None else parse_crop(crop)
    files = None if explain is None else ExplanationFiles(explain, several=every or len(images) > 1)
    edge = Edge(console.home)
    async with edge.local() as local:
        standing = await edge.standing(local.store)
        releases, revoked = await _releases(local, standing, disease, model)
        findings = await edge.recognition(local).recognise(images, releases, region, case, files)
    warn(console, standing)
    for refusal in (*revoked, *findings.quarantined):
        console.say(refusal.message("en"), refusal.message("zh"))
    if save:
        await _save(edge, findings)
    if findings.results:
        from edge_node.cli.findings import print_findings

        document = {
            "results": findings.results,
            "errors": [{"image": str(f.file), **f.document(console.language)["error"]} for f in findings.failures],
            "unwritten": [e.document(console.language)["error"] for e in findings.unwritten],
            "revoked": [r.document(console.language)["error"] for r in revoked],
            "quarantined": [q.document(console.language)["error"] for q in findings.quarantined],
            "staleness": standing.staleness(),
            "node_revoked": standing.node_revoked,
        }
        console.answer(document, lambda: print_findings(console, findings.results))
    _end(console, findings)


async def _save(edge: Edge, findings: GuardedFindings) -> None:
    """Keep the results in the history; where that fails they are shown all the same, and the failure is told."""
    if not findings.results:
        return
    try:
        async with edge.history(create=True) as history:
            findings.results = await history.save(findings.results)
    except EdgeError as error:
        findings.unwritten.append(error)


async def _releases(
    local: LocalCache, standing: Standing, disease: str | None, model: str | None
) -> tuple[list[ReleaseManifest], list[EdgeError]]:
    """The manifests of the models to run, with every file that running them takes verified; and what must not run."""
    from edge_node.cache.choice import choose_installed
    from protocols.manifest import ReleaseManifest

    installed = await local.store.installed()
    if disease is not None:
        chosen = [choose_installed(installed, disease, model)]
    else:
        chosen = [release for release in installed if release.active]
        if not chosen:
            raise EdgeError("edge.nothing_installed")
    revoked = [
        EdgeError("release.revoked", release=r.name, reason=standing.revoked[r.name])
        for r in chosen
        if r.name in standing.revoked
    ]
    if len(revoked) == len(chosen):
        raise revoked[0]
    manifests = []
    for release in (r for r in chosen if r.name not in standing.revoked):
        await local.artifacts.require([release.manifest])
        manifest = ReleaseManifest.from_bytes(local.artifacts.path(release.manifest.sha256).read_bytes())
        await local.artifacts.require(manifest.needed_to_run)
        manifests.append(manifest)
    return manifests, revoked


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
