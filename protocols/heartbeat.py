"""How a node stands: a signed document of counts, on the node's own line, carried by a peer, or on a stick. Pure, read strictly.

There is no place in it for a picture, a case reference, a patient or text that a site chose: names are those of signed
releases, of the program and of error codes, the rest are numbers and times in whole minutes. It is signed by the node's key, so
that whoever carries it can change nothing, and sealed to the coordinator where it goes by other hands.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar, cast

from protocols.artifacts import canonical_json
from protocols.errors import ProtocolError
from protocols.results.report import whole_minute
from protocols.signatures import Signed, opened

FORMAT = "medmesh.heartbeat/1"  # what is signed, and what a coordinator says that it accepts
SEALED_FOR = b"medmesh.heartbeat/1 carried"  # HPKE's info, so that what is sealed here opens nowhere else
MAX_FRAME_BYTES = 24 * 1024  # a usual one takes less than 1 kB; longest names everywhere would take 16
MAX_RELEASES = 64
MAX_DECLINED = 64
MAX_EVENTS = 64
_MAX_JSON_BYTES = 64 * 1024
_MAX_COUNT = 2**53
_OWN, _CARRIED = b"MMHB\x01", b"MMHC\x01"
_NODE_BYTES = 8
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_RELEASE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}@[1-9][0-9]{0,8}")
_WORD = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")
_NODE = re.compile(r"[0-9a-f]{16}")
_YEARS = (2000, 2200)

SelfTest = Literal["passed", "refused", "none"]
Reason = Literal["worse_here", "self_test", "failed", "by_hand"]
SELF_TESTS: tuple[SelfTest, ...] = ("passed", "refused", "none")
REASONS: tuple[Reason, ...] = ("worse_here", "self_test", "failed", "by_hand")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Outcomes:
    """How many pictures ended how; the names are those of ``results.report.OUTCOMES``."""

    recognised: int = 0
    unsure: int = 0
    not_this_kind_of_image: int = 0
    poor_quality: int = 0

    @property
    def total(self) -> int:
        """All pictures."""
        return self.recognised + self.unsure + self.not_this_kind_of_image + self.poor_quality


@dataclass(frozen=True)
class ReleaseHealth:
    """How one release does on the node. Counts rise from ``since`` on and begin anew with another ``since``.

    Attributes:
        disease: what it is for.
        release: ``model@version``.
        active: it is the one in use.
        since: when it came into use here, or was first tried.
        self_test: what this machine's self-test said; none: it came to no end.
        failures: how often bringing it into use or running it failed by its own fault, self-tests included.
        outcomes: of the pictures that were saved.
        confirmed: results on which a clinician has said what it is.
        agreed: those where that was the release's likeliest label.
    """

    disease: str
    release: str
    active: bool
    since: datetime
    self_test: SelfTest
    failures: int
    outcomes: Outcomes
    confirmed: int
    agreed: int


@dataclass(frozen=True)
class Comparison:
    """A candidate against the active release on the site's own labelled set.

    Attributes:
        candidate, active: balanced accuracy, 0..1.
        low, high: 95 % interval of candidate less active, -1..1.
        n, groups: pictures and groups that were looked at.
    """

    candidate: float
    active: float
    low: float
    high: float
    n: int
    groups: int


@dataclass(frozen=True)
class Decline:
    """A release that the node does not bring into use. ``detail`` stands exactly where it was ``worse_here``."""

    disease: str
    release: str
    reason: Reason
    detail: Comparison | None = None


@dataclass(frozen=True)
class Heartbeat:
    """How a node stands.

    Attributes:
        serial: rises with each; the highest counts.
        sent: by the node's clock.
        program: its version.
        storage_used_bytes, storage_free_bytes: of the cache, and on the disk that it lies on.
        outbox_waiting: records that wait for the coordinator.
        catalogue_serial: of the list last verified; None: never.
        releases: in use, and those that failed since.
        declined: releases that it does not take.
        stale_days: whole days since the list was verified; None: never.
        outbox_refused: records that the coordinator turned down.
        events: how often what went wrong, by code.
    """

    serial: int
    sent: datetime
    program: str
    storage_used_bytes: int
    storage_free_bytes: int
    outbox_waiting: int
    catalogue_serial: int | None
    releases: tuple[ReleaseHealth, ...] = ()
    declined: tuple[Decline, ...] = ()
    stale_days: int | None = None
    outbox_refused: int = 0
    events: tuple[tuple[str, int], ...] = ()

    def document(self) -> dict[str, Any]:
        """The JSON form, cut to what a reader takes; releases in use stand before others."""
        releases = sorted(self.releases, key=lambda health: not health.active)[:MAX_RELEASES]
        return {
            "serial": self.serial,
            "sent": whole_minute(self.sent).isoformat(),
            "program": self.program,
            "storage": [self.storage_used_bytes, self.storage_free_bytes],
            "outbox": [self.outbox_waiting, self.outbox_refused],
            "catalogue": [self.catalogue_serial, self.stale_days],
            "releases": [_health_document(health) for health in releases],
            "declined": [_decline_document(decline) for decline in self.declined[:MAX_DECLINED]],
            "events": dict(self.events[:MAX_EVENTS]),
        }


@dataclass(frozen=True)
class Letter:
    """A heartbeat and whose it is: what the node signs."""

    node: str
    heartbeat: Heartbeat

    def body(self) -> bytes:
        """The bytes to sign, without the format's name (``signatures.signed_bytes``)."""
        return canonical_json({"node": self.node, "heartbeat": self.heartbeat.document()})


