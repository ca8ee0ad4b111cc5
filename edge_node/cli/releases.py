"""``models``, ``pull`` and ``sync``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_node.bootstrap import Edge, LocalCache
from edge_node.cli.root import app
from edge_node.cli.text import say_if_stale, size_text
from protocols.console import Console, command

if TYPE_CHECKING:
    from edge_node.transfer.feed import Snapshot


@command(app)
async def models(console: Console) -> None:
    """Show the list L: what there is, what is here, and what it would cost · 模型列表."""
    edge = Edge(console.home)
    async with edge.online() as online:
        snapshot = await online.feed.newest()
        rows = await _listed(online.local, snapshot)
    say_if_stale(console, snapshot)
    document = {
        "models": rows,
        "serial": snapshot.catalogue.serial,
        "coordinator": snapshot.catalogue.coordinator,
        "fetched": snapshot.fetched.isoformat(timespec="seconds"),
        "online": snapshot.failure is None,
    }
    console.answer(document, lambda: _print_models(console, rows))


async def _listed(local: LocalCache, snapshot: Snapshot) -> list[dict[str, Any]]:
    active = {(r.disease, r.model): r.version for r in await local.store.installed() if r.active}
    rows = []
    for release in snapshot.catalogue.current():
        needed = local.artifacts.bytes_needed(release.files)
        rows.append(
            {
                "disease": release.disease,
                "model": release.model,
                "version": release.version,
                "release": release.name,
                "cached": needed == 0,
                "bytes_needed": needed,
                "bytes_total": sum(a.size_bytes for a in release.files),
                "active_version": active.get((release.disease, release.model)),
                "signer": release.signer,
            }
        )
    return rows


def _print_models(console: Console, rows: list[dict[str, Any]]) -> None:
    if not rows:
        console.line("The coordinator has released no models yet.", "协调端尚未发布模型。")
        return
    headings = [
        console.t("Disease", "疾病"),
        console.t("Model", "模型"),
        console.t("Here", "本机"),
        console.t("To fetch", "需下载"),
        console.t("In use", "使用中"),
        console.t("Signed by", "签署人"),
    ]
    table = [
        [
            row["disease"],
            row["release"],
            console.t("cached", "已缓存") if row["cached"] else "",
            size_text(row["bytes_needed"]),
            "" if row["active_version"] is None else f"{row['model']}@{row['active_version']}",
            row["signer"],
        ]
        for row in rows
    ]
    console.table(headings, table)


@command(app)
async def pull(
    console: Console,
    disease: Annotated[str, typer.Argument(metavar="DISEASE")],
    model: Annotated[str | None, typer.Option("--model", help="MODEL or MODEL@VERSION · 模型或模型@版本")] = None,
) -> None:
    """Fetch what is missing of a model, verify and test it, and bring it into use · 下载、校验并启用模型."""
    start = time.perf_counter()
    edge = Edge(console.home)
    async with edge.online() as online:
        snapshot = await online.feed.newest()
        say_if_stale(console, snapshot)
        release = online.puller.choose(snapshot, disease, model)
        total = online.local.artifacts.unfinished_bytes(release.files)
        with console.progress(f"Fetching {release.name}", f"正在下载 {release.name}", total) as advance:
            pulled = await online.puller.pull(snapshot, release, _adding(advance))
    if pulled.knowledge_failure is not None:
        failure = pulled.knowledge_failure
        console.say(
            f"The knowledge base was not updated: {failure.message('en')}",
            f"疾病知识库没有更新：{failure.message('zh')}",
        )
    document = {
        "disease": release.disease,
        "release": release.name,
        "model": release.model,
        "version": release.version,
        "already_cached": pulled.already_cached,
        "bytes": edge.traffic.document(),
        "seconds": round(time.perf_counter() - start, 3),
        "active": True,
        "knowledge_updated": pulled.knowledge_updated,
        "online": snapshot.failure is None,
    }
    console.answer(document, lambda: _print_pulled(console, document))


def _adding(advance: Callable[[int], None]) -> Callable[[int], None]:
    """Turn "so many more bytes" into "so many bytes by now"."""
    done = 0

    def add(size_bytes: int) -> None:
        nonlocal done
        done += size_bytes
        advance(done)

    return add


def _print_pulled(console: Console, document: dict[str, Any]) -> None:
    release, got = document["release"], document["bytes"]
    if document["already_cached"]:
        console.line(f"{release} was cached already and is in use.", f"{release} 已在缓存中，正在使用。")
    else:
        console.line(f"{release} is verified, tested and in use.", f"{release} 已校验、自检并启用。")
    rows = [
        [console.t("list and manifest", "列表与清单"), size_text(got["metadata"])],
        [console.t("from the coordinator", "来自协调端"), size_text(got["coordinator"])],
        [console.t("from peers", "来自其他节点"), size_text(got["peers"])],
        [console.t("seconds", "秒"), f"{document['seconds']:.1f}"],
    ]
    console.table([console.t("Received", "接收"), ""], rows)


@command(app)
async def sync(console: Console) -> None:
    """Fetch the newest list and knowledge base; models stay as they are · 更新列表与疾病知识库."""
    edge = Edge(console.home)
    async with edge.online() as online:
        snapshot = await online.feed.refresh()
        updated = await online.puller.update_knowledge(snapshot)
    knowledge = snapshot.catalogue.knowledge
    document = {
        "serial": snapshot.catalogue.serial,
        "fetched": snapshot.fetched.isoformat(timespec="seconds"),
        "knowledge": {"version": knowledge.version if knowledge else None, "updated": updated},
        "bytes": edge.traffic.document(),
    }

    def human() -> None:
        number = snapshot.catalogue.serial
        console.line(f"The list is up to date (number {number}).", f"列表已是最新（第 {number} 号）。")
        if knowledge is None:
            console.line("The coordinator publishes no knowledge base.", "协调端没有发布疾病知识库。")
        elif updated:
            console.line(
                f"Knowledge base: now version {knowledge.version}.", f"疾病知识库已更新到 {knowledge.version}。"
            )
        else:
            console.line("The knowledge base is up to date.", "疾病知识库已是最新。")

    console.answer(document, human)
