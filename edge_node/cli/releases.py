"""``models``, ``pull`` and ``sync``."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_node.bootstrap import Edge, LocalCache
from edge_node.cli.root import app
from edge_node.cli.text import (
    adding,
    decision_texts,
    duration_text,
    reason_text,
    say_if_stale,
    size_text,
    time_text,
    warn,
)
from edge_node.errors import DeclinedError, EdgeError, LimitError
from edge_node.transfer.patience import patiently
from protocols.console import Console, command

if TYPE_CHECKING:
    from edge_node.cache.store import Decision
    from edge_node.trust.catalogue import CatalogueRelease
    from edge_node.trust.feed import Snapshot
    from edge_node.trust.standing import Standing
    from protocols.errors import Language, MedMeshError

_THIN_KBPS = 64.0  # a line to reckon with where no cap is set


@command(app)
async def models(console: Console) -> None:
    """Show the list L: what there is, what is here, and what it would cost · 模型列表."""
    edge = Edge(console.home)
    async with edge.online() as online:
        snapshot = await online.feed.newest()
        standing = await edge.standing(online.local.store)
        rows = await _listed(online.local, snapshot, standing, console.language, edge.config.wan_kbps)
    say_if_stale(console, snapshot)
    warn(console, standing)
    document = {
        "models": rows,
        "serial": snapshot.catalogue.serial,
        "coordinator": snapshot.catalogue.coordinator,
        "fetched": snapshot.fetched.isoformat(timespec="seconds"),
        "online": snapshot.failure is None,
        "staleness": standing.staleness(),
        "node_revoked": standing.node_revoked,
    }
    console.answer(document, lambda: _print_models(console, rows, edge.config.wan_kbps))


async def _listed(
    local: LocalCache, snapshot: Snapshot, standing: Standing, language: Language, cap_kbps: float
) -> list[dict[str, Any]]:
    from edge_node.transfer.limits import seconds_at

    active = {(r.disease, r.model): r for r in await local.store.installed() if r.active}
    decisions = {(d.disease, d.name): d for d in await local.store.decisions()}
    rows = []
    for model in snapshot.catalogue.models:
        release, known = model.release, active.get((model.disease, model.model))
        needed = None if release is None else local.artifacts.bytes_needed(release.files)
        decision = decisions.get((model.disease, model.choice or ""))
        rows.append(
            {
                "disease": model.disease,
                "model": model.model,
                "version": model.version,
                "release": model.choice,
                "cached": needed == 0,
                "bytes_needed": needed,
                "seconds_at_cap": round(seconds_at(cap_kbps, needed), 1) if cap_kbps and needed is not None else None,
                "bytes_total": None if release is None else sum(a.size_bytes for a in release.files),
                "active_version": None if known is None else known.version,
                "revoked": None if known is None else standing.revoked.get(known.name),
                "paused": model.paused,
                "declined": None if decision is None or not decision.declined else decision.document(),
                "signer": None if release is None else release.signer,
                "problem": None if model.failure is None else model.failure.document(language)["error"],
            }
        )
    return rows


def _print_models(console: Console, rows: list[dict[str, Any]], cap_kbps: float) -> None:
    if not rows:
        console.line("The coordinator has released no models yet.", "协调端尚未发布模型。")
        return
    headings = [
        console.t("Disease", "疾病"),
        console.t("Model", "模型"),
        console.t("Here", "本机"),
        console.t("To fetch", "需下载"),
        console.t(f"Time at {cap_kbps or _THIN_KBPS:g} kbit/s", f"用时（{cap_kbps or _THIN_KBPS:g} kbit/s）"),
        console.t("In use", "使用中"),
        console.t("Approved by", "批准人"),
    ]
    table = [
        [
            row["disease"],
            row["release"]
            or console.t(f"{row['model']} (none for this node now)", f"{row['model']}（暂无本节点版本）"),
            console.t("cached", "已缓存") if row["cached"] else "",
            "?" if row["bytes_needed"] is None else size_text(row["bytes_needed"]),
            _time_text(console, row["bytes_needed"], cap_kbps),
            "" if row["active_version"] is None else f"{row['model']}@{row['active_version']}",
            row["signer"] or "",
        ]
        for row in rows
    ]
    console.table(headings, table)
    for row in rows:
        if row["revoked"] is not None:
            name = f"{row['model']}@{row['active_version']}"
            console.line(f"{name} is revoked: {row['revoked']}", f"{name} 已被撤回：{row['revoked']}")
        if row["declined"] is not None:
            console.line(
                f"{row['release']} is declined at this site: medmesh-edge status says why.",
                f"本机构已拒绝 {row['release']}：原因见 medmesh-edge status。",
            )
        if row["problem"] is not None:
            console.line(
                f"{row['release']}: {row['problem']['message']}", f"{row['release']}：{row['problem']['message']}"
            )


def _time_text(console: Console, needed: int | None, cap_kbps: float) -> str:
    """How long a download takes at the cap; without one, about how long on a thin line."""
    from edge_node.transfer.limits import seconds_at

    return duration_text(console, seconds_at(cap_kbps or _THIN_KBPS, needed)) if needed else ""


_OverBudget = Annotated[bool, typer.Option("--over-budget", help="Whatever the month's budget says · 忽略本月流量预算")]


async def _say_cost(console: Console, edge: Edge, needed: int, *, over_budget: bool) -> None:
    """Tell what a download that a person asked for costs, which limits it disregards, and where the budget ends it."""
    from edge_node.transfer.limits import seconds_at

    if not needed:
        return
    kbps = edge.config.wan_kbps or _THIN_KBPS
    size, time_ = size_text(needed), duration_text(console, seconds_at(kbps, needed))
    console.say(
        f"{size} to fetch, about {time_} at {kbps:g} kbit/s.", f"需下载 {size}，按 {kbps:g} kbit/s 约需 {time_}。"
    )
    for reason in edge.allowance().set_aside():
        why = reason_text(console, reason)
        console.say(f"Fetching all the same, since you asked for it: {why}.", f"按您的要求仍然下载：{why}。")
    left = None if over_budget else await edge.allowance().left_bytes()
    if left is not None and left < needed:
        rest = size_text(left)
        console.say(
            f"Only {rest} of this month's budget are left: more can come from nodes near, which cost nothing of it.",
            f"本月流量预算仅剩 {rest}：其余部分只能来自附近节点（不占预算）。",
        )


@command(app)
async def pull(
    console: Console,
    disease: Annotated[str, typer.Argument(metavar="DISEASE")],
    model: Annotated[str | None, typer.Option("--model", help="MODEL or MODEL@VERSION · 模型或模型@版本")] = None,
    over_budget: _OverBudget = False,
) -> None:
    """Fetch what is missing of a model, verify and test it, and bring it into use · 下载、校验并启用模型."""
    from edge_node.activation.pull import Pulled

    start = time.perf_counter()
    edge = Edge(console.home)
    async with edge.online() as online:
        snapshot, release = await patiently(
            lambda: online.puller.find(disease, model, partial(say_if_stale, console)),
            edge.config.retry_s,
            asyncio.sleep,
            partial(_say_waiting, console),
        )
        total = online.local.artifacts.unfinished_bytes(release.files)
        needed = online.local.artifacts.bytes_needed(release.files)
        await _say_cost(console, edge, needed, over_budget=over_budget)
        with console.progress(f"Fetching {release.name}", f"正在下载 {release.name}", total) as advance:
            declined = None
            try:
                pulled = await online.puller.pull(snapshot, release, adding(advance), over_budget=over_budget)
            except DeclinedError as error:
                declined, pulled = error, Pulled(release, needed == 0, False, None)
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
            "active": declined is None,
            "declined": None if declined is None else declined.decision.document(),
            "evicted": list(pulled.evicted),
            "knowledge_updated": pulled.knowledge_updated,
            "online": snapshot.failure is None,
        }
        console.answer(
            document, lambda: None if declined is not None else _print_pulled(console, document)
        )  # nodes near may still be fetching from this one
    if declined is not None:
        raise declined


def _say_waiting(console: Console, failure: MedMeshError, pause_s: float) -> None:
    """Tell that the command has not given up."""
    console.say(
        f"{failure.message('en')} Trying again in {pause_s:g} s.", f"{failure.message('zh')}{pause_s:g} 秒后重试。"
    )


def _print_pulled(console: Console, document: dict[str, Any]) -> None:
    release, got = document["release"], document["bytes"]
    if document["already_cached"]:
        console.line(
            f"{release} was cached: nothing of it had to be fetched. It is in use.",
            f"{release} 已在缓存中，无需下载，正在使用。",
        )
    else:
        console.line(f"{release} is verified, tested and in use.", f"{release} 已校验、自检并启用。")
    for gone in document["evicted"]:
        console.line(f"{gone} was deleted to keep within the quota.", f"为不超出配额，已删除 {gone}。")
    rows = [
        [console.t("list and manifest", "列表与清单"), size_text(got["metadata"])],
        [console.t("from the coordinator", "来自协调端"), size_text(got["coordinator"])],
        [console.t("from mirrors", "来自镜像"), size_text(got["mirror"])],
        [console.t("from peers", "来自其他节点"), size_text(got["peers"])],
        [console.t("seconds", "秒"), f"{document['seconds']:.1f}"],
    ]
    console.table([console.t("Received", "接收"), ""], rows)


@command(app)
async def sync(console: Console, over_budget: _OverBudget = False) -> None:
    """Send what is queued, verify the newest list, bring models and knowledge base up to date · 发送结果并更新."""
    edge = Edge(console.home)
    renewal: MedMeshError | None = None
    renewed = False
    switched: list[CatalogueRelease]
    try:
        renewed = await edge.renew_when_due() is not None
    except EdgeError as error:
        renewal = error
    evicted: list[str] = []
    declined: list[Decision] = []
    sent, unsent = await _deliver(edge)
    mail = await _hand_over(edge)
    async with edge.online() as online:
        snapshot = await patiently(
            online.feed.refresh, edge.config.retry_s, asyncio.sleep, partial(_say_waiting, console)
        )
        wanted = await online.puller.bytes_wanted(snapshot)
        over = await online.puller.over_budget(wanted, waive=over_budget)
        if over is None:
            await _say_cost(console, edge, wanted, over_budget=over_budget)
        switched, updated = [], False
        try:
            switched = await online.puller.update_installed(
                snapshot, fetch=over is None, evicted=evicted.append, declined=declined.append
            )
            updated = over is None and await online.puller.update_knowledge(snapshot)
        except LimitError as error:  # the list is verified and told all the same
            over = error
        standing = await edge.standing(online.local.store)
    if renewal is not None:
        console.say(
            f"The node's certificate was not renewed: {renewal.message('en')}",
            f"节点证书没有更新：{renewal.message('zh')}",
        )
    warn(console, standing)
    knowledge = snapshot.catalogue.knowledge
    document = {
        "serial": snapshot.catalogue.serial,
        "fetched": snapshot.fetched.isoformat(timespec="seconds"),
        "evicted": evicted,
        "switched": [{"disease": r.disease, "release": r.name} for r in switched],
        "declined": [decision.document() for decision in declined],
        "knowledge": {"version": knowledge.version if knowledge else None, "updated": updated},
        "certificate_renewed": renewed,
        "staleness": standing.staleness(),
        "bytes": edge.traffic.document(),
        "outbox": {**sent, "error": None if unsent is None else unsent.document(console.language)["error"]},
        "parcels": mail,
    }

    def human() -> None:
        number = snapshot.catalogue.serial
        console.line(f"The list is up to date (number {number}).", f"列表已是最新（第 {number} 号）。")
        for release in switched:
            console.line(
                f"{release.name} is now in use for {release.disease}.", f"{release.disease} 现使用 {release.name}。"
            )
        for decision in declined:
            console.line(*decision_texts(decision))
        if knowledge is None:
            console.line("The coordinator publishes no knowledge base.", "协调端没有发布疾病知识库。")
        elif updated:
            console.line(
                f"Knowledge base: now version {knowledge.version}.", f"疾病知识库已更新到 {knowledge.version}。"
            )
        else:
            console.line("The knowledge base is up to date.", "疾病知识库已是最新。")
        for gone in evicted:
            console.line(f"{gone} was deleted to keep within the quota.", f"为不超出配额，已删除 {gone}。")
        if sent["sent"] or sent["queued"]:
            console.line(
                f"Results: {sent['sent']} sent, {sent['queued']} wait.",
                f"结果：已发送 {sent['sent']} 条，{sent['queued']} 条待发送。",
            )
        if any(mail.values()):
            console.line(
                f"Parcels of other nodes: {mail['delivered']} delivered, {mail['refused']} refused, {mail['kept']} wait.",
                f"其他节点的寄送数据：已交付 {mail['delivered']} 份，被拒 {mail['refused']} 份，{mail['kept']} 份待交付。",
            )

    console.answer(document, human)
    if (failure := unsent or over) is not None:
        raise failure


async def _deliver(edge: Edge) -> tuple[dict[str, int], MedMeshError | None]:
    """Send what is queued; a failure is told at the end and keeps no model from being updated."""
    try:
        delivery = await edge.deliver()
    except EdgeError as error:
        return {"sent": 0, "queued": 0, "refused": 0}, error
    counts = delivery.counts
    return {"sent": delivery.sent, "queued": counts.queued, "refused": counts.refused}, delivery.failure


async def _hand_over(edge: Edge) -> dict[str, int]:
    """Bring other nodes' parcels to the coordinator; they wait for the next time where that fails."""
    try:
        done = await edge.hand_over()
    except EdgeError:
        return {"delivered": 0, "refused": 0, "kept": 0}
    return {"delivered": done.delivered, "refused": done.refused, "kept": done.kept}


@command(app)
async def renew(console: Console) -> None:
    """Renew this node's certificate if it ends soon or has ended; serve and sync do it too · 更新节点证书."""
    from edge_node.identity.renewal import certificate_end

    edge = Edge(console.home)
    renewed = await edge.renew_when_due() is not None
    end = certificate_end(edge.identity())
    document = {"renewed": renewed, "certificate_end": end.isoformat(timespec="seconds")}
    console.answer(
        document,
        lambda: console.line(
            f"The node's certificate is valid until {time_text(end)}.", f"节点证书有效期至 {time_text(end)}。"
        ),
    )
