"""``release …`` and ``kb publish``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import click
import typer

from coordinator.bootstrap import Coordinator, open_coordinator, utc_now
from coordinator.cli.rollout_plans import names_of, staged_plan
from coordinator.errors import CoordinatorError
from coordinator.releases import asking, keys
from coordinator.releases.stages import USUAL
from coordinator.store.blobs import FolderBlobs
from protocols.console import Console, command

Name = Annotated[str, typer.Argument(help="model or model@version")]
MAX_TEXT = 4000


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Releases · 发布")
    app.add_typer(group, name="release")
    command(group, "list")(list_)
    for function in (propose, approve, rollout, pause, resume, rollback, withdraw, show, mirror):
        command(group)(function)
    knowledge = typer.Typer(no_args_is_help=True, help="Knowledge base · 知识库")
    app.add_typer(knowledge, name="kb")
    command(knowledge, "publish")(publish)


def _print(console: Console, document: dict[str, Any]) -> None:
    reach = f"{document['percent']} %" + (f" + {', '.join(document['groups'])}" if document["groups"] else "")
    console.line(
        f"{document['release']} ({document['disease']}): {document['state']}, {reach} · "
        f"approvals {len(document['approvals'])} of {document['approvals_needed']}",
        f"{document['release']}（{document['disease']}）：{document['state']}，{reach} · "
        f"批准 {len(document['approvals'])}/{document['approvals_needed']}",
    )
    if document.get("rollout"):
        _print_rollout(console, document["rollout"])
    if document["reason"]:
        console.line(f"  reason: {document['reason']}", f"  原因：{document['reason']}")
    for gate in document["gates"]:
        mark = "✓" if gate["ok"] else "✗"
        finding_zh = gate.get("detail_zh") or gate["detail"]  # of earlier versions: in English alone
        console.line(f"  {mark} {gate['name']}: {gate['detail']}", f"  {mark} {gate['name']}：{finding_zh}")


def _print_rollout(console: Console, rollout: dict[str, Any]) -> None:
    console.line(
        f"  stage {rollout['stage']} ({rollout['number']} of {rollout['stages']}) since {rollout['since']}, "
        f"plan {rollout['plan']['stages']}",
        f"  阶段 {rollout['stage']}（{rollout['number']}/{rollout['stages']}），始于 {rollout['since']}，"
        f"计划 {rollout['plan']['stages']}",
    )
    head = ("  stopped by itself: ", "  已自动暂停：") if rollout["decision"] == "pause" else ("  waits: ", "  等待：")
    for reason in rollout["reasons"]:
        console.line(head[0] + reason["text"]["en"], head[1] + reason["text"]["zh"])
    if rollout["overdue"]:
        console.line(
            "  It has waited longer than its plan allows: look at the silent sites, then release rollout --next, or withdraw.",
            "  等待已超过计划时限：请查看无消息的站点，然后使用 release rollout --next 或 withdraw。",
        )


def _print_sites(console: Console, sites: list[dict[str, Any]]) -> None:
    for site in sites:
        if not site["reached"] and site["state"] in ("silent", "waiting"):
            continue
        counts = site["counts"]
        results = sum(counts[n] for n in ("recognised", "unsure", "not_this_kind_of_image", "poor_quality"))
        name, seen = f"{site['site'] or '-'} {site['node']}", site["last_seen"] or "-"
        console.line(
            f"    {name}: {site['state']}, {results} results, {counts['unsure']} unsure, heard {seen}",
            f"    {name}：{_STATES[site['state']]}，{results} 个结果，{counts['unsure']} 个不确定，最近消息 {seen}",
        )


_STATES = {"silent": "无消息", "waiting": "尚未启用", "running": "运行中", "failed": "失败", "declined": "已拒绝"}


async def propose(
    console: Console,
    model: Name,
    notes: Annotated[str, typer.Option(help="Release notes · 发布说明")] = "",
    allow_unmapped: Annotated[str | None, typer.Option(help="Why labels without an entry are released")] = None,
    accept_worse: Annotated[
        str | None,
        typer.Option(
            help="Why it is released though worse than, or not comparable with, the current release or best site"
        ),
    ] = None,
    floor: Annotated[bool, typer.Option("--floor", help="Once active, no earlier version may come back")] = False,
) -> None:
    """Put a model version up for approval."""
    if len(notes) > MAX_TEXT or max(len(allow_unmapped or ""), len(accept_worse or "")) > 500:
        raise click.BadParameter(f"notes take {MAX_TEXT} characters, a reason 500")

    def converting() -> None:
        console.say(
            "Converting the trunk a second time to compare; half a minute, once for each trunk.",
            "正在再次转换主干以作比较；约半分钟，每个主干只需一次。",
        )

    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.releases.propose(
            model, notes, allow_unmapped, floor, utc_now(), converting, accept_worse
        )
    console.answer(document, lambda: _print(console, document))


async def approve(
    console: Console,
    release: Annotated[str, typer.Argument(help="model, model@version, or the line that the release's page shows")],
    key: Annotated[Path | None, typer.Option(help="Your approver's key")] = None,
    at: Annotated[str | None, typer.Option(help="https://… of a coordinator on another machine")] = None,
    ca: Annotated[str | None, typer.Option(help="That coordinator's fingerprint (key list)")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
) -> None:
    """Approve a proposed release with your own key, here or on another machine's coordinator."""
    digest = None
    if release.strip().startswith(asking.PREFIX):
        asked = asking.Asked.decode(release)
        release, at, ca, digest = asked.release, at or asked.url, ca or asked.ca_sha256, asked.digest
    if at is None:
        async with open_coordinator(console.home) as coordinator:
            document = await coordinator.releases.approve(release, key, utc_now())
        console.answer(document, lambda: _print(console, document))
        return
    if key is None or ca is None:
        raise click.BadParameter("--at needs --key FILE and --ca FINGERPRINT")
    from coordinator.releases import remote

    channel = remote.Channel(at, ca)
    request = remote.fetch(channel, release, digest)
    if not console.json and not yes:
        _describe(console, request.release, request.document, request.others)
        typer.confirm(console.t("Sign this release?", "签署此发布？"), abort=True)
    document = remote.approve(channel, request, key)
    console.answer(document, lambda: _print(console, document))


