"""One static page on which a clinician reads every entry: no script, nothing fetched, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from disease_kb.model import FIELDS, Entry, Text

_HEADINGS = {
    "name": "名称 · Name",
    "synonym": "别名 · Synonyms",
    "definition": "定义 · Definition",
    "symptom": "症状 · Symptoms",
    "image_sign": "影像表现 · Signs on images",
    "red_flag": "危险信号 · Red flags",
    "differential": "鉴别诊断 · Differential diagnosis",
    "management": "处理 · Management",
    "prevention": "预防 · Prevention",
}
_STYLE = """
body { font: 16px/1.5 system-ui, "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; margin: 2rem auto; max-width: 70rem;
  padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; width: 100%; } td, th { border: 1px solid #bbb; padding: .4rem .6rem;
  vertical-align: top; text-align: left; } td:nth-child(-n+2) { width: 44%; }
.draft { background: #fff3cd; border: 1px solid #b58900; padding: .3rem .6rem; } .reviewed { background: #e3f4e3;
  padding: .3rem .6rem; } .retired { background: #eee; padding: .3rem .6rem; text-decoration: line-through; }
small { color: #555; } section { break-before: page; }
"""
_STATUS = {
    "draft": "草稿，未经临床医生审核 · Draft, not reviewed by a clinician",
    "reviewed": "已审核 · Reviewed",
    "retired": "已停用 · Retired",
}


def review_page(entries: Iterable[Entry], version: str) -> str:
    """Return the page as HTML 5 text; ``version`` is the knowledge base's content hash."""
    entries = sorted(entries, key=lambda entry: entry.id)
    items = "".join(
        f'<li><a href="#{escape(e.id)}">{escape(e.name.zh)} · {escape(e.name.en)}</a> '
        f"<small>{escape(e.id)}, {escape(e.review.status)}</small></li>\n"
        for e in entries
    )
    return (
        '<!doctype html>\n<html lang="zh"><head><meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width">\n<title>MedMesh 疾病知识库</title>\n'
        f"<style>{_STYLE}</style></head><body>\n<h1>疾病知识库 · Disease knowledge base</h1>\n"
        "<p>仅供研究使用，不能代替临床医生诊断。 · Research use only; not for diagnosis without a clinician.</p>\n"
        f"<p>版本 · Version <code>{escape(version)}</code>, {len(entries)} 条 · entries</p>\n<ol>\n{items}</ol>\n"
        + "".join(_section(entry) for entry in entries)
        + "</body></html>\n"
    )


def _section(entry: Entry) -> str:
    review = entry.review
    signed = f" {escape(review.by)} {review.on.isoformat() if review.on else ''}" if review.by else ""
    codes = ", ".join(escape(f"{code.system} {code.code} ({code.match})") for code in entry.codes)
    labels = ", ".join(escape(m.label + (f" [{m.context}]" if m.context else "")) for m in entry.labels)
    urgency = ""
    if entry.urgency:
        u = entry.urgency
        urgency = _table(f"紧急程度 · Urgency: {u.level}", [Text("definition", u.zh, u.en, cite=u.cite)])
    tables = "".join(_table(_HEADINGS[field], entry.of(field)) for field in FIELDS)
    sources = "".join(
        f"<li><code>{escape(c.key)}</code> {escape(c.title)}. {escape(c.publisher)}, {c.year} ({escape(c.kind)})</li>\n"
        for c in entry.citations
    )
    return (
        f'<section id="{escape(entry.id)}">\n<h2>{escape(entry.name.zh)} · {escape(entry.name.en)}</h2>\n'
        f'<p class="{escape(review.status)}">{_STATUS[review.status]}{signed}</p>\n'
        f"<p><small>{escape(entry.id)}, {escape(entry.kind)}, v{entry.version}, {entry.updated.isoformat()}, "
        f"{escape(entry.licence)}. {escape(entry.provenance)}</small></p>\n"
        f"<p>{codes}</p>\n<p><small>{labels}</small></p>\n{urgency}{tables}"
        f"<h3>来源 · Sources</h3>\n<ul>\n{sources}</ul>\n"
        "</section>\n"
    )


def _table(heading: str, texts: Iterable[Text]) -> str:
    rows = "".join(
        f"<tr><td>{escape(text.zh)}</td><td>{escape(text.en)}</td><td><small>{escape(_remarks(text))}</small></td></tr>\n"
        for text in texts
    )
    return f"<h3>{escape(heading)}</h3>\n<table>\n{rows}</table>\n" if rows else ""


def _remarks(text: Text) -> str:
    return ", ".join(filter(None, (*text.cite, text.register, text.evidence, text.translation)))
