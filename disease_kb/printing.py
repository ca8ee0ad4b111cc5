"""What ``medmesh-kb`` prints for people, and the documents that its commands share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from disease_kb.changes import EntryChange, ImportPlan
from disease_kb.diagnosis import diagnosis_aid
from disease_kb.errors import KnowledgeBaseError
from disease_kb.importers import Incoming
from disease_kb.model import Entry
from disease_kb.search import Hit
from disease_kb.validate import Report
from protocols.console import NOTICE, Console
from protocols.errors import Language

_DRAFT: dict[Language, str] = {
    "en": "Draft: not reviewed by a clinician.",
    "zh": "草稿：未经临床医生审核。",
}
_SECTIONS = (
    ("symptoms", "Symptoms", "症状"),
    ("image_signs", "Signs on images", "影像表现"),
    ("red_flags", "Red flags", "危险信号"),
    ("differential", "Differential diagnosis", "鉴别诊断"),
    ("management", "Management", "处理"),
    ("prevention", "Prevention", "预防"),
)
_SHOWN_CHANGES = 12


def problem_document(problem: KnowledgeBaseError, language: Language) -> dict[str, Any]:
    """Return a broken rule as ``validate --json`` and ``import --json`` list it."""
    details = problem.details
    place: dict[str, Any] = {key: str(details[key]) for key in ("entry", "where") if key in details}
    if "row" in details:
        place["row"] = details["row"]
    return {"code": problem.code, **place, "reason": problem.message(language), "remedy": problem.remedy(language)}


def entry_document(entry: Entry) -> dict[str, Any]:
    """Return an entry as ``show --json`` prints it: the diagnosis aid and where the entry comes from."""
    synonyms = entry.of("synonym")
    return {
        **diagnosis_aid(entry),
        "synonyms": {
            "zh": [text.zh for text in synonyms if text.zh],
            "en": [text.en for text in synonyms if text.en],
        },
        "labels": [{"label": m.label, "match": m.match, "context": m.context} for m in entry.labels],
        "parents": list(entry.parents),
        "version": entry.version,
        "updated": entry.updated.isoformat(),
        "licence": entry.licence,
        "provenance": entry.provenance,
        "review": {
            "status": entry.review.status,
            "by": entry.review.by,
            "on": entry.review.on.isoformat() if entry.review.on else "",
        },
        "notice": NOTICE["en"],
    }


def hits(console: Console, found: Sequence[Hit]) -> None:
    """Print search results."""
    if not found:
        console.line("Nothing found.", "没有找到。")
        return
    headings = ["ID", console.t("Name", "名称"), console.t("Codes", "编码"), console.t("Match", "匹配")]
    rows = []
    for hit in found:
        name = f"{hit.name['zh']} · {hit.name['en']}".strip(" ·")
        shown = hit.snippets[0].text if hit.snippets and hit.snippets[0].field != "name" else ""
        rows.append(
            [hit.id, f"{name}\n{shown}".strip(), " ".join(c.code for c in hit.codes[:3]), f"{hit.score:.2f} {hit.how}"]
        )
    console.table(headings, rows)
    if any(hit.review_status == "draft" for hit in found):
        console.line("Entries are drafts, not reviewed by a clinician.", "条目为草稿，未经临床医生审核。")


def entry(console: Console, shown: Entry) -> None:
    """Print one entry in the user's language."""
    aid = diagnosis_aid(shown)
    language = console.language
    console.line(f"{shown.name.en} · {shown.name.zh}  ({shown.id})", f"{shown.name.zh} · {shown.name.en}  ({shown.id})")
    if shown.review.status == "draft":
        console.line(_DRAFT["en"], _DRAFT["zh"])
    else:
        signed = f"{shown.review.status}, {shown.review.by}, {shown.review.on}"
        console.line(signed, signed)
    codes = ", ".join(f"{code.system} {code.code}" for code in shown.codes)
    console.line(f"Codes: {codes}", f"编码：{codes}")
    reason = aid["urgency_reason"][language]
    console.line(f"Urgency: {aid['urgency']}. {reason}", f"紧急程度：{aid['urgency']}。{reason}")
    definition = aid["definition"][language]
    console.line(f"\n{definition}", f"\n{definition}")
    for key, english, chinese in _SECTIONS:
        if aid[key][language]:
            console.line(f"\n{english}", f"\n{chinese}")
            for text in aid[key][language]:
                console.line(f"  - {text}", f"  - {text}")
    console.line("\nSources", "\n来源")
    for source in shown.citations:
        line = f"  - {source.title}. {source.publisher}, {source.year}"
        console.line(line, line)
    console.line(f"\n{NOTICE['en']}", f"\n{NOTICE['zh']}")


