"""What pages say in the place of names, codes and curves that the store keeps."""

from __future__ import annotations

import pytest

from coordinator.web.pages.jobs import drawn
from coordinator.web.texts import texts
from coordinator.web.views import full_name, why


@pytest.mark.parametrize(
    ("site", "node", "shown"), [("North", "a", "North · a"), ("", "a", "a"), ("North", "North", "North")]
)
def test_nodes_of_one_site_are_told_apart(site: str, node: str, shown: str) -> None:
    assert full_name(site, node) == shown


def test_a_code_is_said_as_its_sentence_where_that_needs_nothing_more() -> None:
    assert why("federation.no_images", "zh") == "本机没有该疾病的已标注图像。"
    assert why("federation.labels_disjoint", "en") == "federation.labels_disjoint", "its sentence names labels"
    assert why("of.tomorrow", "en") == "of.tomorrow"


def test_curves_share_a_colour_by_run_and_end_where_they_end() -> None:
    curves = [
        {"run": "a", "name": "mixed4", "loss": [0.9, 0.5, 0.4], "validation": [1.0, 0.7, None]},
        {"run": "b", "name": "mixed7", "loss": [0.8], "validation": [None]},
    ]
    found = drawn(curves, texts("zh").t)
    assert found["x"] == [1, 2, 3]
    assert [(s["name"], s["y"], s["colour"], s.get("dash", 0)) for s in found["series"]] == [
        ("1. mixed4：训练", [0.9, 0.5, 0.4], 0, 0),
        ("1. mixed4：验证", [1.0, 0.7, None], 0, 1),
        ("2. mixed7：训练", [0.8, None, None], 1, 0),
    ]
    assert drawn([], texts("en").t) == {"x": [], "series": []}
