"""What kind of imaging a data set comes from, and so which alterations leave its meaning alone.

A mirrored chest X-ray shows a heart on the wrong side; a mirrored blood cell is a blood cell. Where nothing is known the
careful alterations are used: no mirror, no turn, no stain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Modality = Literal["microscopy", "histology", "dermatology", "xray", "mri", "ct", "ultrasound", "fundus", "other"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)


@dataclass(frozen=True)
class Freedom:
    """What may be done to an image.

    Attributes:
        turned: any quarter turn and mirror image means the same.
        tilt_degrees: by how much a hand or a patient may be out of line.
        coloured: its colours come from light and camera; greys stay grey.
        stained: its colours come from stains, which differ from one laboratory to the next.
    """

    turned: bool = False
    tilt_degrees: float = 0.0
    coloured: bool = True
    stained: bool = False


FREEDOM: dict[Modality, Freedom] = {
    "microscopy": Freedom(turned=True, stained=True),
    "histology": Freedom(turned=True, stained=True),
    "dermatology": Freedom(turned=True),
    "xray": Freedom(tilt_degrees=7.0, coloured=False),
    "mri": Freedom(tilt_degrees=7.0, coloured=False),
    "ct": Freedom(tilt_degrees=7.0, coloured=False),
    "ultrasound": Freedom(coloured=False),
    "fundus": Freedom(tilt_degrees=7.0),
    "other": Freedom(),
}

# Words of names and labels; a word counts only as a whole, with or without a plural s, Chinese ones wherever they stand.
_WORDS: dict[Modality, str] = {
    "histology": "histology histopathology histopathological biopsy wsi 病理 组织",
    "xray": "xray cxr radiograph chest pneumonia tuberculosis x光 胸片",
    "mri": "mri 磁共振",
    "ct": "ct tomography",
    "ultrasound": "ultrasound sonography echo 超声",
    "fundus": "fundus retina retinal retinopathy glaucoma 眼底",
    "microscopy": "smear malaria parasitized plasmodium microscopy cytology bccd wbc rbc platelet 涂片 疟",
    "dermatology": "dermatology dermoscopy skin melanoma nevus keratosis 皮肤 黑色素瘤",
}
_WORD = re.compile(r"[a-z]+|[一-鿿]+")
_COLOUR = 0.05  # mean difference of the channels of a thumbnail, in its own standard deviations, below which it is grey


def guess(names: Iterable[str]) -> Modality:
    """The modality that the names of a data set, its disease and its classes speak of; ``other`` where none or two do."""
    words: set[str] = set()
    text = " ".join(names).lower()
    for word in _WORD.findall(re.sub(r"x[\s_-]?ray", "xray", text)):
        words |= {word, word.removesuffix("s")}
    found = [
        m
        for m, known in _WORDS.items()
        for k in [known.split()]
        if words & {*k} or any(w in text for w in k if not w.isascii())
    ]
    return found[0] if len(found) == 1 else "other"


def held_to_its_pictures(guessed: Modality, thumbnails: NDArray[np.float32]) -> Modality:
    """A guess that the pictures do not contradict: stains and skin have colour.

    Args:
        guessed: from names.
        thumbnails: [images, 192] of RGB pixels, as ``protocols.novelty.thumbnail`` makes them.
    """
    pixels = thumbnails.reshape(len(thumbnails), -1, 3)
    grey = bool(np.median(np.ptp(pixels, axis=2).mean(axis=1)) < _COLOUR)
    freedom = FREEDOM[guessed]
    return "other" if grey and (freedom.stained or freedom.turned) else guessed
