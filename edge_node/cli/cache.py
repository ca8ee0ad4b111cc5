"""``cache list``, ``pin``, ``unpin``, ``quota``, ``remove`` and ``unquarantine``."""

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
        pins, used = await local.store.pins(), await local.store.last_used()
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
                "pinned": (r.disease, r.model) in pins,
                "installed": r.installed.isoformat(),
                "last_used": None if (when := used.get((r.disease, r.model, r.version))) is None else when.isoformat(),
                "bytes": sum(a.size_bytes for a in r.files),
            }
            for r in installed
        ],
        "quarantine": [
            {"disease": m.disease, "release": m.name, "code": m.code, "since": m.since.isoformat()} for m in marks
        ],
        "bytes_total": total,
        "quota_mb": edge.config.cache_quota_mb,
    }

    def human() -> None:
        headings = [
            console.t("Disease", "疾病"),
            console.t("Release", "发布"),
            console.t("State", "状态"),
            console.t("Installed", "安装时间"),
            console.t("Last used", "最近使用"),
            console.t("Size", "大小"),
        ]
        rows = [
            [
                r.disease,
                r.name,
                _state(console, active=r.active, quarantined=(r.disease, r.name) in out)
                + (console.t(", pinned", "，已固定") if (r.disease, r.model) in pins else ""),
                time_text(r.installed),
                "-" if (when := used.get((r.disease, r.model, r.version))) is None else time_text(when),
                size_text(sum(a.size_bytes for a in r.files)),
            ]
            for r in installed
        ]
        console.table(headings, rows)
        console.line(
            f"{size_text(total)} on the disk; files that models share are kept once.",
            f"共占用 {size_text(total)}；共享文件只保存一份。",
        )
        _print_quota(console, edge.config.cache_quota_mb)

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


_Disease = Annotated[str, typer.Argument(metavar="DISEASE")]
_Model = Annotated[str | None, typer.Option("--model", help="MODEL · 模型")]


@command(commands)
async def pin(console: Console, disease: _Disease, model: _Model = None) -> None:
    """Keep a model whatever the quota says · 固定模型，不自动删除."""
    await _set_pin(console, disease, model, pinned=True)


@command(commands)
async def unpin(console: Console, disease: _Disease, model: _Model = None) -> None:
    """Let a model be deleted again when the quota needs it · 取消固定."""
    await _set_pin(console, disease, model, pinned=False)


async def _set_pin(console: Console, disease: str, model: str | None, *, pinned: bool) -> None:
    from edge_node.cache.choice import choose_installed

    edge = Edge(console.home)
    async with edge.local() as local, edge.lock():
        chosen = choose_installed(await local.store.installed(), disease, model)
        change = local.store.pin if pinned else local.store.unpin
        await change(chosen.disease, chosen.model)
    document = {"disease": chosen.disease, "model": chosen.model, "pinned": pinned}
    texts = (f"{chosen.model} is pinned.", f"已固定 {chosen.model}。")
    if not pinned:
        texts = (f"{chosen.model} is no longer pinned.", f"已取消固定 {chosen.model}。")
    console.answer(document, lambda: console.line(*texts))


@command(commands)
async def quota(
    console: Console,
    megabytes: Annotated[int | None, typer.Argument(metavar="[MB]", help="0: none · 0 表示不限")] = None,
) -> None:
    """Show the most that models may take up, or set it and make room at once · 查看或设置缓存配额."""
    from edge_node.cli.settings import change

    edge = Edge(console.home)
    evicted: list[str] = []
    async with edge.local() as local:
        if megabytes is not None:
            edge.config.changed("cache_quota_mb", str(megabytes))
            async with edge.lock():
                evictor = edge.evictor(local)
                await evictor.require_quota(megabytes * 1_000_000)
                change(edge.paths.config, "cache_quota_mb", str(megabytes))
                evicted = [r.name for r in await evictor.trim()]
        total = local.artifacts.total_bytes()
    quota_mb = edge.config.cache_quota_mb if megabytes is None else megabytes
    document = {"quota_mb": quota_mb, "bytes_total": total, "evicted": evicted}

    def human() -> None:
        for name in evicted:
            console.line(f"{name} was deleted to keep within the quota.", f"为不超出配额，已删除 {name}。")
        console.line(f"{size_text(total)} on the disk.", f"共占用 {size_text(total)}。")
        _print_quota(console, quota_mb)

    console.answer(document, human)


def _print_quota(console: Console, quota_mb: int) -> None:
    if quota_mb:
        console.line(f"The quota is {quota_mb} MB.", f"配额为 {quota_mb} MB。")
    else:
        console.line("There is no quota.", "未设配额。")
