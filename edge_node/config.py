"""The node's settings: a frozen dataclass, read from TOML and the environment, changed one key at a time."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from edge_node.addresses import MOST, parse_mirrors, parse_peers
from edge_node.errors import EdgeError
from edge_node.transfer.window import Window

ENVIRONMENT_PREFIX = "MEDMESH_EDGE_"
INTERFACES = ("all", "default", "loopback")
HISTORY_KEYS = ("auto", "file")


@dataclass(frozen=True)
class EdgeConfig:
    """Settings with their units.

    Attributes:
        auto_update: ``serve`` installs new versions of the models in use.
        threads: threads of LiteRT for one image.
        isolate: models run in a process of their own, which may crash; else within the program.
        worker_memory_mb: address space of that process, megabytes.
        worker_timeout_s: longest time for preparing a picture, and for each model to run on it, seconds.
        interfaces: where ``discover`` listens: all, default or loopback.
        connect_timeout_s: longest wait for a connection, seconds.
        read_timeout_s: longest silence within an answer, seconds.
        retry_s: how long to go on trying for list and files where nobody answers, seconds; 0: no second attempt.
        diagnosis_timeout_s: longest wait for the coordinator's knowledge base before the replica is used, seconds.
        history_days: how long a result is kept after the coordinator has it, days; unsent ones are kept.
        history_key: where a new history's key is put: auto (the system's keystore, else a file) or file, for a service
            that runs where nobody is logged in.
        pictures_mb: most that the copies of pictures kept with results take up, megabytes; 0: none are kept.
        outbox_most: unsent records at which saving is refused.
        heartbeat_gap_s: least time between heartbeats that only tell of new results, seconds; failures and changes of release
            are told at once.
        discovery: look for the coordinator and other nodes on the local network, and be found there.
        peers: other nodes to ask, ``host:port`` and commas between them.
        share: give what is cached here to other nodes.
        peer_port: where other nodes reach this one; 0: any free port.
        mirrors: base addresses of plain file servers with the coordinator's artifacts, commas between them.
        wan_kbps: most that is received from the coordinator and mirrors, kbit/s; 0: no cap.
        lan_kbps: most that is exchanged with other nodes, kbit/s; 0: no cap.
        metered: the link costs by the byte; nothing big is fetched unless somebody asks for it.
        window: local times of day within which ``serve`` fetches anything big, ``22:00-06:00``; empty: always.
        monthly_mb: WAN bytes of a calendar month, megabytes; 0: no budget.
        cache_quota_mb: most that models may take up on the disk, megabytes; 0: no quota.
    """

    auto_update: bool = True
    threads: int = 1
    isolate: bool = True
    worker_memory_mb: int = 2048
    worker_timeout_s: float = 60.0
    interfaces: str = "all"
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    retry_s: float = 10.0
    diagnosis_timeout_s: float = 1.5
    history_days: int = 90
    history_key: str = "auto"
    pictures_mb: int = 500
    outbox_most: int = 50_000
    heartbeat_gap_s: int = 900
    discovery: bool = True
    peers: str = ""
    share: bool = True
    peer_port: int = 0
    mirrors: str = ""
    wan_kbps: float = 0.0
    lan_kbps: float = 0.0
    metered: bool = False
    window: str = ""
    monthly_mb: int = 0
    cache_quota_mb: int = 0

    def __post_init__(self) -> None:
        """Refuse values outside their bounds.

        Raises:
            EdgeError: ``edge.config_value``.
        """
        _require(self.interfaces in INTERFACES, "interfaces", self.interfaces, " | ".join(INTERFACES))
        _require(self.history_key in HISTORY_KEYS, "history_key", self.history_key, " | ".join(HISTORY_KEYS))
        for key, (low, high) in _BOUNDS.items():
            value = getattr(self, key)
            _require(low <= value <= high, key, value, f"{low} … {high}")
        for key, (low, high) in _BOUNDS_OR_NONE.items():
            value = getattr(self, key)
            _require(value == 0 or low <= value <= high, key, value, f"0 | {low} … {high}")
        for key, (parse, wanted) in _FORMS.items():
            _parsed(parse, key, getattr(self, key), wanted)

    @property
    def peer_addresses(self) -> tuple[tuple[str, int], ...]:
        """``peers``, read."""
        return parse_peers(self.peers)

    @property
    def mirror_urls(self) -> tuple[str, ...]:
        """``mirrors``, read."""
        return parse_mirrors(self.mirrors)

    @property
    def download_window(self) -> Window | None:
        """``window``, read; None: always."""
        return Window.parse(self.window) if self.window else None

    def document(self) -> dict[str, Any]:
        """The settings by key."""
        return asdict(self)

    def changed(self, key: str, text: str) -> EdgeConfig:
        """A copy with one setting given as text, as on a command line.

        Raises:
            EdgeError: ``edge.config_key`` or ``edge.config_value``.
        """
        values: dict[str, Any] = {key: _parse(key, text)}
        return replace(self, **values)


_KEYS: dict[str, type] = {field.name: type(field.default) for field in fields(EdgeConfig)}
_BOUNDS: dict[str, tuple[float, float]] = {
    "threads": (1, 64),
    "worker_memory_mb": (256, 1_000_000),
    "worker_timeout_s": (1, 3600),
    "connect_timeout_s": (0.1, 600),
    "read_timeout_s": (0.1, 3600),
    "retry_s": (0, 3600),
    "diagnosis_timeout_s": (0.1, 60),
    "history_days": (1, 36_500),
    "outbox_most": (1, 10_000_000),
    "heartbeat_gap_s": (5, 86_400),
    "peer_port": (0, 65_535),
}
_BOUNDS_OR_NONE: dict[str, tuple[float, float]] = {  # where 0 switches the limit off
    "wan_kbps": (8, 10_000_000),
    "lan_kbps": (8, 10_000_000),
    "monthly_mb": (1, 100_000_000),
    "pictures_mb": (1, 100_000_000),
    "cache_quota_mb": (50, 100_000_000),  # a model with its trunk takes up 25
}
_FORMS: dict[str, tuple[Callable[[str], object], str]] = {
    "peers": (parse_peers, f"host:port,host:port … (≤ {MOST})"),
    "mirrors": (parse_mirrors, f"https://host/path,http://host:port … (≤ {MOST})"),
    "window": (lambda text: Window.parse(text) if text else None, '22:00-06:00 | ""'),
}


def _require(fits: bool, key: str, value: object, wanted: str) -> None:
    if not fits:
        raise EdgeError("edge.config_value", key=key, value=value, wanted=wanted)


def _parsed(parse: Callable[[str], object], key: str, text: str, wanted: str) -> None:
    try:
        parse(text)
    except ValueError as error:
        raise EdgeError("edge.config_value", key=key, value=text[:200], wanted=wanted) from error


def _kind(key: str) -> type:
    if key not in _KEYS:
        raise EdgeError("edge.config_key", key=key, known=", ".join(_KEYS))
    return _KEYS[key]


def _parse(key: str, text: str) -> bool | int | float | str:
    kind = _kind(key)
    if kind is bool:
        _require(text.lower() in ("true", "false"), key, text, "true | false")
        return text.lower() == "true"
    try:
        value = kind(text)
    except ValueError as error:
        raise EdgeError("edge.config_value", key=key, value=text, wanted=kind.__name__) from error
    if not isinstance(value, int | float | str):
        raise TypeError(kind)
    return value


def read_config(data: bytes, environment: Mapping[str, str]) -> EdgeConfig:
    """Read settings from TOML, then from ``MEDMESH_EDGE_<KEY>``, which win.

    Raises:
        EdgeError: ``edge.config_malformed``, ``edge.config_key`` or ``edge.config_value``.
    """
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except ValueError as error:
        raise EdgeError("edge.config_malformed") from error
    for key, value in document.items():
        kind = _kind(key)
        if kind is float and type(value) is int:
            document[key] = float(value)
        else:
            _require(type(value) is kind, key, value, kind.__name__)
    config = EdgeConfig(**document)
    for key in _KEYS:
        if text := environment.get(ENVIRONMENT_PREFIX + key.upper()):
            config = config.changed(key, text)
    return config
