from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import ProtocolError
from protocols.manifest import ReleaseManifest, parse_release_name, slugify
from tests.support.manifests import example


def test_manifest_survives_its_bytes() -> None:
    manifest = example()
    assert ReleaseManifest.from_bytes(manifest.to_bytes()) == manifest


def test_how_thresholds_were_found_travels_along_and_older_manifests_keep_their_bytes() -> None:
    told = replace(example(), methods={"familiar": {"method": "quantile_of_unseen_images", "share": 0.97}})
    assert ReleaseManifest.from_bytes(told.to_bytes()) == told
    assert b"methods" not in example().to_bytes()


def test_running_takes_the_stages_and_the_novelty_statistics_but_no_golden_pictures() -> None:
    manifest = example()
    assert [a.role for a in manifest.needed_to_run] == ["trunk", "head", "novelty"]
    assert [a.role for a in replace(manifest, novelty=None).needed_to_run] == ["trunk", "head"]
    twice = replace(manifest, stages=(manifest.stages[0], manifest.stages[1], manifest.stages[1]))
    assert [a.role for a in twice.needed_to_run] == ["trunk", "head", "novelty"]


def broken(**changes: Any) -> bytes:
    return json.dumps(example().document() | changes).encode()


@pytest.mark.parametrize(
    "change",
    [
        {"format": "medmesh.release/2"},
        {"disease": "../etc"},
        {"model": "UPPER"},
        {"version": 0},
        {"version": True},
        {"created": ""},
        {"least_node_version": "soon"},
        {"labels": [{"label": "only", "entry": None, "kind": "normal"}]},
        {"labels": [{"label": "a", "entry": None, "kind": "normal"}, {"label": "a", "entry": None, "kind": "normal"}]},
        {"stages": []},
        {"stages": [{"sha256": "f" * 64, "inputs": []}]},
        {"artifacts": []},
        {"calibration": {"temperature": 0, "coverage": 0.9, "thresholds": [1, 1]}},
        {"calibration": {"temperature": 1, "coverage": 0.9, "thresholds": [1]}},
        {"quality": None},
        {"golden": {"sha256": "a" * 64, "scores": [[0.5]]}},
        {"metrics": []},
        {"methods": []},
        {"methods": {"familiar": "a guess"}},
        {"methods": {"familiar": {"share": 0.97}}},
        {"methods": {"familiar": {"method": "line\nbreak"}}},
        {"methods": {str(n): {"method": "many"} for n in range(99)}},
    ],
)
def test_malformed_manifest_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        ReleaseManifest.from_bytes(broken(**change))
    assert caught.value.code == "manifest.malformed"


def test_missing_field_is_refused() -> None:
    document = example().document()
    for name in list(document):
        rest = {k: v for k, v in document.items() if k != name}
        with pytest.raises(ProtocolError):
            ReleaseManifest.from_bytes(json.dumps(rest).encode())


def test_other_preparation_is_refused_with_both_versions() -> None:
    changed = example().document()["input"] | {"prepare_version": 99}
    with pytest.raises(ProtocolError) as caught:
        ReleaseManifest.from_bytes(broken(input=changed))
    assert caught.value.code == "manifest.prepare_version"
    assert "99" in caught.value.message("en")


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused_politely(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        ReleaseManifest.from_bytes(data)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@settings(max_examples=200)
@given(st.sampled_from(sorted(example().document())), ANY_JSON)
def test_any_value_in_any_field_is_read_or_refused_politely(field: str, value: Any) -> None:
    with contextlib.suppress(ProtocolError):
        ReleaseManifest.from_bytes(broken(**{field: value}))


def test_release_names() -> None:
    assert parse_release_name("malaria@3") == ("malaria", 3)
    assert parse_release_name("malaria") == ("malaria", None)
    for bad in ("malaria@0", "malaria@x", "@1", "a/b@1", ""):
        with pytest.raises(ProtocolError):
            parse_release_name(bad)
    assert slugify("Malaria Cells_2") == "malaria-cells-2"