def _describe(console: Console, release: str, document: dict[str, Any], others: list[str]) -> None:
    metrics = document.get("metrics", {}).get("balanced_accuracy", {})
    console.line(
        f"{release}: disease {document.get('disease', 'knowledge base')}, "
        f"labels {', '.join(x['label'] for x in document.get('labels', []))}, "
        f"balanced accuracy {metrics.get('value', '—')} ({metrics.get('low', '—')} to {metrics.get('high', '—')})",
        f"{release}：疾病 {document.get('disease', '知识库')}，"
        f"标签 {', '.join(x['label'] for x in document.get('labels', []))}，"
        f"平衡准确率 {metrics.get('value', '—')}（{metrics.get('low', '—')}–{metrics.get('high', '—')}）",
    )
    if others:
        console.line(
            f"The same signature keeps {len(others)} earlier release(s): {', '.join(others)}",
            f"同一签名保留 {len(others)} 个已有发布：{', '.join(others)}",
        )


async def rollout(
    console: Console,
    release: Name,
    percent: Annotated[
        int | None, typer.Option(min=0, max=100, help="Share of the nodes, at once; of a plan: where it ends")
    ] = None,
    groups: Annotated[str, typer.Option(help="Groups of sites that get it whatever the percentage, a,b")] = "",
    canary: Annotated[str, typer.Option(help="Groups of sites that try it first, a,b; it goes on by itself")] = "",
    plan: Annotated[
        str | None, typer.Option(help=f"Stages, or a file with them; with --canary usually {USUAL}")
    ] = None,
    policy: Annotated[list[str] | None, typer.Option(help="Setting of the plan, least_nodes=5; repeatable")] = None,
    next_: Annotated[bool, typer.Option("--next", help="Go to the plan's next stage now")] = False,
) -> None:
    """Offer an approved release to nodes: at once, or in stages that go on by themselves and stop at bad news."""
    if next_ and (percent is not None or groups or canary or plan or policy):
        raise click.BadParameter("--next takes nothing else")
    if canary and groups:
        raise click.BadParameter("--canary and --groups exclude each other: groups of a plan are its canaries")
    if policy and not (canary or plan):
        raise click.BadParameter("--policy belongs to a plan: give --canary or --plan")
    staged = staged_plan(canary or groups, plan, percent, policy or []) if canary or plan else None
    async with open_coordinator(console.home) as coordinator:
        if next_:
            document = await coordinator.rollouts.next(release, utc_now())
        else:
            await _publish_knowledge(console, coordinator)
            if staged is not None:
                document = await coordinator.rollouts.start(release, staged, utc_now())
            else:
                reach = 100 if percent is None else percent
                document = await coordinator.releases.rollout(release, reach, names_of(groups), utc_now())
    console.answer(document, lambda: _print(console, document))


