"""``fleet …``: how the nodes stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from coordinator.bootstrap import open_coordinator, utc_now
from protocols.console import Console, command

_RATES = {
    "unsure": ("unsure", "不确定"),
    "not_this_kind_of_image": ("not this kind of image", "非此类图像"),
    "poor_quality": ("poor quality", "图像质量差"),
    "disagreement": ("clinicians disagree", "医生不同意"),
}
_SILENCE = {"fresh": ("fresh", "正常"), "late": ("late", "逾期"), "lost": ("lost", "失联"), "never": ("never", "从未")}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="How the nodes stand · 节点运行状况")
    app.add_typer(group, name="fleet")
    command(group, "list")(list_)
    command(group)(show)
    command(group)(alarms)


def silence_text(console: Console, row: Mapping[str, Any]) -> str:
    """Whether a node has gone quiet, in a word."""
    return console.t(*_SILENCE[row["staleness"]])


async def list_(console: Console) -> None:
    """Every node: program, releases, when last seen, storage, failures, results and confirmed accuracy · 全部节点."""
    async with open_coordinator(console.home) as coordinator:
        rows = await coordinator.fleet.overview(utc_now())
    headings = [
        console.t("node", "节点"),
        console.t("site", "机构"),
        console.t("version", "版本"),
        console.t("last seen", "最近联系"),
        console.t("silence", "状况"),
        console.t("in use", "使用中"),
        console.t("results", "结果"),
        console.t("right", "正确率"),
        console.t("note", "备注"),
    ]
    console.answer({"nodes": rows}, lambda: console.table(headings, [_line(console, row) for row in rows]))


def _line(console: Console, row: Mapping[str, Any]) -> list[str]:
    told = row["heartbeat"]
    silence = console.t("revoked", "已吊销") if row["revoked"] else silence_text(console, row)
    seen = (row["last_seen"] or "—")[:10]
    if told is None:
        return [row["name"], row["site"], "—", seen, silence, "—", "—", "—", "—"]
    active = [health for health in told["releases"] if health["active"]]
    return [
        row["name"],
        row["site"],
        told["program"],
        seen,
        silence,
        ", ".join(health["release"] for health in active) or "—",
        str(sum(sum(health["outcomes"].values()) for health in active)),
        _accuracy(active),
        _note(console, told),
    ]


def _note(console: Console, told: Mapping[str, Any]) -> str:
    notes = []
    if told["failures"]:
        notes.append(console.t(f"{told['failures']} failures", f"失败 {told['failures']} 次"))
    if told["declined"]:
        notes.append(console.t(f"declines {len(told['declined'])}", f"拒绝 {len(told['declined'])} 个发布"))
    if told["storage"]["low"]:
        notes.append(console.t("disk low", "磁盘空间不足"))
    return ", ".join(notes) or "—"


def _accuracy(active: list[Any]) -> str:
    found = [health["accuracy"] for health in active if health["accuracy"] is not None]
    return ", ".join(f"{a['value']:.0%} ({a['low']:.0%}–{a['high']:.0%})" for a in found) or "—"


async def show(
    console: Console, node: Annotated[str, typer.Argument(metavar="N", help="Its id or name · 节点")]
) -> None:
    """One node: releases, what it declines and why, and what it counted on each day · 单个节点."""
    async with open_coordinator(console.home) as coordinator:
        row = await coordinator.fleet.node(node, utc_now())
    console.answer(row, lambda: _print_node(console, row))


def _print_node(console: Console, row: Mapping[str, Any]) -> None:
    told = row["heartbeat"]
    console.table(
        [row["name"], row["node"]],
        [
            [console.t("Site", "机构"), row["site"] or "—"],
            [console.t("Last seen", "最近联系"), f"{row['last_seen'] or '—'}  {silence_text(console, row)}"],
            [console.t("Usual pause, days", "通常间隔（天）"), str(row["usual_pause_days"])],
            [console.t("Version", "版本"), "—" if told is None else told["program"]],
        ],
    )
    if told is None:
        console.line("It has not reported how it stands.", "该节点尚未上报运行状况。")
        return
    headings = [
        console.t("release", "发布"),
        console.t("in use", "使用中"),
        console.t("since", "自"),
        console.t("self-test", "自检"),
        console.t("failures", "失败"),
        console.t("recognised", "已识别"),
        *(console.t(*_RATES[rate]) for rate in ("unsure", "not_this_kind_of_image", "poor_quality")),
        console.t("confirmed", "已确认"),
        console.t("confirmed right", "确认正确率"),
    ]
    console.table(headings, [_release(console, health) for health in told["releases"]])
    for decline in told["declined"]:
        console.line(
            f"Declines {decline['release']}: {_reason(decline, 'en')}",
            f"拒绝 {decline['release']}：{_reason(decline, 'zh')}",
        )


def _release(console: Console, health: Mapping[str, Any]) -> list[str]:
    return [
        health["release"],
        console.t("yes", "是") if health["active"] else console.t("no", "否"),
        health["since"][:16],
        health["self_test"],
        str(health["failures"]),
        *map(str, health["outcomes"].values()),
        str(health["confirmed"]),
        _accuracy([health]),
    ]


def _reason(decline: Mapping[str, Any], language: str) -> str:
    reasons = {
        "worse_here": ("worse on this site's own images", "在本机构自有图像上更差"),
        "self_test": ("its self-test failed", "自检未通过"),
        "failed": ("it failed or crashed", "运行失败或崩溃"),
        "by_hand": ("somebody there decided so", "由该机构人员决定"),
    }
    text, detail = reasons[decline["reason"]][language == "zh"], decline["detail"]
    if detail is None:
        return text
    return (
        f"{text}: {detail['candidate']:.3f} / {detail['active']:.3f} "
        f"({detail['low']:+.3f} … {detail['high']:+.3f}; n={detail['n']}, {detail['groups']})"
    )


async def alarms(console: Console) -> None:
    """Sites where a rate has risen against the site's own history · 漂移警报."""
    async with open_coordinator(console.home) as coordinator:
        found = [item.document() for item in await coordinator.fleet.alarms(utc_now())]

    def human() -> None:
        for row in found:
            recent, earlier = (f"{x['count']}/{x['of']} ({x['rate']:.1%})" for x in (row["recent"], row["earlier"]))
            counts = f"{recent} ← {earlier}"
            english, chinese = _RATES[row["rate"]]
            console.line(
                f"{row['site']}, {row['release']}: {english}, last {row['window_days']} days {counts}",
                f"{row['site']}，{row['release']}：{chinese}，最近 {row['window_days']} 天 {counts}",
            )
        if not found:
            console.line("No site has drifted against its own history.", "没有机构偏离其自身历史。")

    console.answer({"alarms": found}, human)