def report(console: Console, found: Report, problems: Sequence[KnowledgeBaseError]) -> None:
    """Print the result of ``validate``."""
    for problem in problems:
        console.line(
            f"{problem.message('en')} {problem.remedy('en')}", f"{problem.message('zh')}{problem.remedy('zh')}"
        )
    languages = ", ".join(found.languages)
    console.line(
        f"{found.entries} entries, complete in: {languages or 'no language'}; {len(problems)} errors; "
        f"{found.unreviewed} not reviewed by a clinician",
        f"{found.entries} 个条目，语言完整：{languages or '无'}；"
        f"{len(problems)} 处错误；{found.unreviewed} 个未经临床审核",
    )
    if not found.codes_checked:
        console.line(
            "ICD-10-CM codes were not checked: simple-icd-10-cm is not installed.",
            "未核对 ICD-10-CM 编码：没有安装 simple-icd-10-cm。",
        )


def plan(console: Console, incoming: Incoming, planned: ImportPlan, dry_run: bool) -> None:
    """Print what an import did or would do."""
    for problem in incoming.problems:
        console.line(problem.message("en"), problem.message("zh"))
    if incoming.encoding != "utf-8":
        console.line(f"Read as {incoming.encoding}.", f"按 {incoming.encoding} 编码读取。")
    changes(console, [*planned.changes, *planned.conflicts])
    summary = f"{len(planned.changes)} / {len(planned.unchanged)} / {len(planned.conflicts)}"
    console.line(f"changed / unchanged / conflicts: {summary}", f"变化 / 相同 / 冲突：{summary}")
    if dry_run:
        console.line("Dry run: nothing was written.", "试运行：没有写入任何内容。")


def changes(console: Console, found: Iterable[EntryChange]) -> None:
    """Print how entries differ."""
    for change in found:
        reason = f" ({change.reason})" if change.reason else ""
        console.line(f"{change.kind}: {change.id}{reason}", f"{change.kind}：{change.id}{reason}")
        for detail in change.changes[:_SHOWN_CHANGES]:
            console.line(f"  {detail.where}", f"  {detail.where}")
            for mark, value in (("-", detail.before), ("+", detail.after)):
                if value:
                    console.line(f"    {mark} {value}", f"    {mark} {value}")
        if (more := len(change.changes) - _SHOWN_CHANGES) > 0:
            console.line(f"  and {more} more", f"  另有 {more} 处")


def built(console: Console, document: dict[str, Any]) -> None:
    """Print what ``build`` did."""
    count, version, kept = document["entries"], document["kb_version"], ", ".join(document["kept"])
    console.line(
        f"{count} entries, version {version}: {document['path']}", f"{count} 个条目，版本 {version}：{document['path']}"
    )
    if kept:
        console.line(f"Kept as edited here: {kept}", f"保留本地修改：{kept}")
    if document["set_aside"]:
        console.line(f"The former file is {document['set_aside']}", f"原文件另存为 {document['set_aside']}")


def drafts(console: Console, found: Sequence[Entry]) -> None:
    """Print the entries that wait for a review."""
    rows = [[e.id, e.kind, f"{e.name.zh} · {e.name.en}", e.updated.isoformat()] for e in found]
    headings = ["ID", console.t("Kind", "类别"), console.t("Name", "名称"), console.t("Updated", "更新")]
    console.table(
        headings, rows, title=console.t(f"{len(found)} entries wait for review", f"{len(found)} 个条目待审核")
    )
