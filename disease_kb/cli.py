"""``medmesh-kb``: search, check, exchange and review the disease knowledge base."""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from disease_kb import printing
from disease_kb.changes import by_id, diff, plan_import
from disease_kb.connection import set_aside
from disease_kb.document import digest
from disease_kb.errors import ConflictError, InvalidEntryError, NotFoundError
from disease_kb.exporters.files import export_to
from disease_kb.importers import Incoming, read_source
from disease_kb.model import Entry
from disease_kb.review import review as reviewed
from disease_kb.seeding import database_path, open_or_build, refresh, seed_entries
from disease_kb.validate import validate as check
from protocols.console import Console, command, run

app = typer.Typer(
    help="Disease knowledge base, in Chinese and English. Research use only · 疾病知识库，仅供研究使用",
    no_args_is_help=True,
    add_completion=False,
)


class ImportFormat(StrEnum):
    """What ``import`` reads."""

    NATIVE = "native"
    CSV = "csv"
    OBO = "obo"
    REPLICA = "replica"


class ExportFormat(StrEnum):
    """What ``export`` writes."""

    NATIVE = "native"
    CSV = "csv"
    HTML = "html"
    REPLICA = "replica"


class Status(StrEnum):
    """What ``review`` may set."""

    DRAFT = "draft"
    REVIEWED = "reviewed"
    RETIRED = "retired"


@command(app)
async def search(
    console: Console,
    text: str,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most results · 最多条数")] = 20,
) -> None:
    """Search names, synonyms, codes and texts in Chinese or English · 搜索名称、别名、编码和正文."""
    async with await open_or_build(console.home) as kb:
        hits = await kb.search(text, limit)
        document = {"query": text, "kb_version": await kb.version(), "results": [hit.document() for hit in hits]}
    console.answer(document, lambda: printing.hits(console, hits))


