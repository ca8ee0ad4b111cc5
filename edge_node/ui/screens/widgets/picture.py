"""Pictures: as they are, with evidence laid over them, and with a region to choose."""

from __future__ import annotations

from collections.abc import Callable

from kivy.graphics import Color, Ellipse, Line, Rectangle
from kivy.graphics.texture import Texture
from kivy.metrics import dp
from kivy.uix.widget import Widget

from edge_node.ui import theme
from edge_node.ui.cropping import HANDLES, STEP, Handle
from edge_node.ui.screens.widgets.touch import Focusable
from edge_node.ui.values import Heat, Raster
from protocols.imaging import Box


def texture(raster: Raster) -> Texture:
    """A raster on the graphics card."""
    made = Texture.create(size=(raster.width, raster.height), colorfmt="rgb")
    made.blit_buffer(raster.rgb, colorfmt="rgb", bufferfmt="ubyte")
    made.flip_vertical()
    return made


class Picture(Widget):
    """A picture as large as fits, in its own proportions, with an optional map of evidence over it."""

    def __init__(self, raster: Raster, **options: object) -> None:
        super().__init__(**options)
        self._shape = (raster.width, raster.height)
        with self.canvas:
            Color(1, 1, 1, 1)
            self._rectangle = Rectangle(texture=texture(raster))
            self._over = Color(1, 1, 1, 0)
            self._heat = Rectangle()
        self.bind(pos=self._place, size=self._place)

    def show(self, raster: Raster) -> None:
        """Another picture in its place."""
        self._shape = (raster.width, raster.height)
        self._rectangle.texture = texture(raster)
        self._place()

    def set_heat(self, heat: Heat) -> None:
        """Lay evidence over it."""
        made = Texture.create(size=(heat.width, heat.height), colorfmt="rgba")
        made.blit_buffer(heat.rgba, colorfmt="rgba", bufferfmt="ubyte")
        made.flip_vertical()
        self._heat.texture = made

    def set_strength(self, share: float) -> None:
        """How visible the evidence is, 0 to 1."""
        self._over.a = share

    def frame(self) -> tuple[float, float, float, float]:
        """Where the picture itself is: x, y, width, height."""
        wide, high = self._shape
        share = min(self.width / wide, self.height / high)
        size = (wide * share, high * share)
        x, y = self.x + (self.width - size[0]) / 2, self.y + (self.height - size[1]) / 2
        return x, y, *size

    def _place(self, *_: object) -> None:
        x, y, wide, high = self.frame()
        for rectangle in (self._rectangle, self._heat):
            rectangle.pos, rectangle.size = (x, y), (wide, high)


class CropView(Focusable, Picture):
    """A picture with a region: drag its corners or its middle; arrows move, Shift+arrows and +/- resize."""

    eager = True

    def __init__(
        self,
        raster: Raster,
        size_px: tuple[int, int],
        on_drag: Callable[[Handle, int, int], None],
        on_scale: Callable[[int], None],
        **options: object,
    ) -> None:
        """Args: size_px: of the real picture, whose pixels the region is in."""
        super().__init__(raster, **options)
        self.key = "check.crop"
        self._size_px, self._box = size_px, Box(0, 0, *size_px)
        self._on_drag, self._on_scale = on_drag, on_scale
        self._held: tuple[Handle, float, float] | None = None
        with self.canvas:
            Color(0, 0, 0, 0.55)
            self._veils = [Rectangle() for _ in range(4)]
            Color(*theme.rgba(theme.FOCUS))
            self._line = Line(width=dp(2))
            Color(1, 1, 1, 1)
            self._knobs = [Ellipse(size=(dp(22), dp(22))) for _ in HANDLES]
            Color(*theme.rgba(theme.FOCUS))
            self._rings = [Line(width=dp(2)) for _ in HANDLES]
        self.ring()
        self.bind(pos=lambda *_: self.set_box(self._box), size=lambda *_: self.set_box(self._box))

    def set_box(self, box: Box) -> None:
        """Show this region."""
        self._box = box
        x, y, wide, high = self.frame()
        left, bottom, right, top = self._on_screen(box)
        corners = {
            "top_left": (left, top),
            "top_right": (right, top),
            "bottom_left": (left, bottom),
            "bottom_right": (right, bottom),
        }
        veils = (
            (x, y, wide, bottom - y),
            (x, top, wide, y + high - top),
            (x, bottom, left - x, top - bottom),
            (right, bottom, x + wide - right, top - bottom),
        )
        for rectangle, veil in zip(self._veils, veils, strict=True):
            rectangle.pos, rectangle.size = veil[:2], veil[2:]
        self._line.rectangle = (left, bottom, right - left, top - bottom)
        for knob, ring, handle in zip(self._knobs, self._rings, HANDLES, strict=True):
            middle = corners[handle]
            knob.pos = (middle[0] - dp(11), middle[1] - dp(11))
            ring.circle = (*middle, dp(11))

    def _share(self) -> float:
        return float(self.frame()[2] / self._size_px[0])

    def _on_screen(self, box: Box) -> tuple[float, float, float, float]:
        x, y, _, high = self.frame()
        share = self._share()
        top = y + high - box.y * share
        return x + box.x * share, top - box.height * share, x + (box.x + box.width) * share, top

    def _handle_at(self, x: float, y: float) -> Handle | None:
        left, bottom, right, top = self._on_screen(self._box)
        reach = dp(theme.HANDLE) / 2 + 4
        near: list[tuple[float, Handle]] = []
        for handle in HANDLES:
            corner = (left if handle.endswith("left") else right, top if handle.startswith("top") else bottom)
            distance = max(abs(x - corner[0]), abs(y - corner[1]))
            if distance <= reach:
                near.append((distance, handle))
        if near:
            return min(near)[1]
        return "move" if left <= x <= right and bottom <= y <= top else None

    def on_touch_down(self, touch: object) -> bool:
        """Take hold of a handle."""
        handle = self._handle_at(*touch.pos) if self.collide_point(*touch.pos) else None
        if handle is None:
            return False
        touch.grab(self)
        self._held = (handle, *touch.pos)
        return True

    def on_touch_move(self, touch: object) -> bool:
        """Drag it; whole pixels of the real picture, the rest waits for the next move."""
        if touch.grab_current is not self or self._held is None:
            return False
        handle, x, y = self._held
        share = self._share()
        dx, dy = int((touch.x - x) / share), int((y - touch.y) / share)
        if dx or dy:
            self._held = (handle, x + dx * share, y - dy * share)
            self._on_drag(handle, dx, dy)
        return True

    def on_touch_up(self, touch: object) -> bool:
        """Let go."""
        if touch.grab_current is not self:
            return False
        touch.ungrab(self)
        self._held = None
        return True

    def press(self, key: str, shift: bool) -> bool:
        """Arrows and plus and minus."""
        step = max(round(min(self._size_px) * STEP), 1)
        moves = {"left": (-step, 0), "right": (step, 0), "up": (0, -step), "down": (0, step)}
        if key in moves:
            self._on_drag("bottom_right" if shift else "move", *moves[key])
            return True
        if key in ("+", "=", "-", "numpadadd", "numpadsubstract"):
            self._on_scale(-1 if key in ("-", "numpadsubstract") else 1)
            return True
        return False