def is_heartbeat(frame: bytes) -> bool:
    """Whether a binary frame is a heartbeat, the sender's own or one that it carries."""
    return frame.startswith((_OWN, _CARRIED))


def pack(envelope: bytes) -> bytes:
    """The frame of a signed letter (``signatures.envelope``)."""
    return _OWN + zlib.compress(envelope, 9)


def unpack(frame: bytes) -> tuple[Letter, Signed]:
    """Read a letter from a stranger: bounded before it is expanded; the signature is still to be verified.

    Raises:
        ProtocolError: ``heartbeat.too_large`` or ``heartbeat.malformed`` with the field that does not fit.
    """
    if len(frame) > MAX_FRAME_BYTES:
        raise ProtocolError("heartbeat.too_large", limit=MAX_FRAME_BYTES)
    inflater = zlib.decompressobj()
    try:
        if not frame.startswith(_OWN):
            raise ValueError
        data = inflater.decompress(frame[len(_OWN) :], _MAX_JSON_BYTES)
        if not inflater.eof or inflater.unused_data:
            raise ValueError
        signed, document = opened(data, FORMAT, _MAX_JSON_BYTES)
    except (zlib.error, ValueError, RecursionError) as error:
        raise ProtocolError("heartbeat.malformed", field="envelope") from error
    match document:
        case {"node": str(node), "heartbeat": heartbeat} if len(document) == 2 and _NODE.fullmatch(node):
            return Letter(node, read_heartbeat(heartbeat)), signed
    raise ProtocolError("heartbeat.malformed", field="node")


def pack_carried(node: str, sealed: bytes) -> bytes:
    """The frame of another node's letter, whose frame was sealed to the coordinator."""
    return _CARRIED + bytes.fromhex(node) + sealed


def unpack_carried(frame: bytes) -> tuple[str, bytes] | None:
    """Whose letter a frame carries, and what is sealed; None: it carries none, it is the sender's own.

    Raises:
        ProtocolError: ``heartbeat.too_large`` or ``heartbeat.malformed``.
    """
    if not frame.startswith(_CARRIED):
        return None
    if len(frame) > MAX_FRAME_BYTES:
        raise ProtocolError("heartbeat.too_large", limit=MAX_FRAME_BYTES)
    start = len(_CARRIED) + _NODE_BYTES
    if len(frame) <= start:
        raise ProtocolError("heartbeat.malformed", field="carried")
    return frame[len(_CARRIED) : start].hex(), frame[start:]


def read_heartbeat(document: object) -> Heartbeat:
    """Read a heartbeat from JSON.

    Raises:
        ProtocolError: ``heartbeat.malformed`` with the field that does not fit.
    """
    read = _Fields(document)
    heartbeat = Heartbeat(
        serial=read("serial", lambda value: _whole(value, 1)),
        sent=read("sent", _minute),
        program=read("program", lambda value: _matching(value, _WORD)),
        storage_used_bytes=read("storage", lambda value: _whole(_list(value, 2, 2)[0])),
        storage_free_bytes=read("storage", lambda value: _whole(value[1])),
        outbox_waiting=read("outbox", lambda value: _whole(_list(value, 2, 2)[0])),
        outbox_refused=read("outbox", lambda value: _whole(value[1])),
        catalogue_serial=read("catalogue", lambda value: _optional(_list(value, 2, 2)[0])),
        stale_days=read("catalogue", lambda value: _optional(value[1])),
        releases=read("releases", read_releases),
        declined=read("declined", _declined),
        events=read("events", _events),
    )
    read.expect_no_more()
    return heartbeat


