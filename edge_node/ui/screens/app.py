"""The Kivy application around the frame."""

from __future__ import annotations

import gc

from kivy.app import App
from kivy.clock import Clock
from kivy.core.window import Window

from edge_node.ui import theme
from edge_node.ui.presenter.presenter import Presenter
from edge_node.ui.screens.frame import Frame

# A full collection looks at every object, 0.2 s each time with all the imported modules. Those stay anyway: they are frozen
# as they arrive, and the little that remains is looked through soon after a page has changed.
_LOADED_S = (1.0, 2.0, 4.0)  # by the last, ``wiring`` has imported everything
_TIDY_EVERY_S = 0.2
_NEVER = 1_000_000


class MedMeshApp(App):
    """Shows a presenter until the window is closed."""

    title = "MedMesh"
    use_kivy_settings = False

    def __init__(self, presenter: Presenter) -> None:
        super().__init__()
        self.presenter = presenter

    def build(self) -> Frame:
        """The root widget; files dropped on the window are chosen."""
        Window.clearcolor = theme.rgba(theme.PAGE.ground)
        Window.softinput_mode = "below_target"
        Window.bind(on_drop_file=self._dropped)
        return Frame(self.presenter)

    def on_start(self) -> None:
        """Begin once something is on the screen."""
        self.presenter.start()
        gc.collect()
        gc.freeze()
        self._usual = gc.get_threshold()
        gc.set_threshold(*self._usual[:2], _NEVER)
        for seconds in _LOADED_S:
            Clock.schedule_once(lambda _: self._loaded(), seconds)
        self._start, self._tidied = Clock.get_time(), self.root.rebuilt
        self._tidying = Clock.schedule_interval(lambda _: self._tidy(), _TIDY_EVERY_S)

    def _at_rest(self) -> bool:
        return self.presenter.state.route == ("home",)

    def _loaded(self) -> None:
        if self._at_rest():  # else a page was left that would then never be freed
            gc.freeze()

    def _tidy(self) -> None:
        loading = self._at_rest() and Clock.get_time() - self._start <= _LOADED_S[-1]
        if loading or self.root.is_filling:
            return
        if self.root.discard_one() or self.root.rebuilt != self._tidied:
            self._tidied = self.root.rebuilt
            gc.collect()

    def on_stop(self) -> None:
        """Let go of the window."""
        Window.unbind(on_drop_file=self._dropped)
        self.root.detach()
        self._tidying.cancel()
        gc.set_threshold(*self._usual)

    def _dropped(self, _: object, name: bytes, *__: object) -> None:
        from pathlib import Path

        if self.presenter.state.screen in ("source", "check"):
            self.presenter.capture.choose(Path(name.decode()))

    def open_settings(self, *_: object) -> bool:
        """Kivy's own panel has no place here."""
        return False
