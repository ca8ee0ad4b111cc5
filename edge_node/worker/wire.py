"""What the two processes say to each other, as frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from numpy.typing import NDArray

from edge_node.recognition.picture import Picture
from edge_node.recognition.recogniser import Recognition
from edge_node.worker.frames import BrokenFrameError, Frame, pack, unpack
from protocols.errors import MedMeshError, ProtocolError, table
from protocols.explanation import Evidence
from protocols.imaging import Box, ImageError, Quality
from protocols.manifest import ReleaseManifest
from protocols.recognition import Answer, Outcome, Reason

_MAX_TEXT = 200


def recognise_request(
    picture: Picture, explain: bool, releases: Sequence[ReleaseManifest], path_of: Callable[[str], Path]
) -> Frame:
    """Ask for the recognitions of one picture; the releases have the same input."""
    asked = {"do": "recognise", "picture": _picture_document(picture), "explain": explain}
    return _with_releases(asked, releases, path_of)


def golden_request(manifest: ReleaseManifest, strip: Path, path_of: Callable[[str], Path]) -> Frame:
    """Ask for the scores of a release's golden pictures."""
    return _with_releases({"do": "golden", "strip": str(strip.absolute())}, [manifest], path_of)


def _with_releases(asked: dict[str, Any], releases: Sequence[ReleaseManifest], path_of: Callable[[str], Path]) -> Frame:
    manifests = [release.to_bytes() for release in releases]
    files = {a.sha256: str(path_of(a.sha256).absolute()) for release in releases for a in release.needed_to_run}
    return Frame({**asked, "files": files, "manifests": [len(data) for data in manifests]}, b"".join(manifests))


def requested_releases(request: Frame) -> list[bytes]:
    """The manifests in a request."""
    start, found = 0, []
    for length in request.header["manifests"]:
        found.append(request.body[start : start + length])
        start += length
    return found


def _picture_document(picture: Picture) -> dict[str, Any]:
    crop = picture.crop
    region = None if crop is None else [crop.x, crop.y, crop.width, crop.height]
    return {"file": str(picture.file.absolute()), "crop": region, "frame": picture.frame}


def requested_picture(request: Frame) -> Picture:
    """The picture in a request."""
    match request.header["picture"]:
        case {"file": file, "crop": crop, "frame": frame}:
            return Picture(Path(file), None if crop is None else Box(*crop), frame)
    raise BrokenFrameError


def recognitions_frame(found: Sequence[Recognition]) -> Frame:
    """The answer to ``recognise``; what the asker knows already is left out."""
    documents: list[dict[str, Any]] = []
    arrays: list[NDArray[Any]] = []
    for recognition in found:
        answer, quality, evidence = recognition.answer, recognition.quality, recognition.evidence
        documents.append(
            {
                "sha256": recognition.sha256,
                "in_set": [int(index) for index in answer.in_set],
                "outcome": answer.outcome,
                "reasons": list(answer.reasons),
                "novelty": answer.novelty,
                "quality": [float(value) for value in vars(quality).values()],
                "prepare_ms": recognition.prepare_ms,
                "infer_ms": recognition.infer_ms,
                "evidence": evidence is not None,
            }
        )
        arrays.append(answer.scores)
        if evidence is not None:
            arrays += [evidence.grid, evidence.bias]
    described, body = pack(arrays)
    return Frame({"done": documents, "arrays": described}, body)


def read_recognitions(frame: Frame, picture: Picture, releases: Sequence[ReleaseManifest]) -> list[Recognition]:
    """Check and take in the answer to ``recognise``.

    Raises:
        BrokenFrameError: it is not one.
    """
    arrays = iter(unpack(frame.header.get("arrays"), frame.body))
    try:
        found = [
            _recognition(document, arrays, picture, release)
            for document, release in zip(frame.header["done"], releases, strict=True)
        ]
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise BrokenFrameError from error
    if next(arrays, None) is not None:
        raise BrokenFrameError
    return found


def _recognition(document: Any, arrays: Any, picture: Picture, release: ReleaseManifest) -> Recognition:
    count = len(release.labels)
    scores = next(arrays)
    in_set, outcome, reasons = tuple(document["in_set"]), document["outcome"], tuple(document["reasons"])
    _require(scores.shape == (count,) and len(set(in_set)) == len(in_set))
    _require(all(type(index) is int and 0 <= index < count for index in in_set))
    _require(outcome in get_args(Outcome) and set(reasons) <= set(get_args(Reason)))
    novelty = None if document["novelty"] is None else _finite(document["novelty"])
    evidence = None
    if document["evidence"] is True:
        evidence = Evidence(next(arrays), next(arrays))
        _require(evidence.grid.ndim == 3 and evidence.grid.shape[2] == count and evidence.bias.shape == (count,))
    return Recognition(
        picture=picture,
        sha256=str(document["sha256"])[:64],
        manifest=release,
        answer=Answer(scores, in_set, outcome, reasons, novelty),
        quality=Quality(*(_finite(value) for value in document["quality"])),
        prepare_ms=_finite(document["prepare_ms"]),
        infer_ms=_finite(document["infer_ms"]),
        evidence=evidence,
    )


def _require(fits: bool) -> None:
    if not fits:
        raise ValueError


def _finite(value: Any) -> float:
    number = float(value)
    _require(math.isfinite(number))
    return number


def refusal_frame(error: MedMeshError | OSError) -> Frame:
    """An expected failure, to be raised again on the other side."""
    if isinstance(error, MedMeshError):
        details = {key: value if isinstance(value, int | float) else str(value) for key, value in error.details.items()}
        return Frame({"refused": error.code, "details": details})
    return Frame({"system": error.errno, "problem": error.strerror, "file": error.filename})


def read_refusal(frame: Frame) -> MedMeshError | OSError | None:
    """The failure in an answer; None where it is none.

    Raises:
        BrokenFrameError: it makes no sense.
    """
    match frame.header:
        case {"refused": str(code), "details": dict(details)} if code in table():
            kind = ImageError if code.startswith("image.") else ProtocolError
            error = kind(code, **{str(key): _short(value) for key, value in details.items() if key != "code"})
            try:
                error.document("zh")
            except (KeyError, ValueError, AttributeError) as gap:  # it lacks what its sentence names
                raise BrokenFrameError from gap
            return error
        case {"system": int() | None as number, "problem": problem, "file": file}:
            return OSError(number, _short(problem), _short(file)) if number is not None else OSError(_short(problem))
        case {"refused": _} | {"system": _}:
            raise BrokenFrameError
    return None


def _short(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float) else str(value)[:_MAX_TEXT]