class _Fields:
    """A JSON object of which every field is to be read, and which names the one that does not fit."""

    def __init__(self, document: object) -> None:
        if not isinstance(document, dict):
            raise ProtocolError("heartbeat.malformed", field="heartbeat")
        self._document = document
        self._read: set[str] = set()

    def __call__(self, name: str, reader: Callable[[Any], Item]) -> Item:
        self._read.add(name)
        try:
            return reader(self._document[name])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ProtocolError("heartbeat.malformed", field=name) from error

    def expect_no_more(self) -> None:
        if set(self._document) != self._read:
            raise ProtocolError("heartbeat.malformed", field="keys")


def _health_document(health: ReleaseHealth) -> list[Any]:
    counts = health.outcomes
    return [
        health.disease,
        health.release,
        health.active,
        whole_minute(health.since).isoformat(),
        health.self_test,
        health.failures,
        [counts.recognised, counts.unsure, counts.not_this_kind_of_image, counts.poor_quality],
        [health.confirmed, health.agreed],
    ]


def _decline_document(decline: Decline) -> list[Any]:
    detail = decline.detail
    numbers = None if detail is None else [getattr(detail, field.name) for field in fields(Comparison)]
    return [decline.disease, decline.release, decline.reason, numbers]


def read_releases(value: Any) -> tuple[ReleaseHealth, ...]:
    """Read the releases of a heartbeat's document alone.

    Raises:
        ValueError, TypeError: they do not fit.
    """
    found = tuple(_health(row) for row in _list(value, 0, MAX_RELEASES))
    if len({(health.disease, health.release) for health in found}) != len(found):
        raise ValueError
    return found


def _health(row: Any) -> ReleaseHealth:
    disease, release, active, since, self_test, failures, counts, words = _list(row, 8, 8)
    confirmed, agreed = (_whole(x) for x in _list(words, 2, 2))
    if not isinstance(active, bool) or agreed > confirmed:
        raise ValueError
    return ReleaseHealth(
        disease=_matching(disease, _SLUG),
        release=_matching(release, _RELEASE),
        active=active,
        since=_minute(since),
        self_test=cast(SelfTest, _one_of(self_test, SELF_TESTS)),
        failures=_whole(failures),
        outcomes=Outcomes(*(_whole(x) for x in _list(counts, 4, 4))),
        confirmed=confirmed,
        agreed=agreed,
    )


def _declined(value: Any) -> tuple[Decline, ...]:
    found = tuple(_decline(row) for row in _list(value, 0, MAX_DECLINED))
    if len({(decline.disease, decline.release) for decline in found}) != len(found):
        raise ValueError
    return found


def _decline(row: Any) -> Decline:
    disease, release, reason, numbers = _list(row, 4, 4)
    reason = cast(Reason, _one_of(reason, REASONS))
    if (numbers is None) != (reason != "worse_here"):
        raise ValueError
    detail = None if numbers is None else _comparison(*_list(numbers, 6, 6))
    return Decline(_matching(disease, _SLUG), _matching(release, _RELEASE), reason, detail)


def _comparison(candidate: Any, active: Any, low: Any, high: Any, n: Any, groups: Any) -> Comparison:
    found = Comparison(
        _number(candidate, 0), _number(active, 0), _number(low, -1), _number(high, -1), _whole(n, 1), _whole(groups, 1)
    )
    if found.low > found.high or found.groups > found.n:
        raise ValueError
    return found


def _events(value: Any) -> tuple[tuple[str, int], ...]:
    if not isinstance(value, Mapping) or len(value) > MAX_EVENTS:
        raise ValueError
    return tuple((_matching(code, _WORD), _whole(count)) for code, count in value.items())


def _list(value: Any, least: int, most: int) -> list[Any]:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise ValueError
    return value


def _one_of(value: Any, words: tuple[str, ...]) -> str:
    if value not in words:
        raise ValueError
    return str(value)


def _matching(value: Any, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError
    return value


def _whole(value: Any, low: int = 0) -> int:
    if type(value) is not int or not low <= value <= _MAX_COUNT:
        raise ValueError
    return value


def _optional(value: Any) -> int | None:
    return None if value is None else _whole(value)


def _number(value: Any, low: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= 1:
        raise ValueError
    return float(value)


def _minute(value: Any) -> datetime:
    if not isinstance(value, str) or len(value) > 40:
        raise ValueError
    time = datetime.fromisoformat(value)
    if time.tzinfo is None or not _YEARS[0] <= time.year < _YEARS[1] or whole_minute(time) != time:
        raise ValueError
    return time.astimezone(UTC)
