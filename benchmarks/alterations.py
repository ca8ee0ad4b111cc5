"""What other sites, bad cameras and wrong pictures look like: fixed changes of a decoded picture, at its own size.

Written apart from the views that training makes, and of fixed strength, so that the benchmark does not ask what was taught.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

Change = Callable[[Image.Image], Image.Image]


def _levels(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    def apply(image: Image.Image) -> Image.Image:
        values = np.clip(change(np.asarray(image, dtype=np.float32) / 255), 0, 1)
        return Image.fromarray((values * 255 + 0.5).astype(np.uint8))

    return apply


def _part(left: float, top: float, width: float, height: float) -> Change:
    def apply(image: Image.Image) -> Image.Image:
        w, h = image.size
        return image.crop((int(left * w), int(top * h), int((left + width) * w), int((top + height) * h)))

    return apply


def _blur(share: float) -> Change:
    return lambda image: image.filter(ImageFilter.GaussianBlur(share * max(image.size)))


def _jpeg(quality: int) -> Change:
    def apply(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")

    return apply


def _half_size(image: Image.Image) -> Image.Image:
    return image.resize((max(image.width // 2, 16), max(image.height // 2, 16)), Image.Resampling.BICUBIC)


def _bordered(image: Image.Image) -> Image.Image:
    wide = Image.new("RGB", (int(image.width * 1.18), int(image.height * 1.18)))
    wide.paste(image, (int(image.width * 0.09), int(image.height * 0.09)))
    return wide


def _empty(image: Image.Image) -> Image.Image:
    """A field with nothing in it: the picture's own mean colour, with grain."""
    mean = np.asarray(image, dtype=np.float32).reshape(-1, 3).mean(axis=0)
    grain = np.random.default_rng(int(mean.sum() * 1000)).normal(0, 4, (image.height, image.width, 3))
    return Image.fromarray(np.clip(mean + grain, 0, 255).astype(np.uint8))


SITE: dict[str, Change] = {
    "brighter": _levels(lambda v: v * 1.25),
    "darker": _levels(lambda v: v * 0.75),
    "less contrast": _levels(lambda v: (v - 0.5) * 0.7 + 0.5),
    "more contrast": _levels(lambda v: (v - 0.5) * 1.3 + 0.5),
    "gamma 1.4": _levels(lambda v: v**1.4),
    "gamma 0.7": _levels(lambda v: v**0.7),
    "warm cast": _levels(lambda v: v * np.array([1.12, 1.0, 0.88])),
    "cold cast": _levels(lambda v: v * np.array([0.9, 1.0, 1.1])),
    "closer crop": _part(0.075, 0.075, 0.85, 0.85),
    "crop off centre": _part(0.0, 0.0, 0.88, 0.88),
    "black border": _bordered,
    "soft lens": _blur(0.01),
    "JPEG 30": _jpeg(30),
    "half the pixels": _half_size,
}
NEAR: dict[str, Change] = {
    "left half": _part(0.0, 0.0, 0.5, 1.0),
    "upper half": _part(0.0, 0.0, 1.0, 0.5),
    "empty field": _empty,
}
DEGRADED: dict[str, Change] = {
    "blur 3 %": _blur(0.03),
    "blur 5 %": _blur(0.05),
    "blur 8 %": _blur(0.08),
    "a sixth of the light": _levels(lambda v: v * 0.16),
    "a quarter of the light": _levels(lambda v: v * 0.25),
    "gamma 4": _levels(lambda v: v**4),
    "2.5 times the light": _levels(lambda v: v * 2.5),
    "4 times the light": _levels(lambda v: v * 4),
    "washed out": _levels(lambda v: v + 0.5),
    "gamma 0.2": _levels(lambda v: v**0.2),
}
