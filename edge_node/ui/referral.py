"""The referral sheet: one A4 page or two for the next clinician, as PDF. No picture, no name, no case reference in it;
lines to write those by hand.

Run as a module, it writes one sheet described on standard input: the app starts it as a process of its own, so that the
memory that fpdf2 takes is given back. Blocking.
"""

from __future__ import annotations

import json
import secrets
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_node.files import write_atomic
from edge_node.ui import wording
from edge_node.ui.findings import finding as read_finding
from edge_node.ui.texts import Texts, texts
from edge_node.ui.values import DiseasePage, Finding, Words
from protocols.errors import Language
from protocols.notice import NOTICE

FONT = Path(__file__).parent / "fonts" / "MedMeshSans.ttf"
_FAMILY = "MedMesh"
_MARGIN_MM, _WIDTH_MM = 18, 174
_LINE = 1.45  # of the font size


class _Sheet:
    """A page that grows downwards."""

    def __init__(self, words: Texts) -> None:
        from fpdf import FPDF

        class Pdf(FPDF):  # type: ignore[misc]  # fpdf2 brings no types
            """Every page ends with the notice."""

            def footer(self) -> None:
                self.set_y(-16)
                self.set_font(_FAMILY, size=9)
                self.set_text_color(60)
                self.multi_cell(_WIDTH_MM, 4.5, NOTICE[words.language], align="C")

        self.pdf: Any = Pdf(format="A4")
        self.pdf.set_margins(_MARGIN_MM, 16)
        self.pdf.set_auto_page_break(True, 22)
        self.pdf.add_font(_FAMILY, fname=FONT)
        self.pdf.add_page()

    def text(self, text: str, size: float = 11, before: float = 0.0, grey: int = 0) -> None:
        """A paragraph."""
        if before:
            self.pdf.ln(before)
        self.pdf.set_font(_FAMILY, size=size)
        self.pdf.set_text_color(grey)
        height = size * _LINE * 0.3528
        self.pdf.multi_cell(_WIDTH_MM, height, text, align="L", new_x="LMARGIN", new_y="NEXT", wrapmode="WORD")

    def heading(self, text: str) -> None:
        """A heading with a rule above it."""
        self.pdf.ln(3)
        self.pdf.set_draw_color(120)
        y = self.pdf.get_y()
        self.pdf.line(_MARGIN_MM, y, _MARGIN_MM + _WIDTH_MM, y)
        self.text(text, 13, before=1.5)

    def listed(self, lines: tuple[str, ...]) -> None:
        """A list."""
        for line in lines:
            self.text(f"–  {line}")

    def blanks(self, labels: tuple[str, ...]) -> None:
        """Lines to write on by hand."""
        self.pdf.set_font(_FAMILY, size=11)
        self.pdf.set_text_color(0)
        for label in labels:
            self.pdf.ln(2)
            y = self.pdf.get_y() + 6
            self.pdf.cell(52, 7, label)
            self.pdf.line(_MARGIN_MM + 54, y, _MARGIN_MM + _WIDTH_MM, y)
            self.pdf.ln(7)


def write(finding: Finding, name: Words, language: Language, now: datetime, folder: Path) -> Path:
    """Write the sheet; returns where. The file's name says the day and nothing of the patient."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"referral-{now.astimezone():%Y-%m-%d}-{secrets.token_hex(3)}.pdf"
    write_atomic(path, render(finding, name, language, now), mode=0o600)
    return path


def describe(finding: Finding, name: Words, language: Language, now: datetime, folder: Path) -> bytes:
    """What ``main`` reads."""
    asked = {
        "result": finding.document,
        "name": name,
        "language": language,
        "now": now.isoformat(),
        "folder": str(folder),
    }
    return json.dumps(asked, default=dict).encode()


def main() -> None:
    """Write the sheet described on standard input, and print where it is."""
    asked = json.load(sys.stdin)
    found, now = read_finding(asked["result"]), datetime.fromisoformat(asked["now"])
    sys.stdout.write(str(write(found, asked["name"], asked["language"], now, Path(asked["folder"]))))


def render(finding: Finding, name: Words, language: Language, now: datetime) -> bytes:
    """The sheet as PDF."""
    words = texts(language)
    sheet = _Sheet(words)
    sheet.pdf.set_title(words.t("Referral sheet"))
    sheet.pdf.set_creation_date(now)
    sheet.text(words.t("Referral sheet"), 20)
    sheet.text(NOTICE[language], 10, grey=60)
    sheet.blanks(
        (
            words.t("Patient"),
            words.t("Born"),
            words.t("Case reference"),
            words.t("From (clinic, phone)"),
            words.t("To"),
        )
    )
    _answer(sheet, finding, name, words, now)
    for page in finding.pages:
        _page(sheet, page, words)
    sheet.heading(words.t("Findings and treatment so far (by hand)"))
    for _ in range(5):
        sheet.blanks(("",))
    sheet.blanks((words.t("Date, name, signature"),))
    return bytes(sheet.pdf.output())


def _answer(sheet: _Sheet, finding: Finding, name: Words, words: Texts, now: datetime) -> None:
    verdict = wording.verdict(finding, words)
    sheet.heading(words.t("What the computer said about one picture"))
    sheet.text(words.t("Looked for: {name}", name=wording.name_of(name, words)))
    sheet.text(verdict.heading, 15)
    for line in (verdict.sentence, *wording.reasons(finding, words)):
        sheet.text(line)
    if wording.answers(finding):
        for score in finding.scores[:3]:
            sheet.text(f"{wording.name_of(score.name, words)}: {wording.score_text(score.value, words)}")
        sheet.text(wording.set_sentence(finding, words))
    when = now.astimezone().strftime("%Y-%m-%d %H:%M")
    sheet.text(words.t("Model {release}, {time}", release=finding.release, time=when), 9, grey=60)


def _page(sheet: _Sheet, page: DiseasePage, words: Texts) -> None:
    sheet.heading(wording.name_of(page.name, words))
    sheet.text(words.t(wording.REVIEW.get(page.review_status, page.review_status)), 10, grey=60)
    if flags := wording.lines_of(page.red_flags, words):
        sheet.text(words.t("Danger signs"), 12, before=1)
        sheet.listed(flags)
    urgency = words.t(wording.URGENCY.get(page.urgency, page.urgency))
    reason = wording.name_of(page.urgency_reason, words)
    sheet.text(words.t("How urgent: {urgency}", urgency=urgency) + (f" · {reason}" if reason else ""), before=1)
    if page.citations:
        sheet.text(words.t("Sources"), 10, before=1, grey=60)
        for citation in page.citations:
            sheet.text(citation, 9, grey=60)


if __name__ == "__main__":
    main()
