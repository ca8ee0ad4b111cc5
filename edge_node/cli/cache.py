"""``cache list``, ``cache remove`` and ``cache unquarantine``."""

from __future__ import annotations

from typing import Annotated

import typer

from edge_node.bootstrap import Edge
from edge_node.cli.root import group
from edge_node.cli.text import size_text, time_text
from protocols.console import Console, command

commands = group("cache", "Models on this machine · 本机缓存")


@command(commands, "list")
async def list_(console: Console) -> None:
    """List the models on this machine and the room they take · 列出本机模型."""
    edge = Edge(console.home)
    async with edge.local() as local:
        installed = await local.store.installed()
        marks = await local.store.quarantined()
        total = local.artifacts.total_bytes()
    out = {(mark.disease, mark.name): mark for mark in marks}
    document = {
        "releases": [
            {
                "disease": r.disease,
                "model": r.model,
                "version": r.version,
                "release": r.name,
                "active": r.active,
                "quarantined": (r.disease, r.name) in out,
                "installed": r.installed.isoformat(),
                "bytes": sum(a.size_bytes for a in r.files),
            }
            for r in installed
        ],
        "quarantine": [
            {"disease": m.disease, "release": m.name, "code": m.code, "since": m.since.isoformat()} for m in marks
        ],
        "bytes_total": total,
    }

    def human() -> None:
        headings = [
            console.t("Disease", "疾病"),
            console.t("Release", "发布"),
            console.t("State", "状态"),
            console.t("Installed", "安装时间"),
            console.t("Size", "大小"),
        ]
        rows = [
            [
                r.disease,
                r.name,
                _state(console, active=r.active, quarantined=(r.disease, r.name) in out),
                time_text(r.installed),
                size_text(sum(a.size_bytes for a in r.files)),
            ]
            for r in installed
        ]
        console.table(headings, rows)
        console.line(
            f"{size_text(total)} on the disk; files that models share are kept once.",
            f"共占用 {size_text(total)}；共享文件只保存一份。",
        )

    console.answer(document, human)


def _state(console: Console, *, active: bool, quarantined: bool) -> str:
    if quarantined:
        return console.t("in quarantine", "已隔离")
    return console.t("in use", "使用中") if active else console.t("previous", "上一版本")


@command(commands)
async def unquarantine(
    console: Console,
    release: Annotated[str, typer.Argument(metavar="MODEL[@VERSION]")],
) -> None:
    """Let a release run again that crashed on this machine · 解除隔离."""
    edge = Edge(console.home)
    async with edge.local() as local:
        freed = await edge.quarantine(local).remove(release)
        active = {(r.disease, r.name) for r in await local.store.installed() if r.active}
    document = {
        "released": [{"disease": m.disease, "release": m.name, "active": (m.disease, m.name) in active} for m in freed]
    }

    def human() -> None:
        for mark in freed:
            console.line(f"{mark.name} may run again.", f"{mark.name} 可以再次运行。")

    console.answer(document, human)


@command(commands)
async def remove(
    console: Console,
    disease: Annotated[str, typer.Argument(metavar="DISEASE")],
    model: Annotated[str | None, typer.Option("--model", help="MODEL · 模型")] = None,
) -> None:
    """Remove a model; files that other models need stay · 删除模型，保留共享文件."""
    from edge_node.cache.choice import choose_installed

    edge = Edge(console.home)
    async with edge.local() as local, edge.lock():
        installed = await local.store.installed()
        chosen = choose_installed(installed, disease, model)
        doomed = [r for r in installed if (r.disease, r.model) == (chosen.disease, chosen.model)]
        await local.store.remove(chosen.disease, chosen.model)
        freed = await local.artifacts.discard([artifact for r in doomed for artifact in r.files])
    document = {"disease": chosen.disease, "model": chosen.model, "removed": [r.name for r in doomed], "bytes": freed}
    console.answer(
        document,
        lambda: console.line(
            f"Removed {chosen.model}; {size_text(freed)} freed.", f"已删除 {chosen.model}，释放 {size_text(freed)}。"
        ),
    )
