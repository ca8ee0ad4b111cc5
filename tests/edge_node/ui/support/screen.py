"""The real app on a screen that is not there: touches, keys, pictures of it, and how long it was blocked."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from edge_node.ui.environment import configure_kivy, prepare_kivy
from edge_node.ui.presenter.presenter import Presenter

_BLOCKING_CALLS = (
    "sqlite3.connect",
    "socket.connect",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "time.sleep",
    "os.rename",
)
LARGEST = (1280, 800)  # the picture that SDL draws to without a display never grows
KEYS = {"tab": 9, "enter": 13, "space": 32, "escape": 27, "left": 276, "right": 275, "up": 273, "down": 274}


def start_kivy(home: Path) -> str:
    """Make Kivy ready to draw without a display; returns why that cannot be done, or nothing."""
    os.environ["SDL_VIDEODRIVER"] = "offscreen"
    prepare_kivy(home)
    try:
        configure_kivy(LARGEST)
        from kivy.core.window import Window
        from kivy.tests import UnitTestTouch  # noqa: F401 - slow to import, and no part of what is measured
    except ImportError:
        return "the ui extra is not installed"
    if Window is None:
        return "no OpenGL here: apt-get install libgl1 libegl1 libegl-mesa0 libgl1-mesa-dri libgles2"
    return ""


def swap(window: Any) -> None:
    """Show what was drawn, as on a screen, where that waits for the picture.

    Without a display SDL's swap does nothing, and Mesa would collect the commands of many frames, 60 to 100 MB of them.
    """
    from kivy.graphics.opengl import glFinish

    type(window).on_flip(window)
    glFinish()


class Blocking:
    """How long our code kept a frame waiting, and what it called meanwhile that may block.

    Measured as processor time of the screen's thread without the time that a software renderer needs for painting, so
    that it does not depend on what else the machine does. Calls that wait instead of computing are listed by name.
    """

    def __init__(self) -> None:
        self.gaps_s: list[float] = []
        self.calls: list[str] = []
        self._last = time.thread_time()
        self._painting_s = 0.0
        self._thread = threading.get_ident()
        self._watching = True
        sys.addaudithook(self._audit)

    def watch(self, window: Any) -> None:
        """Begin, and leave out the window's painting."""
        self._last = time.thread_time()
        window.on_draw = self._leaving_out(type(window).on_draw.__get__(window))
        window.on_flip = self._leaving_out(lambda: swap(window))

    def release(self, window: Any) -> None:
        """Stop."""
        self._watching = False
        del window.on_draw
        window.on_flip = lambda: swap(window)

    def tick(self, *_: object) -> None:
        """To be called once a frame."""
        now = time.thread_time()
        self.gaps_s.append(now - self._last - self._painting_s)
        self._last, self._painting_s = now, 0.0

    @property
    def longest_ms(self) -> float:
        return max(self.gaps_s, default=0.0) * 1000

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave out what happens in the block, which is not the app's: painting in software, and looks of a test."""
        start = time.thread_time()
        try:
            yield
        finally:
            self._painting_s += time.thread_time() - start

    def _leaving_out(self, paint: Callable[..., Any]) -> Callable[..., Any]:
        def painted(*arguments: Any) -> Any:
            with self.aside():
                return paint(*arguments)

        return painted

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._watching and threading.get_ident() == self._thread:
            writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
            if writes or event in _BLOCKING_CALLS:
                self.calls.append(f"{event} {arguments[:1]}")


