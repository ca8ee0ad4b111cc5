"""Small pictures and folder-per-class sets that tests draw for themselves."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def noise(seed: int, edge_px: int = 48, tint: tuple[int, int, int] = (128, 128, 128)) -> Image.Image:
    """A picture that no other seed gives, with a tint that a model can learn."""
    generator = np.random.default_rng(seed)
    coarse = generator.normal(0, 30, (6, 6, 3)) + np.array(tint)
    field = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8)).resize((edge_px, edge_px))
    return Image.fromarray(
        np.clip(np.asarray(field, float) + generator.normal(0, 8, (edge_px, edge_px, 3)), 0, 255).astype(np.uint8)
    )


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


TINTS = {"parasitized": (170, 90, 150), "uninfected": (150, 130, 120)}


def write_set(folder: Path, each: int, first_seed: int = 0, groups: int = 10) -> Path:
    """Write two classes with ``each`` pictures and a ``groups.csv``."""
    rows = ["file,group"]
    for number, (label, tint) in enumerate(sorted(TINTS.items())):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for index in range(each):
            name = f"{label}/{first_seed + index}.png"
            noise(first_seed + index + 100_000 * number, tint=tint).save(folder / name)
            rows.append(f"{name},patient-{first_seed}-{index % groups}")
    (folder / "groups.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return folder
