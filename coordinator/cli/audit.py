"""``audit …``: who did what, and whether the record of it is whole."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from coordinator.audit import record
from coordinator.audit.actor import current
from coordinator.audit.head import HeadFile, read_heads
from coordinator.audit.log import Chosen
from coordinator.bootstrap import open_coordinator, utc_now
from coordinator.cli.targets import check_targets
from coordinator.errors import CoordinatorError
from protocols.console import Console, command

Heads = Annotated[
    list[Path] | None, typer.Option(help="Copies of heads from nodes (medmesh-edge audit heads --out); repeat for each")
]
_WHY_ZH = {
    "edited": "被修改",
    "missing": "缺失",
    "unchained": "与前一行不衔接",
    "truncated": "起的记录被截断",
    "rewritten": "与签名摘要不符",
    "no_head": "没有签名摘要",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="The audit trail · 审计记录")
    app.add_typer(group, name="audit")
    command(group, "list")(list_)
    command(group)(verify)
    command(group)(export)


async def list_(
    console: Console,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC")] = None,
    actor: Annotated[str | None, typer.Option(help="Account, user, token's owner or node · 操作者")] = None,
    act: Annotated[str | None, typer.Option(help="release.rollout, or release for all of them · 操作")] = None,
    subject: Annotated[str | None, typer.Option(help="Data set, model, release, node … · 对象")] = None,
    most: Annotated[int, typer.Option(min=1, max=100_000, help="Most rows · 最多行数")] = 100,
) -> None:
    """Who did what, newest first."""
    chosen = Chosen(None if since is None else since.replace(tzinfo=UTC), actor, act, subject)
    async with open_coordinator(console.home) as coordinator:
        rows = [row.document() for row in await coordinator.trail.newest(chosen, most)]
    console.answer(
        {"acts": rows},
        lambda: console.table(
            [
                "#",
                console.t("when", "时间"),
                console.t("who", "操作者"),
                console.t("act", "操作"),
                console.t("on", "对象"),
                "",
            ],
            [
                [
                    r["number"],
                    r["at"][:19].replace("T", " "),
                    f"{r['actor']['name'] or '—'} ({r['actor']['kind']})",
                    r["act"],
                    r["subject"],
                    ", ".join(f"{k}: {v}" for k, v in r["detail"].items())[:120],
                ]
                for r in rows
            ],
        ),
    )


async def verify(
    console: Console,
    heads: Heads = None,
    file: Annotated[Path | None, typer.Option(help="An export instead of the store; needs no coordinator")] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="medmesh-key1.… of the online key, to check --file with")
    ] = None,
) -> None:
    """Check that no row was edited, deleted, moved or cut off; with --heads also against what nodes remember."""
    from coordinator.audit import checking
    from coordinator.releases import keys

    copies = [envelope for path in heads or () for envelope in read_heads(path)]
    source = ", ".join(path.name for path in heads or ())
    if file is not None:
        known = {k.keyid: k for k in map(keys.from_line, key)} if key else None
        verdict = checking.verify_file(file, known, copies)
    else:
        async with open_coordinator(console.home) as coordinator:
            repository = coordinator.releases.repository
            verdict = await checking.verify(coordinator.trail, HeadFile(coordinator.home), repository, copies, source)
    document = verdict.document()
    if verdict.findings:
        if console.json:
            console.answer(document, lambda: None)
        for finding in verdict.findings[1:6]:
            console.say(
                f"also row {finding.row}: {finding.why} ({finding.detail})",
                f"另有第 {finding.row} 行：{_WHY_ZH[finding.why]}（{finding.detail}）",
            )
        first = verdict.findings[0]
        why = first.why if console.language == "en" else _WHY_ZH[first.why]
        raise CoordinatorError("audit.broken", row=first.row, why=why, detail=first.detail)

    def human() -> None:
        console.line(
            f"{document['rows']} rows, whole and in order; {document['heads_compared']} head(s) compared.",
            f"共 {document['rows']} 行，完整且次序正确；已对比 {document['heads_compared']} 个摘要。",
        )
        if verdict.signer == "unchecked":
            console.line(
                "! Whose signature it is was not checked: give the coordinator's line with --key.",
                "! 未核对签名者：请用 --key 提供协调器的公钥行。",
            )

    console.answer(document, human)


async def export(
    console: Console,
    out: Annotated[Path, typer.Argument(help="File to write, JSON Lines · 输出文件")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite · 覆盖")] = False,
) -> None:
    """Write the whole trail with its signed head; audit verify --file checks it anywhere."""
    from coordinator.audit import checking

    check_targets(out)
    if out.exists() and not force:
        raise CoordinatorError("audit.exists", path=out)
    async with open_coordinator(console.home) as coordinator:
        async with coordinator.database.begin() as connection:
            await record(connection, current.get(), "audit.export", "audit", {}, utc_now())
        repository, head = coordinator.releases.repository, HeadFile(coordinator.home)
        rows = await checking.export(coordinator.trail, head, repository, out)
        lines = checking.signer_lines(repository)
    answer: dict[str, Any] = {"path": str(out), "rows": rows, "keys": lines}

    def human() -> None:
        console.line(f"{rows} rows → {out}", f"{rows} 行 → {out}")
        for line in lines:
            console.line(f"  check it with --key {line}", f"  校验时使用 --key {line}")

    console.answer(answer, human)