class Driver:
    """A person in front of the app."""

    def __init__(self, app: Any, presenter: Presenter, running: asyncio.Future[None]) -> None:
        self.app = app
        self._running = running
        self.presenter = presenter
        self.blocking = Blocking()

    @property
    def frame(self) -> Any:
        return self.app.root

    async def frames(self, count: int = 3) -> None:
        from kivy.clock import Clock

        start = Clock.frames
        while Clock.frames < start + count:
            await asyncio.sleep(0.002)
            if self._running.done():
                self._running.result()
                raise AssertionError("the app has ended")

    async def settle(self) -> None:
        """Until nothing is under way, everything is drawn and put away: what a person's pace leaves time for."""
        for _ in range(3):
            await self.presenter.settle()
            await self.frames(2)
            while self.frame.is_filling or not self.frame.is_tidy:
                await self.frames(1)

    def widget(self, key: str) -> Any:
        found = self.frame.find(key)
        assert found is not None, f"{key} is not on the screen: {[w.key for w in self.frame.focusables()]}"
        return found

    async def touch(self, start: tuple[float, float], *path: tuple[float, float]) -> None:
        """A finger comes down, moves along the path, and leaves."""
        from kivy.base import EventLoop
        from kivy.core.window import Window
        from kivy.tests import UnitTestTouch

        touch = UnitTestTouch(*start)
        EventLoop.post_dispatch_input("begin", touch)
        await self.frames(1)
        for x, y in path:
            touch.move({"x": x / (Window.width - 1.0), "y": y / (Window.height - 1.0)})
            EventLoop.post_dispatch_input("update", touch)
            await self.frames(1)
        touch.update_time_end()
        EventLoop.post_dispatch_input("end", touch)
        await self.frames(1)

    async def tap(self, key: str) -> None:
        """Scroll to a widget and touch its middle."""
        self.frame.reveal(self.widget(key))
        await self.frames(3)
        widget = self.widget(key)
        await self.touch(widget.to_window(*widget.center))
        await self.settle()

    async def press(self, key: str, *modifiers: str) -> None:
        from kivy.core.window import Window

        code = KEYS.get(key) or ord(key)
        Window.dispatch("on_key_down", code, 0, key if len(key) == 1 else None, list(modifiers))
        Window.dispatch("on_key_up", code, 0)
        await self.settle()

    async def write(self, key: str, text: str) -> None:
        self.widget(key).text = text
        await self.settle()

    async def resize(self, width: int, height: int) -> None:
        from kivy.core.window import Window

        if tuple(Window.size) != (width, height):
            Window.size = (width, height)
            await self.frames(4)
        await self.settle()

    def picture(self) -> Image.Image:
        """What is on the screen."""
        from kivy.core.window import Window
        from kivy.graphics.opengl import GL_RGBA, GL_UNSIGNED_BYTE, glReadPixels

        width, height = Window.size
        data = glReadPixels(0, 0, width, height, GL_RGBA, GL_UNSIGNED_BYTE)
        return (
            Image.frombytes("RGBA", (width, height), bytes(data))
            .convert("RGB")
            .transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        )

    def texts(self) -> list[str]:
        """Every word that is on the page now, scrolled out of sight or not."""
        from edge_node.ui.screens.widgets.text import Text

        return [w.text for w in self.frame.walk() if isinstance(w, Text) and w.text]


@asynccontextmanager
async def showing(presenter: Presenter, size: tuple[int, int] = (480, 800)) -> AsyncIterator[Driver]:
    """Run the app around a presenter."""
    from kivy.clock import Clock
    from kivy.core.window import Window

    from edge_node.ui.screens.app import MedMeshApp

    Window.on_flip = lambda: swap(Window)
    app = MedMeshApp(presenter)
    running = asyncio.ensure_future(app.async_run(async_lib="asyncio"))
    while app.root is None and not running.done():  # noqa: ASYNC110 - Kivy's clock sets no event
        await asyncio.sleep(0.005)
    if running.done():
        running.result()
    driver = Driver(app, presenter, running)
    try:
        await driver.resize(*size)
        driver.blocking.watch(Window)
        Clock.schedule_interval(driver.blocking.tick, 0)
        await driver.settle()
        yield driver
    finally:
        Clock.unschedule(driver.blocking.tick)
        driver.blocking.release(Window)
        app.stop()
        await running
        await presenter.close()
