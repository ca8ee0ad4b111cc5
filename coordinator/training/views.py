"""Altered copies of training images: what another site's camera, stain, screen or hand would make of them.

Trained on the images alone, heads kept their accuracy under changes of light but lost it with a closer crop, a softer
lens or stronger compression (chest X-ray 0.97 to 0.59 balanced accuracy, docs/adr/0006). Views are mirrored, turned and
stained anew only where the modality allows it (``modality``): elsewhere the side may be the sign. The same key always gives
the same view.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from coordinator.training.modality import FREEDOM, MODALITIES, Freedom, Modality
from protocols.imaging import MIN_EDGE_PX, Box, InputSpec, Quality, measure_quality, open_image, oriented_size, prepare

Pixels = NDArray[np.float32]

# Copies that nobody should have to read, by name: (blur as a share of the edge, gain, offset, gamma).
DEGRADED = {
    "blurred": (0.03, 1.0, 0.0, 1.0),
    "dark": (0.0, 0.3, 0.0, 1.0),
    "dark gamma": (0.0, 1.0, 0.0, 4.0),
    "bright": (0.0, 2.5, 0.0, 1.0),
    "washed out": (0.0, 1.0, 0.5, 1.0),
}


# Haematoxylin, eosin and DAB in optical density of red, green and blue (Ruifrok and Johnston 2001).
_STAINS = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.268, 0.570, 0.776]])


def key_of(sha256: str, number: int, modality: Modality) -> str:
    """What names a view: of which image, which one, and what its modality allows where that is more than the usual."""
    return f"{sha256}/{number}" + ("" if modality == "other" else f"/{modality}")


def altered(image: Image.Image, spec: InputSpec, key: str) -> Pixels:
    """One view of an opened image, as model input [1, edge, edge, 3].

    Args:
        image: from ``imaging.open_image``; consumed.
        spec: of the model.
        key: decides the alteration; from ``key_of``.
    """
    last = key.rsplit("/", 1)[-1]
    freedom = FREEDOM[last if last in MODALITIES else "other"]
    chance, more = (_chance(key), _chance(f"{key} by modality"))
    unit = _unit(prepare(image, spec, _closer(*oriented_size(image), chance)), spec)
    unit = _moved(unit, freedom, more)
    if freedom.stained:
        unit = _stained(unit, more)
    unit = _relit(unit, chance, freedom.coloured)
    return _input(_retaken(unit, chance), spec)


def _chance(key: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]))


def _moved(unit: Pixels, freedom: Freedom, chance: np.random.Generator) -> Pixels:
    """Turned by quarters and mirrored, or a little out of line, as far as that means nothing."""
    if freedom.turned:
        quarters, mirrored = int(chance.integers(4)), bool(chance.integers(2))
        unit = np.rot90(unit, quarters, axes=(1, 2))
        return np.ascontiguousarray(unit[:, :, ::-1] if mirrored else unit)
    if not freedom.tilt_degrees:
        return unit
    angle, edge = float(chance.uniform(-freedom.tilt_degrees, freedom.tilt_degrees)), unit.shape[1]
    margin = -(-edge // 8)  # so that no corner turns black
    wide = np.pad(unit, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="edge")
    turned = _through_picture(wide, partial(Image.Image.rotate, angle=angle, resample=Image.Resampling.BILINEAR))
    return np.ascontiguousarray(turned[:, margin : margin + edge, margin : margin + edge])


def _stained(unit: Pixels, chance: np.random.Generator) -> Pixels:
    """Another laboratory's stains: more or less of each (Tellez et al. 2018)."""
    density = -np.log(np.maximum(unit, 1 / 255))
    shares = density @ np.linalg.inv(_STAINS)
    again = (shares * chance.uniform(0.8, 1.2, 3)) @ _STAINS
    return np.asarray(np.clip(np.exp(-again), 0, 1), dtype=np.float32)


def degraded_quality(task: tuple[Path, InputSpec]) -> dict[str, Quality]:
    """Quality of the degraded copies of an image file, by name. Runs in a worker."""
    path, spec = task
    with open_image(path) as opened:
        unit = _unit(prepare(opened, spec), spec)
    measured = {}
    for name, (blur, gain, offset, gamma) in DEGRADED.items():
        copy = np.clip(gain * unit**gamma + offset, 0, 1)
        if blur:
            copy = _through_picture(
                copy, partial(Image.Image.filter, filter=ImageFilter.GaussianBlur(blur * spec.edge_px))
            )
        measured[name] = measure_quality(_input(copy, spec), spec)
    return measured


def _closer(width: int, height: int, chance: np.random.Generator) -> Box | None:
    """A crop that keeps at least four fifths of each side."""
    share = chance.uniform(0.8, 1.0)
    across, down = int(width * share), int(height * share)
    left, top = int(chance.uniform(0, width - across)), int(chance.uniform(0, height - down))
    return Box(left, top, across, down) if min(across, down) >= MIN_EDGE_PX else None


def _relit(unit: Pixels, chance: np.random.Generator, coloured: bool) -> Pixels:
    """Another light, exposure, contrast and, in colour, white balance."""
    gamma, gain, contrast = (float(np.exp(chance.uniform(-w, w))) for w in (0.35, 0.3, 0.35))
    cast = np.exp(chance.uniform(-0.12, 0.12, 3)) if chance.uniform() < 0.7 else np.ones(3)
    lit = unit**gamma * gain * (cast if coloured else 1.0)
    return np.asarray(np.clip((lit - gain / 2) * contrast + gain / 2, 0, 1), dtype=np.float32)


def _retaken(unit: Pixels, chance: np.random.Generator) -> Pixels:
    """A softer lens, fewer pixels, stronger compression: each in some views."""
    edge = unit.shape[1]
    blur = chance.uniform(0.002, 0.012) * edge if chance.uniform() < 0.4 else 0.0
    side = max(int(edge * chance.uniform(0.35, 1.0)), 16) if chance.uniform() < 0.5 else edge
    quality = int(chance.uniform(25, 70)) if chance.uniform() < 0.4 else 0

    def retake(picture: Image.Image) -> Image.Image:
        if blur:
            picture = picture.filter(ImageFilter.GaussianBlur(blur))
        small = picture.resize((side, side), Image.Resampling.BOX) if side < edge else picture
        if quality:
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=quality)
            small = Image.open(buffer)
        return small.resize((edge, edge), Image.Resampling.BICUBIC) if side < edge else small

    return _through_picture(unit, retake)


def _through_picture(unit: Pixels, change: Callable[[Image.Image], Image.Image]) -> Pixels:
    picture = change(Image.fromarray((unit[0] * 255 + 0.5).astype(np.uint8)))
    return np.asarray(picture, dtype=np.float32)[np.newaxis] / np.float32(255)


def _unit(pixels: Pixels, spec: InputSpec) -> Pixels:
    low, high = spec.value_range
    return np.asarray(np.clip((pixels - low) / (high - low), 0, 1), dtype=np.float32)


def _input(unit: Pixels, spec: InputSpec) -> Pixels:
    low, high = spec.value_range
    return np.asarray(unit * (high - low) + low, dtype=np.float32)
