"""Drawn blood-smear cells for trying MedMesh without data. They are drawings, not patients: no figure means anything clinical.

Each drawn patient has a stain, a light and a blur of their own, so that splitting by patient matters as it does in life.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

_SCALE = 3  # drawn larger and reduced, for smooth edges


class Patient:
    """One drawn patient: colours and optics."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._plasma = generator.uniform((205, 195, 190), (245, 240, 235))
        self._cell = generator.uniform((185, 105, 110), (230, 165, 160))
        self._parasite = generator.uniform((75, 35, 110), (125, 70, 165))
        self._blur = generator.uniform(0.3, 1.3)
        self._light = generator.uniform(0.85, 1.1)

    def cell(self, parasitized: bool) -> Image.Image:
        """One segmented red cell, with a ring and dot if parasitized, else sometimes with a speck of stain."""
        g = self._generator
        edge = int(g.integers(100, 160))
        side = edge * _SCALE
        picture = Image.new("RGB", (side, side), _colour(self._plasma))
        draw = ImageDraw.Draw(picture)
        outline = _blob(g, side / 2, side / 2, side * g.uniform(0.38, 0.46), 0.05)
        draw.polygon(outline, fill=_colour(self._cell * g.uniform(0.95, 1.05)))
        pale = side * g.uniform(0.10, 0.18)
        draw.ellipse(
            (side / 2 - pale, side / 2 - pale, side / 2 + pale, side / 2 + pale), fill=_colour(self._cell * 1.07)
        )
        if parasitized:
            self._draw_ring(draw, side)
        elif g.random() < 0.35:
            self._draw_speck(draw, side)
        picture = picture.filter(ImageFilter.GaussianBlur(self._blur * _SCALE)).resize(
            (edge, edge), Image.Resampling.LANCZOS
        )
        noisy = np.asarray(picture, np.float64) * self._light + g.normal(0, 4, (edge, edge, 3))
        return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))

    def _place(self, side: int) -> tuple[float, float]:
        angle, distance = self._generator.uniform(0, 2 * np.pi), side * self._generator.uniform(0.05, 0.25)
        return side / 2 + distance * np.cos(angle), side / 2 + distance * np.sin(angle)

    def _draw_ring(self, draw: ImageDraw.ImageDraw, side: int) -> None:
        g = self._generator
        for _ in range(int(g.integers(1, 3))):
            x, y = self._place(side)
            radius = side * g.uniform(0.06, 0.11)
            width = max(2, int(side * g.uniform(0.012, 0.025)))
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_colour(self._parasite), width=width)
            dot = radius * g.uniform(0.3, 0.5)
            angle = g.uniform(0, 2 * np.pi)
            dx, dy = x + radius * np.cos(angle), y + radius * np.sin(angle)
            draw.ellipse((dx - dot, dy - dot, dx + dot, dy + dot), fill=_colour(self._parasite * 0.75))

    def _draw_speck(self, draw: ImageDraw.ImageDraw, side: int) -> None:
        x, y = self._place(side)
        radius = side * self._generator.uniform(0.01, 0.03)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour(self._parasite * 1.2))


def _colour(values: NDArray[np.float64]) -> tuple[int, int, int]:
    red, green, blue = np.clip(values, 0, 255).astype(int).tolist()
    return red, green, blue


def _blob(g: np.random.Generator, x: float, y: float, radius: float, wobble: float) -> list[tuple[float, float]]:
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    phases = g.uniform(0, 2 * np.pi, 4)
    waves = sum(np.sin((k + 2) * angles + phases[k]) for k in range(4))
    radii = radius * (1 + wobble * waves / 2)
    return list(zip((x + radii * np.cos(angles)).tolist(), (y + radii * np.sin(angles)).tolist(), strict=True))


def draw_set(folder: Path, seed: int, patients: int, cells_each: int) -> None:
    """Write ``parasitized/`` and ``uninfected/`` with a ``groups.csv``; each patient has cells of both kinds."""
    rows = []
    for number in range(patients):
        generator = np.random.default_rng((seed, number))
        patient = Patient(generator)
        for index in range(cells_each):
            label = "parasitized" if index % 2 else "uninfected"
            name = f"{label}/patient{number:03d}-{index:02d}.png"
            (folder / label).mkdir(parents=True, exist_ok=True)
            patient.cell(label == "parasitized").save(folder / name)
            rows.append((name, f"drawn-{number:03d}"))
    with (folder / "groups.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "group"), *rows])