@command(app)
async def show(console: Console, entry_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Show one entry · 显示一个条目."""
    async with await open_or_build(console.home) as kb:
        entry = await kb.get(entry_id) or _missing(entry_id)
        version = await kb.version()
    document = {**printing.entry_document(entry), "kb_version": version}
    console.answer(document, lambda: printing.entry(console, entry))


@command(app)
async def validate(
    console: Console,
    source: Annotated[Path | None, typer.Argument(help="A file or folder instead of the home · 文件或目录")] = None,
) -> None:
    """Check every rule of the format; exits 3 if one is broken · 校验全部规则."""
    incoming = read_source(source) if source else Incoming(tuple(await _entries(console.home)))
    report = check(incoming.entries)
    problems = [*incoming.problems, *report.problems]
    document = {
        "entries": report.entries,
        "languages": list(report.languages),
        "errors": [printing.problem_document(problem, console.language) for problem in problems],
        "unreviewed": report.unreviewed,
        "icd_10_cm_checked": report.codes_checked,
    }
    console.answer(document, lambda: printing.report(console, report, problems))
    if problems:
        raise InvalidEntryError("kb.invalid", count=len(problems))


@command(app, "import")
async def import_(
    console: Console,
    source: Annotated[Path, typer.Argument(metavar="FILE", help="File or folder · 文件或目录")],
    form: Annotated[
        ImportFormat | None, typer.Option("--format", help="Default: by the file's name · 默认按文件名")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change · 只显示变化")] = False,
    replace: Annotated[
        list[str] | None, typer.Option(help="Replace this entry despite the conflict · 确认替换")
    ] = None,
    keep_present: Annotated[bool, typer.Option(help="Leave conflicting entries as they are · 冲突时保留现有")] = False,
) -> None:
    """Add or update entries; nothing present is overwritten silently · 导入条目，不会悄悄覆盖."""
    incoming = read_source(source, form.value if form else None)
    async with await open_or_build(console.home) as kb:
        present = by_id(await kb.entries())
        plan = plan_import(present, incoming.entries if not incoming.problems else (), replace or ())
        blocked = bool(incoming.problems) or (bool(plan.conflicts) and not keep_present)
        written = not dry_run and not blocked
        document = {
            "dry_run": dry_run,
            "imported": len(plan.write) if written else 0,
            "encoding": incoming.encoding,
            "changes": [change.document() for change in plan.changes],
            "unchanged": len(plan.unchanged),
            "conflicts": [conflict.document() for conflict in plan.conflicts],
            "bad": [printing.problem_document(problem, console.language) for problem in incoming.problems],
        }
        if written:
            await kb.write(plan.write, expected={name: digest(entry) for name, entry in present.items()})
        console.answer(document, lambda: printing.plan(console, incoming, plan, dry_run))
    if incoming.problems:
        first = incoming.problems[0].message(console.language)
        raise InvalidEntryError("kb.import.bad_rows", count=len(incoming.problems), first=first)
    if blocked and not dry_run:
        names = ", ".join(conflict.id for conflict in plan.conflicts[:10])
        raise ConflictError("kb.import.conflict", count=len(plan.conflicts), entries=names)


@command(app)
async def export(
    console: Console,
    out: Annotated[Path | None, typer.Argument(metavar="[OUT]", help="File, or folder for native · 目标")] = None,
    form: Annotated[ExportFormat, typer.Option("--format")] = ExportFormat.NATIVE,
    force: Annotated[bool, typer.Option("--force", help="Overwrite · 覆盖")] = False,
) -> None:
    """Write all entries: a native folder, one CSV table, a page for reviewers, or a replica · 导出."""
    async with await open_or_build(console.home) as kb:
        entries, version = await kb.entries(), await kb.version()
    path = export_to(out, form.value, entries, version, force=force)
    document = {"path": str(path), "format": form.value, "entries": len(entries), "kb_version": version}
    console.answer(
        document, lambda: console.line(f"{len(entries)} entries → {path}", f"{len(entries)} 个条目 → {path}")
    )


@command(app)
async def build(
    console: Console,
    anew: Annotated[bool, typer.Option("--anew", help="Set the present file aside first · 先另存现有文件")] = False,
) -> None:
    """Build the knowledge base from the packaged seed, or refresh entries not edited here · 从种子构建或更新."""
    aside = set_aside(database_path(console.home)) if anew else None
    async with await open_or_build(console.home) as kb:
        done = await refresh(kb)
        version, count = await kb.version(), len(await kb.digests())
    document = {
        "path": str(database_path(console.home)),
        "entries": count,
        "kb_version": version,
        "updated": list(done.added + done.updated),
        "removed": list(done.removed),
        "kept": list(done.kept),
        "set_aside": str(aside) if aside else None,
    }
    console.answer(document, lambda: printing.built(console, document))


@command(app, "diff")
async def diff_(
    console: Console,
    a: Annotated[
        str, typer.Argument(metavar="A", help="A file, a folder, or the words home or seed · 文件、目录、home 或 seed")
    ],
    b: Annotated[str, typer.Argument(metavar="B")],
) -> None:
    """Show how two sets of entries differ · 比较两组条目."""
    before, after = [by_id(await _side(console.home, side)) for side in (a, b)]
    changes = diff(before, after)
    document = {"changes": [change.document() for change in changes], "same": not changes}
    console.answer(document, lambda: printing.changes(console, changes))


@command(app)
async def review(
    console: Console,
    entry_id: Annotated[str, typer.Argument(metavar="ID")],
    by: Annotated[str, typer.Option("--by", help="The clinician's name · 审核医生姓名")],
    on: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Default: today · 默认今天")] = None,
    status: Annotated[Status, typer.Option(help="draft | reviewed | retired")] = Status.REVIEWED,
    translations: Annotated[bool, typer.Option(help="Both languages were read · 两种语言均已核对")] = False,
) -> None:
    """Record a clinician's review of an entry · 记录临床医生的审核."""
    day: date = on.date() if on else datetime.now(UTC).date()
    async with await open_or_build(console.home) as kb:
        entry = await kb.get(entry_id) or _missing(entry_id)
        changed = reviewed(entry, status.value, by, day, translations=translations)
        await kb.write([changed], expected={entry.id: digest(entry)})
    recorded = changed.review
    document = {
        "id": changed.id,
        "review": {"status": recorded.status, "by": recorded.by, "on": recorded.on.isoformat() if recorded.on else ""},
    }
    console.answer(
        document, lambda: console.line(f"{changed.id}: {recorded.status}", f"{changed.id}：{recorded.status}")
    )


@command(app)
async def unreviewed(console: Console) -> None:
    """List the entries that no clinician has reviewed · 列出未审核的条目."""
    drafts = [entry for entry in await _entries(console.home) if entry.review.status == "draft"]
    rows: list[dict[str, Any]] = [
        {"id": e.id, "kind": e.kind, "name": {"zh": e.name.zh, "en": e.name.en}, "updated": e.updated.isoformat()}
        for e in drafts
    ]
    console.answer({"unreviewed": rows}, lambda: printing.drafts(console, drafts))


async def _entries(home: Path) -> list[Entry]:
    async with await open_or_build(home) as kb:
        return await kb.entries()


async def _side(home: Path, side: str) -> list[Entry]:
    if side == "home":
        return await _entries(home)
    if side == "seed":
        return seed_entries()
    incoming = read_source(Path(side))
    if incoming.problems:
        raise incoming.problems[0]
    return list(incoming.entries)


def _missing(entry_id: str) -> Entry:
    raise NotFoundError("kb.entry.not_found", entry=entry_id[:80])


def main() -> None:
    """Entry point of ``medmesh-kb``."""
    run(app)


if __name__ == "__main__":
    main()
