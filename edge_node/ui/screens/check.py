"""The picture before it is used: choose the region, see exactly what the model will see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kivy.metrics import dp
from kivy.uix.widget import Widget

from edge_node.ui import theme, wording
from edge_node.ui.screens.page import Page
from edge_node.ui.screens.widgets.layout import Card, Column, Row
from edge_node.ui.screens.widgets.picture import CropView, Picture
from edge_node.ui.screens.widgets.text import Text
from edge_node.ui.screens.widgets.touch import Touch

_PREVIEW = 170
_FEW_FRAMES, _LEAP = 15, 10


class CheckPage(Page):
    """Crop, preview, hints; the button that asks the model is always in reach."""

    widest = 1180
    _crop: CropView | None = None
    _preview: Picture | None = None
    _drawn: Any = None

    def title(self) -> str:
        """What to do here."""
        return self.words.t("Check the picture")

    def foot(self) -> Iterator[Widget]:
        """The main button."""
        self._go = Touch(
            self.words.t("Recognise"),
            self.presenter.capture.recognise,
            key="check.go",
            pair=theme.PRIMARY,
            size=theme.TITLE,
        )
        yield self._go

    def depends(self) -> Any:
        """The photo, and whether a region was suggested; the region itself moves without rebuilding."""
        chosen = self.state.photo
        return chosen.photo, chosen.suggested, chosen.suggesting, chosen.prepared is None, self.state.language

    def build(self) -> Iterator[Widget]:
        """Picture, preview, hints, buttons."""
        chosen, words = self.state.photo, self.words
        self._crop = self._preview = self._drawn = None
        if chosen.photo is None:
            return
        capture = self.presenter.capture
        self._crop = CropView(
            chosen.photo.shown, (chosen.photo.width, chosen.photo.height), capture.drag, capture.scale, size_hint_y=None
        )
        self._hint = Text("", size=theme.SMALL)
        said = Column(
            Text(words.t("The model sees this:"), size=theme.SMALL),
            self._hint,
            Touch(words.t("Whole picture"), lambda: capture.use(None), key="check.whole", size=theme.SMALL),
            Touch(
                words.t("Looking for a region …") if chosen.suggesting else words.t("Suggested region"),
                (lambda: capture.use(chosen.suggested)) if chosen.suggested else None,
                key="check.suggested",
                size=theme.SMALL,
            ),
            gap=6,
        )
        if chosen.prepared is None:
            shown: Widget = Text(words.t("One moment …"), size=theme.SMALL, size_hint_x=None, width=dp(_PREVIEW))
        else:
            shown = self._preview = Picture(
                chosen.prepared.raster, size_hint=(None, None), size=(dp(_PREVIEW), dp(_PREVIEW))
            )
        preview = Card(Row(shown, said))
        advice = Text(
            words.t("Drag the corners so that the finding fills the frame."),
            size=theme.SMALL,
            ink=theme.SOFT_ON_PAGE.ink,
        )
        notes = (
            [Text(words.t("From a DICOM file; only its pixels are used."), size=theme.SMALL)]
            if "dicom" in chosen.photo.notes
            else []
        )
        if self.wide:
            self._crop.height = dp(500)
            yield Row(self._crop, Column(*self._frames(), preview, advice, *notes, size_hint_x=0.62))
        else:
            self._crop.height = dp(290)
            yield self._crop
            yield from self._frames()
            yield preview
            yield advice
            yield from notes

    def _frames(self) -> Iterator[Widget]:
        """Going through the pictures of a file that holds several."""
        photo, turn_to = self.state.photo.photo, self.presenter.capture.turn_to
        if photo is None or photo.frames == 1:
            return
        now, last = photo.frame or 1, photo.frames
        yield Text(self.words.t("Picture {now} of {all}", now=now, all=last))
        steps = (-1, 1) if last <= _FEW_FRAMES else (-_LEAP, -1, 1, _LEAP)
        buttons = []
        for step in steps:
            to = min(max(now + step, 1), last)
            action = None if to == now else (lambda to=to: turn_to(to))
            buttons.append(Touch(f"{step:+d}", action, key=f"check.frame.{step:+d}"))
        yield Row(*buttons, equal=True)

    def update(self) -> None:
        """Region, preview and hints follow the finger."""
        chosen = self.state.photo
        self._go.text = self.words.t("Recognising …") if chosen.recognising else self.words.t("Recognise")
        if self._crop is not None and chosen.box is not None:
            self._crop.set_box(chosen.box)
        if self._preview is not None and chosen.prepared is not None and chosen.prepared is not self._drawn:
            self._drawn = chosen.prepared
            self._preview.show(chosen.prepared.raster)
            self._hint.text = wording.hints(chosen.prepared.faults, self.words)
            self._hint.set_ink(theme.DANGER.ground if chosen.prepared.faults else theme.SURFACE.ink)
