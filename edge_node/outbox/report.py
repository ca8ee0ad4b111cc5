"""What of a result the coordinator is told. Pure; what is not named here stays on the node."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from protocols.errors import ProtocolError
from protocols.results.report import MAX_SCORES, LabelScore, ResultReport, read_report, whole_minute


def report_of(result: dict[str, Any], made: datetime) -> ResultReport:
    """The report of a result as ``recognise`` shows it.

    Raises:
        ProtocolError: ``results.malformed``: a value is missing, or not one that a coordinator takes.
    """
    try:
        report = _chosen(result, made)
    except (KeyError, TypeError) as error:
        raise ProtocolError("results.malformed", field="result") from error
    checked = read_report(report.document())
    assert isinstance(checked, ResultReport)
    return checked


def _chosen(result: dict[str, Any], made: datetime) -> ResultReport:
    quality = result["quality"]
    return ResultReport(
        id=result["id"],
        made=whole_minute(made),
        disease=result["disease"],
        model=result["release"]["model"],
        version=result["release"]["version"],
        outcome=result["outcome"],
        reasons=tuple(result["reasons"]),
        scores=tuple(LabelScore(x["label"], round(x["score"], 3), x["entry"]) for x in result["labels"][:MAX_SCORES]),
        prediction_set=tuple(result["prediction_set"]),
        novelty=None if result["novelty"] is None else round(result["novelty"], 2),
        blur=round(quality["blur"], 2),
        sharpness=round(quality["sharpness"], 1),
        exposure=round(quality["exposure"], 2),
        quality_ok=quality["ok"],
    )
