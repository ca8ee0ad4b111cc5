from __future__ import annotations

import pytest

from edge_node.config import EdgeConfig, read_config
from edge_node.errors import EdgeError


def test_defaults_file_and_environment_in_that_order() -> None:
    assert read_config(b"", {}) == EdgeConfig()
    assert read_config(b"threads = 2\nread_timeout_s = 5", {}) == EdgeConfig(threads=2, read_timeout_s=5.0)
    assert read_config(b"threads = 2", {"MEDMESH_EDGE_THREADS": "3"}).threads == 3


@pytest.mark.parametrize(
    ("key", "text", "code"),
    [
        ("colour", "red", "edge.config_key"),
        ("threads", "0", "edge.config_value"),
        ("threads", "many", "edge.config_value"),
        ("auto_update", "1", "edge.config_value"),
        ("interfaces", "eth0", "edge.config_value"),
        ("read_timeout_s", "nan", "edge.config_value"),
    ],
)
def test_a_setting_that_does_not_fit_is_a_usage_error(key: str, text: str, code: str) -> None:
    with pytest.raises(EdgeError) as caught:
        EdgeConfig().changed(key, text)
    assert (caught.value.code, caught.value.kind.exit_code) == (code, 2)


@pytest.mark.parametrize("data", [b"threads = ", b"threads = true", b'threads = "2"', b"\xff"])
def test_a_damaged_file_is_refused(data: bytes) -> None:
    with pytest.raises(EdgeError):
        read_config(data, {})
