"""``federate …``: refining a released head with the sites that consented."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import Annotated, Any, cast, get_args

import click
import typer

from coordinator.bootstrap import open_coordinator, utc_now
from coordinator.errors import CoordinatorError
from coordinator.federation import start as start_of_run
from coordinator.federation.jobs import Job, Jobs, Options
from coordinator.intake.datasets import Datasets
from protocols.console import Console, command
from protocols.federation.choice import Strategy
from protocols.federation.exchange import Exchange


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Federated refinement · 联邦训练")
    app.add_typer(group, name="federate")
    command(group)(start)
    command(group)(status)
    command(group)(stop)
    command(group)(personal)


async def start(
    console: Console,
    model: Annotated[str, typer.Argument(help="model or model@version that is refined · 模型")],
    rounds: Annotated[int, typer.Option(min=1, max=200, help="Rounds · 轮数")] = 20,
    strategy: Annotated[str | None, typer.Option(help=f"{', '.join(get_args(Strategy))}; else by the sites")] = None,
    least_sites: Annotated[int, typer.Option(min=2, help="Fewest sites · 最少机构数")] = 2,
    deadline_s: Annotated[float, typer.Option(min=1, help="Longest wait for the answers of a round, s")] = 120.0,
    gather_s: Annotated[float, typer.Option(min=0, help="How long the first round waits for more sites, s")] = 30.0,
    wait_s: Annotated[float, typer.Option(min=0, help="Longest wait for enough sites, s")] = 3600.0,
    exchange: Annotated[str, typer.Option(help=", ".join(get_args(Exchange)))] = "float16",
    clip: Annotated[float, typer.Option(min=0, help="Longest change that leaves a site; 0: any")] = 0.0,
    noise: Annotated[float, typer.Option(min=0, help="Noise at each site, in units of --clip; 0: none")] = 0.0,
) -> None:
    """Ask for a run; the running ``serve`` works it off · 启动联邦训练."""
    if strategy is not None and strategy not in get_args(Strategy):
        raise click.BadParameter(f"--strategy takes {', '.join(get_args(Strategy))}")
    if exchange not in get_args(Exchange):
        raise click.BadParameter(f"--exchange takes {', '.join(get_args(Exchange))}")
    if noise and not clip:
        raise click.BadParameter("--noise needs --clip")
    if find_spec("flwr") is None:
        raise CoordinatorError("federation.not_installed")
    chosen, form = cast(Strategy | None, strategy), cast(Exchange, exchange)
    options = Options(rounds, chosen, least_sites, deadline_s, gather_s, wait_s, form, clip, noise)
    async with open_coordinator(console.home) as coordinator:
        row = await coordinator.models.row(model)
        manifest = coordinator.models.read_manifest(row.manifest)
        start_of_run.check(manifest, row.training)
        job = await Jobs(coordinator.database).start(manifest.name, options, utc_now())
        is_served = coordinator.home.serving.exists()

    def human() -> None:
        console.line(f"Run {job.id} refines {job.model}.", f"联邦训练 {job.id} 将改进 {job.model}。")
        if not is_served:
            console.line(
                "! It begins when medmesh-coordinator serve runs.", "! 将在 medmesh-coordinator serve 运行时开始。"
            )

    console.answer({"job": job.id, "model": job.model, "state": job.state, "rounds": rounds}, human)


async def status(
    console: Console, job: Annotated[str | None, typer.Argument(help="Id; else the newest · 编号")] = None
) -> None:
    """How a run stands · 联邦训练状态."""
    async with open_coordinator(console.home) as coordinator:
        found = await Jobs(coordinator.database).newest(job)
        nodes = {row["node"]: row for row in await coordinator.enrolment.list()}
    document = _document(found, nodes)
    names = {site["site"]: site["name"] for site in document["sites"]}

    def human() -> None:
        console.line(
            f"Run {found.id} on {found.model}: {found.state}, round {document['round']} of {document['rounds']}.",
            f"联邦训练 {found.id}（{found.model}）：{found.state}，第 {document['round']}/{document['rounds']} 轮。",
        )
        console.table(
            [
                console.t("site", "机构"),
                console.t("score", "得分"),
                console.t("rounds used", "采用轮数"),
                console.t("bytes up", "上行字节"),
                console.t("bytes down", "下行字节"),
                console.t("last dropped", "最近弃用"),
            ],
            [
                [
                    s["name"],
                    "—" if s["metric"] is None else f"{s['metric']:.3f}",
                    s["rounds"],
                    s["bytes_up"],
                    s["bytes_down"],
                    s["dropped"][-1]["code"] if s["dropped"] else "",
                ]
                for s in document["sites"]
            ],
        )
        for row in document["declined"]:
            console.line(f"! {row['name']} does not take part: {row['code']}", f"! {row['name']} 未参加：{row['code']}")
        if own := document["global"]:
            best = document["best_single_site"]
            console.line(
                f"On held-out images: together {own['mean']:.3f} (lowest {own['min']:.3f}), start "
                f"{document['start'].get('mean', '—')}, best site alone {best.get('mean', '—')}.",
                f"在留出图像上：联合 {own['mean']:.3f}（最低 {own['min']:.3f}），起始 "
                f"{document['start'].get('mean', '—')}，最佳单机构 {best.get('mean', '—')}。",
            )
        if document["against_best_site"] == "worse":
            console.line(
                "! The result is worse than the best site's own head; releasing it needs --accept-worse REASON.",
                "! 结果不如最佳单机构自己的模型头；发布需要 --accept-worse 理由。",
            )
        for site, scores in document["personalised"].items():
            name = names.get(site, site)
            console.line(
                f"{name}: its own head is better there, {scores['own']:.3f} against {scores['global']:.3f}; make a version of "
                f"it with federate personal {site}",
                f"{name}：其自有模型头在该处更优（{scores['own']:.3f} 对 {scores['global']:.3f}）；"
                f"可运行 federate personal {site}",
            )
        if document["state"] == "done":
            console.line(f"Made {document['model']}.", f"已生成 {document['model']}。")
        if "error" in document:
            console.line(f"{document['error']['message']}", f"{document['error']['message']}")

    console.answer(document, human)


async def stop(
    console: Console, job: Annotated[str | None, typer.Argument(help="Id; else the newest · 编号")] = None
) -> None:
    """End a run after its round; no model is made of it · 停止联邦训练."""
    async with open_coordinator(console.home) as coordinator:
        found = await Jobs(coordinator.database).stop(job)
    console.answer(
        {"job": found.id, "state": found.state},
        lambda: console.line(f"Run {found.id} stops.", f"联邦训练 {found.id} 正在停止。"),
    )


async def personal(
    console: Console,
    site: Annotated[str, typer.Argument(help="Node or site, as status names it · 机构")],
    job: Annotated[str | None, typer.Option("--job", help="Id; else the newest · 编号")] = None,
) -> None:
    """Make a version of the head that a site made alone, where that is better there · 单机构模型."""
    from coordinator.federation import personal as making

    async with open_coordinator(console.home) as coordinator:
        found = await Jobs(coordinator.database).newest(job)
        nodes = {row["node"]: row for row in await coordinator.enrolment.list()}
        offered = [s for s in found.document.get("personalised", {}) if site in (s, *_names(nodes.get(s, {})))]
        if found.state != "done" or len(offered) != 1:
            raise CoordinatorError("federation.not_personal", site=site)
        row = await coordinator.models.row(found.model)
        manifest = coordinator.models.read_manifest(row.manifest)
        datasets = Datasets(coordinator.database, coordinator.home, coordinator.engine)
        new, record = await asyncio.to_thread(
            making.make,
            found,
            offered[0],
            manifest,
            row.training,
            await datasets.samples(row.dataset),
            await coordinator.models.next_version(manifest.model),
            coordinator.home,
            coordinator.engine,
            utc_now,
            coordinator.config.maps_mb,
        )
        await coordinator.models.add(new, record, "model.personal")
    console.answer(
        {"model": new.name, "site": offered[0], **record["federated"]["personal"]},
        lambda: console.line(
            f"Made {new.name}: roll it out to that site's group only.", f"已生成 {new.name}：请仅按该机构的分组发布。"
        ),
    )


def _names(node: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(node[k]) for k in ("site", "name") if node.get(k))


def _document(job: Job, nodes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The contract's keys, also before the first round; sites are called by the names that their invites gave."""
    empty: dict[str, Any] = {
        "round": 0,
        "rounds": job.options.rounds,
        "sites": [],
        "declined": [],
        "global": {},
        "start": {},
        "best_single_site": {},
        "personalised": {},
        "against_best_site": "unknown",
    }
    document = {**empty, "model": None, **job.document, "job": job.id, "state": job.state, "start_model": job.model}
    for site in [*document["sites"], *document["declined"]]:
        node = nodes.get(site["site"], {})
        site["name"] = node.get("site") or node.get("name") or site["site"]
    return document
