from __future__ import annotations

import pytest

from edge_node.config import EdgeConfig, read_config
from edge_node.errors import EdgeError
from edge_node.transfer.window import Window


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
        ("wan_kbps", "1", "edge.config_value"),
        ("wan_kbps", "nan", "edge.config_value"),
        ("monthly_mb", "-1", "edge.config_value"),
        ("cache_quota_mb", "20", "edge.config_value"),
        ("peer_port", "65536", "edge.config_value"),
        ("window", "22:00", "edge.config_value"),
        ("window", "24:00-06:00", "edge.config_value"),
        ("window", "06:00-06:00", "edge.config_value"),
        ("peers", "host", "edge.config_value"),
        ("peers", "host:0", "edge.config_value"),
        ("peers", "host:99999", "edge.config_value"),
        ("peers", "a:1,,b:2", "edge.config_value"),
        ("peers", "user@host:1", "edge.config_value"),
        ("peers", "http://host:1", "edge.config_value"),
        ("peers", ",".join(f"h{n}:1" for n in range(65)), "edge.config_value"),
        ("mirrors", "ftp://host/", "edge.config_value"),
        ("mirrors", "https://user:pw@host/", "edge.config_value"),
        ("mirrors", "https://host/?a=b", "edge.config_value"),
        ("mirrors", "https:///path", "edge.config_value"),
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


def test_addresses_and_hours_are_read() -> None:
    config = EdgeConfig(peers="10.0.0.7:8443, [2001:db8::1]:9", mirrors="https://cdn.example/medmesh/,http://box:8080")
    assert config.peer_addresses == (("10.0.0.7", 8443), ("2001:db8::1", 9))
    assert config.mirror_urls == ("https://cdn.example/medmesh", "http://box:8080")
    assert not (EdgeConfig().peer_addresses or EdgeConfig().mirror_urls or EdgeConfig().download_window)
    assert EdgeConfig(window="22:00-06:30").download_window == Window(22 * 3600.0, 6.5 * 3600)


def test_zero_switches_a_limit_off() -> None:
    config = EdgeConfig().changed("wan_kbps", "64").changed("monthly_mb", "500").changed("cache_quota_mb", "50")
    assert (config.wan_kbps, config.changed("wan_kbps", "0").wan_kbps) == (64.0, 0.0)
