"""What an uploader says before sending anything. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from coordinator.errors import CoordinatorError
from protocols.artifacts import is_sha256
from protocols.imaging import MIN_EDGE_PX
from protocols.manifest import SLUG

Kind = Literal["dataset", "model"]
LEAST_PART_BYTES: Final = 64 * 1024
MOST_PART_BYTES: Final = 16 * 1024 * 1024
MOST_PARTS: Final = 20_000
MOST_GROUPS_BYTES: Final = 4 * 1024 * 1024
MOST_LABELS_BYTES: Final = 256 * 1024
MODEL_FORMATS: Final = ("tflite", "keras", "h5")
EFFORTS: Final = ("quick", "standard", "full")
MOST_BYTES: Final = 1 << 40
_MOST_DEPTH = 8


@dataclass(frozen=True)
class Declaration:
    """A checked declaration.

    Attributes:
        kind: what is sent.
        size: bytes of the whole.
        sha256: of the whole.
        part_bytes: of every part but the last, which has the rest.
        options: checked, with every default filled in; JSON.
        groups_csv: the second small file, or None.
    """

    kind: Kind
    size: int
    sha256: str
    part_bytes: int
    options: dict[str, Any]
    groups_csv: bytes | None

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return -(-self.size // self.part_bytes)

    @property
    def digest(self) -> str:
        """Equal declarations are one upload: so an uploader that forgot everything finds its upload again."""
        groups = None if self.groups_csv is None else hashlib.sha256(self.groups_csv).hexdigest()
        told = [self.kind, self.size, self.sha256, self.part_bytes, self.options, groups]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def subject(kind: str, options: dict[str, Any]) -> str:
    """What an import writes to: jobs with the same subject run one after the other."""
    if kind == "dataset":
        return str(options["name"])
    return f"model {model_name(options['description']) or ''}".strip()


def model_name(description: dict[str, Any]) -> str | None:
    """The name of the model that a labels file describes: its own, else the disease; None: the vetting will refuse it."""
    name = description.get("model", description.get("disease"))
    return name if isinstance(name, str) and SLUG.fullmatch(name) else None


def part_size(size: int, part_bytes: int, number: int) -> int:
    """Bytes of part ``number``."""
    return min(part_bytes, size - number * part_bytes)


def read(body: object) -> Declaration:
    """Check a declaration.

    Raises:
        CoordinatorError: ``upload.malformed`` naming the field.
    """
    if not isinstance(body, dict):
        raise _wrong("body")
    unknown = set(body) - {"kind", "size", "sha256", "part_bytes", "dataset", "model"}
    if unknown:
        raise _wrong("unknown field")
    kind = body.get("kind")
    size = _whole(body, "size", 1, MOST_BYTES)
    part_bytes = _whole(body, "part_bytes", LEAST_PART_BYTES, MOST_PART_BYTES)
    if -(-size // part_bytes) > MOST_PARTS:
        raise _wrong("part_bytes (too many parts)")
    sha256 = body.get("sha256")
    if not is_sha256(sha256):
        raise _wrong("sha256")
    told = body.get(kind) if isinstance(kind, str) else None
    if (
        kind not in ("dataset", "model")
        or not isinstance(told, dict)
        or ("model" if kind == "dataset" else "dataset") in body
    ):
        raise _wrong("kind")
    options, groups = _dataset(told) if kind == "dataset" else (_model(told), None)
    return Declaration(kind, size, str(sha256), part_bytes, options, groups)


def _dataset(told: dict[str, Any]) -> tuple[dict[str, Any], bytes | None]:
    known = {"disease", "name", "merge_classes", "first_frame", "keep_originals", "min_edge_px", "groups_csv", "train"}
    if set(told) - known:
        raise _wrong("dataset (unknown field)")
    options = {
        "disease": _slug(told, "disease"),
        "name": _slug(told, "name"),
        "merge_classes": _flag(told, "merge_classes"),
        "first_frame": _flag(told, "first_frame"),
        "keep_originals": _flag(told, "keep_originals"),
        "min_edge_px": _whole({"min_edge_px": MIN_EDGE_PX, **told}, "min_edge_px", MIN_EDGE_PX, 10_000),
        "train": None if told.get("train") is None else effort(told["train"]),
    }
    groups = told.get("groups_csv")
    if groups is None:
        return options, None
    if not isinstance(groups, str):
        raise _wrong("groups_csv")
    try:
        data = base64.b64decode(groups, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong("groups_csv") from error
    if len(data) > MOST_GROUPS_BYTES:
        raise _wrong("groups_csv")
    return options, data


def _model(told: dict[str, Any]) -> dict[str, Any]:
    if set(told) - {"format", "description"}:
        raise _wrong("model (unknown field)")
    description = told.get("description")
    if told.get("format") not in MODEL_FORMATS:
        raise _wrong("format")
    if not isinstance(description, dict) or not _shallow(description, _MOST_DEPTH):
        raise _wrong("description")
    if len(json.dumps(description)) > MOST_LABELS_BYTES:
        raise _wrong("description")
    return {"format": told["format"], "description": description}


def _shallow(value: object, levels: int) -> bool:
    """Whether JSON is nested no deeper than anybody's description is."""
    if not isinstance(value, (dict, list)):
        return True
    return levels > 0 and all(_shallow(v, levels - 1) for v in (value.values() if isinstance(value, dict) else value))


def effort(value: object) -> str:
    """How hard a training tries.

    Raises:
        CoordinatorError: ``upload.malformed``.
    """
    if value not in EFFORTS:
        raise _wrong("train")
    return str(value)


def _whole(told: dict[str, Any], field: str, least: int, most: int) -> int:
    value = told.get(field)
    if type(value) is not int or not least <= value <= most:
        raise _wrong(f"{field} (a whole number from {least} to {most})")
    return value


def _flag(told: dict[str, Any], field: str) -> bool:
    value = told.get(field, False)
    if not isinstance(value, bool):
        raise _wrong(field)
    return value


def _slug(told: dict[str, Any], field: str) -> str:
    value = told.get(field)
    if not isinstance(value, str) or not SLUG.fullmatch(value):
        raise _wrong(f"{field} (lower-case letters, digits and hyphens)")
    return value


def _wrong(field: str) -> CoordinatorError:
    return CoordinatorError("upload.malformed", field=field)
