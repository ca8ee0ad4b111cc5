"""The report of a recognition and the clinician's word on it: all that ever leaves a node. Reading one is strict.

There is no place in it for a picture, its digest, a file name, a case reference or free text: labels are those of a
signed release, and times are whole minutes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from protocols.errors import ProtocolError

OUTCOMES = ("recognised", "unsure", "not_this_kind_of_image", "poor_quality")
OTHER = "other"  # the clinician's word where no label of the model fits
MAX_SCORES = 8  # the likeliest labels are reported, not all of them
_MAX_LABELS = 256
_MAX_REASONS = 16
_MAX_REVISION = 9_999
_YEARS = (2000, 2200)
_ID = re.compile(r"[0-9a-f]{32}")
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_WORD = re.compile(r"[a-z][a-z_]{0,39}")

Item = TypeVar("Item")


def is_record_id(text: object) -> bool:
    """Whether ``text`` is a record's id: 128 random bits, lower-case hexadecimal."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def whole_minute(time: datetime) -> datetime:
    """The minute in which ``time`` lies, UTC: exact enough to count by, and harder to match with a waiting list."""
    return time.astimezone(UTC).replace(second=0, microsecond=0)


@dataclass(frozen=True)
class LabelScore:
    """A label's score in 0..1; ``entry`` is its page in the disease knowledge base, None: it has none."""

    label: str
    score: float
    entry: str | None


@dataclass(frozen=True)
class ResultReport:
    """What one model said about one picture.

    Attributes:
        id: random; the same record always travels under it, so that the coordinator counts it once.
        made: by the node's clock, whole minutes, UTC.
        scores: the likeliest labels, likeliest first.
        prediction_set: the labels that cannot be excluded at the stated coverage.
        novelty: residual against the familiar limit, above 1 unfamiliar; None where the model cannot tell.
        blur: above 1 too blurred for the model.
        sharpness: as ``imaging.Quality`` measures it.
        exposure: mean brightness, 0..1.
        quality_ok: the picture was within the model's limits.
    """

    id: str
    made: datetime
    disease: str
    model: str
    version: int
    outcome: str
    reasons: tuple[str, ...]
    scores: tuple[LabelScore, ...]
    prediction_set: tuple[str, ...]
    novelty: float | None
    blur: float
    sharpness: float
    exposure: float
    quality_ok: bool

    @property
    def release(self) -> str:
        """``model@version``."""
        return f"{self.model}@{self.version}"

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "kind": "result",
            "id": self.id,
            "made": self.made.isoformat(),
            "disease": self.disease,
            "model": self.model,
            "version": self.version,
            "outcome": self.outcome,
            "reasons": list(self.reasons),
            "scores": [[x.label, x.score, x.entry] for x in self.scores],
            "set": list(self.prediction_set),
            "novelty": self.novelty,
            "quality": [self.blur, self.sharpness, self.exposure, self.quality_ok],
        }


@dataclass(frozen=True)
class Confirmation:
    """What the clinician says that it is. Of several on one result, the highest ``revision`` (from 1) counts."""

    id: str
    made: datetime
    result: str
    revision: int
    label: str
    entry: str | None

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "kind": "confirmation",
            "id": self.id,
            "made": self.made.isoformat(),
            "result": self.result,
            "revision": self.revision,
            "label": self.label,
            "entry": self.entry,
        }


Report = ResultReport | Confirmation


def read_report(document: object) -> Report:
    """Read a report from JSON.

    Raises:
        ProtocolError: ``results.malformed`` with the field that does not fit.
    """
    if isinstance(document, dict) and document.get("kind") == "result":
        return _Fields(document).read(_result, _RESULT_KEYS)
    if isinstance(document, dict) and document.get("kind") == "confirmation":
        return _Fields(document).read(_confirmation, _CONFIRMATION_KEYS)
    raise ProtocolError("results.malformed", field="kind")


_CONFIRMATION_KEYS = {"kind", "id", "made", "result", "revision", "label", "entry"}
_RESULT_KEYS = {
    *("kind", "id", "made", "disease", "model", "version", "outcome"),
    *("reasons", "scores", "set", "novelty", "quality"),
}


class _Fields:
    """A JSON object that remembers which field was looked at last, to name the one that does not fit."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._field = "keys"

    def __getitem__(self, name: str) -> Any:
        self._field = name
        return self._document[name]

    def read(self, reader: Callable[[_Fields], Item], keys: set[str]) -> Item:
        try:
            if set(self._document) != keys:
                raise ValueError
            return reader(self)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ProtocolError("results.malformed", field=self._field) from error


def _result(fields: _Fields) -> ResultReport:
    return ResultReport(
        id=_matching(fields["id"], _ID),
        made=_minute(fields["made"]),
        disease=_matching(fields["disease"], _SLUG),
        model=_matching(fields["model"], _SLUG),
        version=_whole(fields["version"], 1, 999_999_999),
        outcome=_outcome(fields["outcome"]),
        reasons=tuple(_matching(x, _WORD) for x in _list(fields["reasons"], 0, _MAX_REASONS)),
        scores=_scores(fields["scores"]),
        prediction_set=_different(tuple(_label(x) for x in _list(fields["set"], 0, _MAX_LABELS))),
        novelty=_novelty(fields["novelty"]),
        **_quality(fields["quality"]),
    )


def _confirmation(fields: _Fields) -> Confirmation:
    return Confirmation(
        id=_matching(fields["id"], _ID),
        made=_minute(fields["made"]),
        result=_matching(fields["result"], _ID),
        revision=_whole(fields["revision"], 1, _MAX_REVISION),
        label=_label(fields["label"]),
        entry=_entry(fields["entry"]),
    )


def _scores(value: Any) -> tuple[LabelScore, ...]:
    scores = tuple(_score(x) for x in _list(value, 1, MAX_SCORES))
    _different(tuple(x.label for x in scores))
    return scores


def _score(value: Any) -> LabelScore:
    label, score, entry = _list(value, 3, 3)
    return LabelScore(_label(label), _number(score, 0, 1), _entry(entry))


def _different(labels: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(labels)) != len(labels):
        raise ValueError
    return labels


def _novelty(value: Any) -> float | None:
    return None if value is None else _number(value, 0, 1e9)


def _quality(value: Any) -> dict[str, Any]:
    blur, sharpness, exposure, is_ok = _list(value, 4, 4)
    if not isinstance(is_ok, bool):
        raise ValueError
    return {
        "blur": _number(blur, 0, 1e6),
        "sharpness": _number(sharpness, 0, 1e9),
        "exposure": _number(exposure, 0, 1),
        "quality_ok": is_ok,
    }


def _matching(value: Any, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError
    return value


def _label(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 120 or not value.isprintable():
        raise ValueError
    return value


def _entry(value: Any) -> str | None:
    return None if value is None else _matching(value, _SLUG)


def _outcome(value: Any) -> str:
    if value not in OUTCOMES:
        raise ValueError
    return str(value)


def _list(value: Any, least: int, most: int) -> list[Any]:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise ValueError
    return value


def _number(value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError
    return float(value)


def _whole(value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError
    return value


def _minute(value: Any) -> datetime:
    if not isinstance(value, str) or len(value) > 40:
        raise ValueError
    time = datetime.fromisoformat(value)
    if time.tzinfo is None or not _YEARS[0] <= time.year < _YEARS[1] or whole_minute(time) != time:
        raise ValueError
    return time.astimezone(UTC)
