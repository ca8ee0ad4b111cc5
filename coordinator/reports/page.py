"""A report as one HTML file: no script, nothing fetched, every text escaped, readable on a phone and on paper."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from itertools import groupby

from coordinator.reports.document import (
    Alert,
    Block,
    Bullets,
    Cell,
    Document,
    Facts,
    Gallery,
    Paragraph,
    Plot,
    Table,
    text,
)
from protocols.errors import Language
from protocols.notice import NOTICE

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "WenQuanYi Micro Hei", sans-serif;
  margin: 0 auto; max-width: 62rem; padding: 1rem; color: #1a1a1a; background: #fff; overflow-wrap: break-word; }
h1 { line-height: 1.2; margin: .5rem 0 1rem; } h2 { border-bottom: 2px solid #0072b2; padding-bottom: .2rem; margin-top: 2.2rem; }
.notice { background: #fff3cd; border: 1px solid #b58900; padding: .4rem .8rem; font-weight: 600; }
.notice p { margin: .1rem 0; }
.alert { border-left: 6px solid #e69f00; background: #fff8e6; padding: .4rem .8rem; margin: .8rem 0; }
.grave { border: 3px solid #b00020; background: #fdecee; font-size: 1.15rem; font-weight: 700; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; min-width: 50%; }
td, th { border: 1px solid #bbb; padding: .3rem .6rem; text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; } .short { white-space: nowrap; }
tbody th { font-weight: 600; overflow-wrap: anywhere; min-width: 7rem; }
thead th { background: #eef4f8; } tbody tr:nth-child(even) { background: #fafafa; }
dl { display: grid; grid-template-columns: minmax(9rem, max-content) 1fr; gap: .2rem 1rem; margin: .8rem 0; }
dt { color: #444; } dd { margin: 0; overflow-wrap: anywhere; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem; align-items: start; }
figure { margin: 0; } figcaption { font-size: .9rem; color: #333; max-width: 30rem; }
svg { display: block; width: 100%; max-width: 30rem; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .8rem; margin: .8rem 0; }
.gallery img { display: block; max-width: 100%; height: auto; background: #eee; } .gallery figcaption { overflow-wrap: anywhere; }
footer { margin-top: 2rem; border-top: 1px solid #bbb; font-size: .85rem; color: #444; }
@media (max-width: 36rem) { body { padding: .6rem; } dl { grid-template-columns: 1fr; gap: 0; } dd { margin: 0 0 .5rem 0; }
  td, th { padding: .25rem .4rem; font-size: .9rem; } }
@media print { body { max-width: none; font-size: 10.5pt; padding: 0; } h2 { break-after: avoid; }
  figure, tr, .alert, .notice { break-inside: avoid; } .scroll { overflow: visible; } .plots { grid-template-columns: 1fr 1fr; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } @page { margin: 15mm; } }
"""
_SHORT = 24  # characters of a cell that stays on one line, such as a figure with its interval
_LANGUAGE = {"en": "en", "zh": "zh-CN"}


def render(document: Document, language: Language) -> str:
    """The document in one language as HTML 5, the notice in both."""
    title = escape(document.title.of(language))
    notice = "".join(f'<p lang="{_LANGUAGE[x]}">{escape(NOTICE[x])}</p>' for x in ("en", "zh"))
    parts = [
        f'<!doctype html>\n<html lang="{_LANGUAGE[language]}"><head><meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style></head><body>\n"
        f'<div class="notice" role="note">{notice}</div>\n<h1>{title}</h1>\n',
        *(_block(alert, language) for alert in document.alerts),
    ]
    for section in document.sections:
        parts.append(f"<section>\n<h2>{escape(section.title.of(language))}</h2>\n")
        for is_plot, blocks in groupby(section.blocks, lambda block: isinstance(block, Plot)):
            content = "".join(_block(block, language) for block in blocks)
            parts.append(f'<div class="plots">\n{content}</div>\n' if is_plot else content)
        parts.append("</section>\n")
    parts.append(f"<footer><p>MedMesh · {escape(NOTICE[language])}</p></footer>\n</body></html>\n")
    return "".join(parts)


def _block(block: Block, language: Language) -> str:
    def shown(cell: Cell) -> str:
        return escape(text(cell, language))

    def value(cell: Cell) -> str:
        content = shown(cell)
        return f'<td class="short">{content}</td>' if len(content) <= _SHORT else f"<td>{content}</td>"

    match block:
        case Paragraph(content):
            return f"<p>{shown(content)}</p>\n"
        case Alert(content, grave):
            return f'<div class="alert{" grave" if grave else ""}" role="note">{shown(content)}</div>\n'
        case Bullets(items):
            return f"<ul>\n{''.join(f'<li>{shown(item)}</li>' for item in items)}\n</ul>\n"
        case Facts(rows):
            return f"<dl>\n{''.join(f'<dt>{shown(name)}</dt><dd>{shown(what)}</dd>' for name, what in rows)}\n</dl>\n"
        case Table(headings, rows):
            head = "".join(f'<th scope="col">{shown(cell)}</th>' for cell in headings)
            body = "".join(
                f'<tr><th scope="row">{shown(row[0])}</th>{"".join(map(value, row[1:]))}</tr>\n' for row in rows
            )
            return (
                f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>\n</table></div>\n'
            )
        case Gallery(pictures):
            figures = []
            for picture in pictures:
                caption = shown(picture.caption)
                source = b64encode(picture.jpeg).decode() if picture.jpeg else ""
                image = f'<img alt="{caption}" src="data:image/jpeg;base64,{source}">' if source else ""
                figures.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>\n")
            return f'<div class="gallery">\n{"".join(figures)}</div>\n'
        case Plot(draw, caption, _):
            return f"<figure>{draw(language)}<figcaption>{shown(caption)}</figcaption></figure>\n"
