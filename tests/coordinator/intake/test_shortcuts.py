"""Telling classes apart without looking at the picture is found, and only then."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from coordinator.intake.images import Facts
from coordinator.intake.samples import Sample
from coordinator.intake.shortcuts import FACETS, Audit, audit, from_document, sentence
from coordinator.training.metrics import Interval

LABELS = ("melanoma", "nevus")
CHANCE = np.random.default_rng(3)


def samples(count: int = 120, classes: tuple[str, ...] = LABELS, **by_class: Callable[[int, int], Any]) -> list[Sample]:
    """Images whose files say nothing of their class, but for what ``by_class`` gives (class number, image number)."""
    made = []
    for number in range(count):
        label = number % len(classes)
        width, height = (int(x) for x in CHANCE.integers(300, 900, 2))
        values: dict[str, Any] = {
            "size": (width, height),
            "format": CHANCE.choice(["JPEG", "PNG"]),
            "border": tuple(int(x) for x in CHANCE.integers(0, 255, 3)),
            "name": f"{hashlib.sha256(bytes([number])).hexdigest()[:10]}.png",
        }
        values |= {name: of(label, number) for name, of in by_class.items()}
        facts = Facts(*values["size"], values["format"], values["border"])
        made.append(
            Sample(f"{number:064x}", classes[label], f"p{number // 3}", f"{classes[label]}/{values['name']}", facts)
        )
    return made


def found(made: list[Sample]) -> set[str]:
    return {a.facet for a in audit(made) if a.found}


@pytest.mark.parametrize(
    ("by_class", "expected"),
    [
        ({}, set()),
        ({"size": lambda c, n: (512, 512) if c else (400 + n, 400 + n)}, {"size"}),
        ({"size": lambda c, n: ((900, 300), (300, 900))[c]}, {"size", "aspect"}),
        ({"format": lambda c, n: ("JPEG", "PNG")[c]}, {"format"}),
        ({"border": lambda c, n: (0, 0, 0) if c else (200, 180, 160)}, {"border"}),
        ({"border": lambda c, n: (120, 100, 80) if c else (80, 100, 120)}, {"border"}),
        ({"name": lambda c, n: f"{('IM-', 'person')[c]}{n}.jpg"}, {"name"}),
        ({"name": lambda c, n: f"{('scan_A_', 'scan_B_')[c]}{n}.jpg"}, {"name"}),
        # a class's own words in the names of its files, as people number them, say nothing new
        ({"name": lambda c, n: f"{LABELS[c]} ({n}).png"}, set()),
        # serial numbers by class do not help with the next file
        ({"name": lambda c, n: f"img{c * 1000 + n}.png"}, set()),
    ],
)
def test_what_tells_the_class(by_class: dict, expected: set[str]) -> None:
    assert found(samples(**by_class)) == expected


def test_random_files_rarely_raise_an_alarm() -> None:
    assert sum(len(found(samples(80))) for _ in range(20)) <= 2, "of 100 facets"


def test_a_patients_own_habit_is_no_shortcut() -> None:
    """A size that only one patient has would be learned by heart, if images and not groups were held out."""
    made = samples(120, size=lambda c, n: (300 + 5 * (n // 6), 400))
    made = [
        Sample(s.sha256, LABELS[(n // 6) % 2], f"p{n // 6}", f"{LABELS[(n // 6) % 2]}/{n}.png", s.facts)
        for n, s in enumerate(made)
    ]
    assert "size" not in found(made)


def test_too_little_to_say_anything() -> None:
    assert audit([]) == [] and audit(samples(30)) == []
    one_group = [Sample(s.sha256, s.label, "p", s.file, s.facts) for s in samples()]
    assert audit(one_group) == []
    unknown = [Sample(s.sha256, s.label, s.group, s.file) for s in samples()]
    assert audit(unknown) == [], "imported before facts were recorded"


def test_document_and_sentence() -> None:
    audits = audit(samples(classes=("a", "b", "c"), format=lambda c, n: ("JPEG", "PNG", "BMP")[c]))
    assert [a.facet for a in audits] == list(FACETS)
    chosen = next(a for a in audits if a.found)
    assert chosen.facet == "format" and chosen.chance == pytest.approx(1 / 3)
    assert {t[:2] for t in chosen.telling} == {("JPEG", "a"), ("PNG", "b"), ("BMP", "c")}
    assert from_document(chosen.document()).document() == chosen.document()
    assert "file format" in sentence(chosen).en and "文件格式" in sentence(chosen).zh


def test_a_tiny_gain_and_one_that_chance_gives_too_are_no_finding() -> None:
    for value, p_value, expected in ((0.54, 0.005, False), (0.56, 0.005, True), (0.7, 0.02, False), (0.5, 1.0, False)):
        assert Audit("size", Interval(value, None, None), 0.5, p_value, ()).found is expected
