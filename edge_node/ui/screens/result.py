"""The answer: what it is, how sure, where in the picture, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from kivy.metrics import dp
from kivy.uix.widget import Widget

from edge_node.ui import theme, wording
from edge_node.ui.screens.page import Page
from edge_node.ui.screens.widgets.bullet import Bullet
from edge_node.ui.screens.widgets.layout import Card, Column, Inside, Row, inside
from edge_node.ui.screens.widgets.level import Bar, Level
from edge_node.ui.screens.widgets.picture import Picture
from edge_node.ui.screens.widgets.text import Text
from edge_node.ui.screens.widgets.touch import Field, Touch
from edge_node.ui.screens.widgets.verdict import VerdictCard
from edge_node.ui.values import OTHER, DiseasePage, Finding

_MOST_SCORES = 5
_STRENGTH = 100


class ResultPage(Page):
    """One finding."""

    widest = 1180
    _picture: Picture | None = None
    _field: Field | None = None

    def title(self) -> str:
        """What was looked for."""
        finding, shelf = self.state.result.finding, self.state.shelf
        return wording.name_of(shelf.name(finding.disease), self.words) if finding and shelf else self.words.t("Result")

    def depends(self) -> Any:
        """Everything but the reference being typed."""
        result = self.state.result
        key = None if result.finding is None else (result.finding.document, result.finding.id)
        shown = (result.prepared, result.heat, result.explaining)
        return key, shown, result.confirmed, result.key_in_file, result.sheet, self.state.language

    def build(self) -> Iterator[Widget | Inside]:
        """Verdict, what to do, scores, picture, the clinician's word."""
        finding = self.state.result.finding
        self._picture = self._field = None
        if finding is None:
            return
        verdict = VerdictCard(wording.verdict(finding, self.words), wording.reasons(finding, self.words))
        if not self.wide:
            yield verdict
            yield from self._stand_in(finding)
            yield from self._aid(finding)
            yield from self._scores(finding)
            yield from self._evidence()
            yield from self._word(finding)
            yield from self._next()
            return
        left, right = Column(verdict), Column(size_hint_x=0.7)
        yield Row(left, right)
        for widget in chain(self._stand_in(finding), self._aid(finding), self._scores(finding), self._word(finding)):
            yield widget if isinstance(widget, tuple) else (left, widget)
        for widget in chain(self._evidence(), self._next()):
            yield right, widget

    def _stand_in(self, finding: Finding) -> Iterator[Widget]:
        if note := wording.stand_in(finding, self.words):
            yield self.note(note, warning=True)

    def _aid(self, finding: Finding) -> Iterator[Widget | Inside]:
        if not wording.answers(finding):
            return
        for page in finding.pages:
            yield from self._page(page)

    def _page(self, page: DiseasePage) -> Iterator[Widget | Inside]:
        words = self.words
        flags = wording.lines_of(page.red_flags, words)
        name = wording.name_of(page.name, words)
        parts: list[Widget] = []
        if flags and page.kind == "disease":
            parts.append(Text(words.t("Danger signs of {name}: refer at once", name=name), ink=theme.RED_FLAGS.ink))
            parts += [Bullet(flag, size=theme.SMALL, ink=theme.RED_FLAGS.ink) for flag in flags]
        else:
            parts.append(Text(name))
        read = Touch(
            words.t("Read about {name}", name=name),
            lambda: self.presenter.reading.show(page),
            key=f"result.read.{page.id}",
        )
        card = Card(pair=theme.RED_FLAGS if flags and page.kind == "disease" else theme.SURFACE)
        yield from inside(card, (*parts, read))

    def _scores(self, finding: Finding) -> Iterator[Widget]:
        words = self.words
        if not wording.answers(finding):
            return
        rows: list[Widget] = [Text(words.t("How sure is the model?"), size=theme.TITLE)]
        for score in finding.scores[:_MOST_SCORES]:
            mark = words.t("not ruled out") if score.in_set else words.t("unlikely")
            figure = f"{wording.score_text(score.value, words)}{words.t(' · ')}{mark}"
            rows.append(Text(wording.name_of(score.name, words)))
            rows.append(Row(Bar(score.value, theme.TONES["recognised"].ground if score.in_set else theme.SOFT.ink)))
            rows.append(Text(figure, size=theme.SMALL, ink=theme.SOFT.ink))
        rows.append(Text(wording.set_sentence(finding, words), size=theme.SMALL))
        yield Card(*rows)

    def _evidence(self) -> Iterator[Widget]:
        result, words = self.state.result, self.words
        if result.kept is not None:
            yield Card(
                Text(words.t("The picture kept with this result"), size=theme.SMALL),
                Picture(result.kept, size_hint_y=None, height=dp(320)),
            )
        if result.prepared is None:
            return
        self._picture = Picture(result.prepared.raster, size_hint_y=None, height=dp(320))
        parts: list[Widget] = [Text(words.t("What the model saw"), size=theme.SMALL), self._picture]
        if result.heat is not None:
            self._picture.set_heat(result.heat)
            self._picture.set_strength(_STRENGTH / 100)
            parts.append(
                Text(words.t("Orange speaks for the answer, blue against it. Slide to fade."), size=theme.SMALL)
            )
            parts.append(Level(_STRENGTH, lambda value: self._fade(value), key="result.heat"))
        elif self.presenter.services.explainer is None:
            parts.append(Text(words.t("No map of evidence on this device."), size=theme.SMALL, ink=theme.SOFT.ink))
        elif result.finding is not None and wording.answers(result.finding) and not result.explaining:
            parts.append(Text(words.t("No map of evidence for this answer."), size=theme.SMALL, ink=theme.SOFT.ink))
        yield Card(*parts)

    def _fade(self, value: float) -> None:
        if self._picture is not None:
            self._picture.set_strength(value / 100)

    def _word(self, finding: Finding) -> Iterator[Widget]:
        words, result = self.words, self.state.result
        if self.presenter.services.history is None:
            yield self.note(words.t("Results are not kept on this device yet: note the answer by hand."))
            return
        parts: list[Widget] = [Text(words.t("What do you say it is?"), size=theme.TITLE)]
        choices = [(score.label, wording.name_of(score.name, words)) for score in finding.scores[:_MOST_SCORES]]
        for label, name in (*choices, (OTHER, words.t("Something else"))):
            chosen = result.confirmed == label
            parts.append(
                Touch(
                    f"{words.t('Confirmed: ')}{name}" if chosen else name,
                    (lambda label=label: self.presenter.results.confirm(label)) if finding.id else None,
                    key=f"result.confirm.{label}",
                    pair=theme.PRIMARY if chosen else theme.PLAIN,
                )
            )
        parts.append(
            Text(
                words.t("The picture stays on this device; only the answer and your word on it are sent."),
                size=theme.SMALL,
            )
        )
        if result.key_in_file:
            yield self.note(wording.key_file(words), warning=True)
        if finding.id:
            self._field = Field(
                words.t("Your case reference (stays here)"),
                lambda _: None,
                key="result.reference",
                text=result.reference,
                on_enter=self._save_reference,
            )
            parts.append(self._field)
            parts.append(
                Touch(words.t("Save the reference"), self._save_reference, key="result.save", size=theme.SMALL)
            )
        yield Card(*parts)

    def _save_reference(self) -> None:
        if self._field is not None:
            self.presenter.results.set_reference(self._field.text)

    def _next(self) -> Iterator[Widget]:
        words, result = self.words, self.state.result
        if result.sheet is not None:
            yield Card(Text(words.t("Referral sheet written:")), Text(str(result.sheet), size=theme.SMALL))
        yield Touch(words.t("Write a referral sheet (PDF)"), self.presenter.results.refer, key="result.refer")
        if result.photo is not None:
            yield Touch(words.t("Next picture"), self._again, key="result.again", pair=theme.PRIMARY)

    def _again(self) -> None:
        chosen = self.state.photo
        self.presenter.capture.begin(chosen.disease, chosen.model)