async def _publish_knowledge(console: Console, coordinator: Coordinator) -> dict[str, Any] | None:
    """Bring the knowledge base of this moment to the nodes: at once with a single approver here, else as a proposal."""
    from disease_kb.seeding import open_or_build

    async with await open_or_build(console.home) as knowledge:
        proposed = await coordinator.releases.propose_knowledge(knowledge, utc_now())
    if proposed is None:
        return None
    if coordinator.releases.repository.threshold() == 1 and len(keys.approver_paths(coordinator.home)) == 1:
        await coordinator.releases.approve(proposed["release"], None, utc_now())
        return await coordinator.releases.rollout(proposed["release"], 100, (), utc_now())
    console.say(
        f"The knowledge base has changed; {proposed['release']} waits for approval.",
        f"知识库有更新；{proposed['release']} 等待批准。",
    )
    return proposed


async def pause(console: Console, release: Name) -> None:
    """Freeze a model where it is; nodes keep what they have."""
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.releases.pause(release, utc_now())
    console.answer(document, lambda: _print(console, document))


async def resume(console: Console, release: Name) -> None:
    """Go on after a pause."""
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.releases.resume(release, utc_now())
    console.answer(document, lambda: _print(console, document))


async def rollback(console: Console, release: Name) -> None:
    """Send nodes back to the release before this one."""
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.releases.rollback(release, utc_now())
    console.answer(document, lambda: _print(console, document))


async def withdraw(
    console: Console,
    release: Name,
    reason: Annotated[str, typer.Option(help="Shown at every node that has it")],
) -> None:
    """Revoke a release for good; nodes stop using it and show the reason."""
    if not reason.strip() or len(reason) > 500 or not reason.isprintable():
        raise CoordinatorError("usage", problem="--reason takes 1 to 500 printable characters")
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.releases.withdraw(release, reason.strip(), utc_now())
    console.answer(document, lambda: _print(console, document))


async def show(console: Console, release: Name) -> None:
    """One release: gates and approvals, its stage and what that waits for, and how each node stands."""
    async with open_coordinator(console.home) as coordinator:
        try:
            document = await coordinator.rollouts.show(release, utc_now())
        except CoordinatorError as error:
            document = await _draft(coordinator, release, error)

    def human() -> None:
        _print(console, document)
        _print_sites(console, document["sites"])

    console.answer(document, human)


async def _draft(coordinator: Coordinator, name: str, error: CoordinatorError) -> dict[str, Any]:
    """A version that nobody has proposed yet; anything else is the error that it was."""
    versions = [f"{row['model']}@{row['version']}" for row in await coordinator.models.list()]
    if error.code != "release.unknown" or name not in (*versions, *(v.split("@")[0] for v in versions)):
        raise error
    manifest = await coordinator.models.manifest(name)
    return {
        "release": manifest.name,
        "disease": manifest.disease,
        "model": manifest.model,
        "version": manifest.version,
        "state": "draft",
        "stage": "draft",
        "percent": 0,
        "groups": [],
        "reason": "",
        "notes": "",
        "gates": [],
        "approvals": [],
        "approvals_needed": coordinator.releases.repository.threshold(),
        "rollout": None,
        "sites": [],
    }


async def mirror(
    console: Console, folder: Annotated[Path, typer.Argument(help="Folder that a plain file server serves · 静态目录")]
) -> None:
    """Bring a static copy of what nodes fetch up to date, for a file server or CDN; run it daily."""
    from coordinator.releases.mirror import write_mirror

    async with open_coordinator(console.home) as coordinator:
        blobs = FolderBlobs(coordinator.home.artifacts)
        written = await asyncio.to_thread(write_mirror, coordinator.releases.repository, blobs, folder)
    console.answer(
        {"folder": str(folder), **written.document()},
        lambda: console.line(
            f"{folder} holds list number {written.serial}; {written.copied} of {written.files} files were written "
            f"({written.copied_bytes} bytes).",
            f"{folder} 已更新到第 {written.serial} 号列表；{written.files} 个文件中写入 {written.copied} 个"
            f"（{written.copied_bytes} 字节）。",
        ),
    )


async def list_(console: Console) -> None:
    """All releases."""
    async with open_coordinator(console.home) as coordinator:
        rows = await coordinator.releases.all()

    def human() -> None:
        for row in rows:
            _print(console, row)

    console.answer({"releases": rows}, human)


async def publish(console: Console) -> None:
    """Publish the knowledge base of this moment to the nodes, or propose it where approvals are needed."""
    async with open_coordinator(console.home) as coordinator:
        document = await _publish_knowledge(console, coordinator)
    answer = document or {"release": None, "state": "unchanged"}
    console.answer(
        answer,
        lambda: console.line(
            f"Knowledge base {answer['release'] or ''}: {answer['state']}.",
            f"知识库 {answer['release'] or ''}：{answer['state']}。",
        ),
    )
