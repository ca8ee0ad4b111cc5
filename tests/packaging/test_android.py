"""Nobody has built the Android package, and nobody may overlook that; what can be checked without building is."""

from __future__ import annotations

import ast
import configparser
import tomllib

from tests.conftest import ROOT

SPEC = ROOT / "packaging" / "buildozer.spec"


def test_the_first_lines_and_the_documentation_say_that_it_is_untested() -> None:
    assert all(line.startswith("# UNTESTED") for line in SPEC.read_text("utf-8").splitlines()[:2])
    main = ast.parse((ROOT / "packaging" / "android" / "main.py").read_text("utf-8"))
    assert "UNTESTED" in (ast.get_docstring(main) or "")
    operations = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert "UNTESTED" in operations[operations.index("buildozer.spec") - 400 : operations.index("buildozer.spec") + 400]


def test_it_names_what_the_edge_needs_and_never_tensorflow() -> None:
    spec = configparser.ConfigParser(interpolation=None)
    spec.read(SPEC, "utf-8")
    named = {entry.split("==")[0] for entry in spec["app"]["requirements"].split(",")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert spec["app"]["version"] == project["version"]
    wanted = project["dependencies"] + project["optional-dependencies"]["edge"] + project["optional-dependencies"]["ui"]
    names = {entry.split(">")[0].split("[")[0].split("=")[0].strip() for entry in wanted}
    absent = {"ai-edge-litert", "keyring", "zxing-cpp"}  # without a recipe; the file says what that means
    assert names - named == absent
    assert all(name in SPEC.read_text("utf-8") for name in absent)
    assert not any("tensorflow" in name for name in named)


def test_models_run_within_the_app() -> None:
    assert '"MEDMESH_EDGE_ISOLATE", "false"' in (ROOT / "packaging" / "android" / "main.py").read_text("utf-8")
