"""What every answer says about its use."""

from __future__ import annotations

from protocols.errors import Language

NOTICE: dict[Language, str] = {
    "en": "Research use only. Not a medical device; not for diagnosis without a clinician.",
    "zh": "仅供研究使用。不是医疗器械；不能代替临床医生诊断。",
}
