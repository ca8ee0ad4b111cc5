"""Results of ``recognise`` for people: the answer, then red flags before everything else, then the rest."""

from __future__ import annotations

from typing import Any

from protocols.console import NOTICE, Console

_OUTCOMES = {
    "recognised": ("Recognised", "已识别"),
    "unsure": ("Not sure: refer to a clinician", "不确定：请转临床医生"),
    "not_this_kind_of_image": ("Not the kind of image that this model knows", "不是该模型适用的图像"),
    "poor_quality": ("Poor image quality: take the picture again", "图像质量不足：请重新拍摄"),
}
_SOURCES = {
    "coordinator": ("coordinator", "协调端"),
    "replica": ("local replica", "本地副本"),
    "none": ("none at hand", "无"),
}
_URGENCY = {
    "emergency": ("emergency", "立即抢救"),
    "urgent": ("urgent", "紧急"),
    "soon": ("soon", "尽快就诊"),
    "routine": ("routine", "常规就诊"),
    "none": ("none", "无"),
}
_RED_FLAGS = ("red_flags", "Red flags", "危险信号")
_SECTIONS = (
    ("symptoms", "Symptoms", "症状"),
    ("image_signs", "Signs on images", "影像表现"),
    ("differential", "Differential diagnosis", "鉴别诊断"),
    ("management", "Management", "处理"),
    ("prevention", "Prevention", "预防"),
)


def print_findings(console: Console, results: list[dict[str, Any]]) -> None:
    """Print all results; an entry that several share is printed once."""
    shown: set[str] = set()
    for result in results:
        _print_result(console, result)
        for entry in result["diagnosis"]["entries"]:
            if entry["id"] not in shown:
                shown.add(entry["id"])
                _print_entry(console, entry)
    console.line(f"\n{NOTICE['en']}", f"\n{NOTICE['zh']}")


def _print_result(console: Console, result: dict[str, Any]) -> None:
    release, language = result["release"], console.language
    case = f"  [{result['case']}]" if "case" in result else ""
    heading = f"{result['image']}{case}  {result['disease']} ({release['model']}@{release['version']})"
    console.line(f"\n{heading}", f"\n{heading}")
    console.line(*_OUTCOMES[result["outcome"]])
    rows = [
        [x["name"][language], x["label"], f"{x['score']:.3f}", "✓" if x["label"] in result["prediction_set"] else ""]
        for x in result["labels"][:8]
    ]
    headings = [
        console.t("Finding", "结果"),
        console.t("Label", "标签"),
        console.t("Score", "分数"),
        console.t("Not excluded", "不能排除"),
    ]
    console.table(headings, rows)
    diagnosis, timing = result["diagnosis"], result["timing_ms"]
    for unmapped in diagnosis["unmapped"]:
        console.line(
            f"No diagnosis aid for {unmapped['label']}: {unmapped['reason']}",
            f"{unmapped['label']} 没有诊断参考：{unmapped['reason']}",
        )
    english, chinese = _SOURCES[diagnosis["source"]]
    console.line(
        f"Knowledge base: {english} {diagnosis['kb_version'] or ''}  ·  {timing['total']:.0f} ms",
        f"疾病知识库：{chinese} {diagnosis['kb_version'] or ''}  ·  {timing['total']:.0f} 毫秒",
    )


def _print_entry(console: Console, entry: dict[str, Any]) -> None:
    language, name = console.language, entry["name"]
    title = [name["zh"], name["en"]] if language == "zh" else [name["en"], name["zh"]]
    draft = console.t("  (draft, not reviewed by a clinician)", "（草稿，未经临床医生审核）")
    heading = " · ".join(part for part in title if part) + (draft if entry["review_status"] == "draft" else "")
    console.line(f"\n{heading}", f"\n{heading}")
    english, chinese = _URGENCY.get(entry["urgency"], (entry["urgency"], entry["urgency"]))
    reason = entry["urgency_reason"][language]
    console.line(f"Urgency: {english}. {reason}", f"紧急程度：{chinese}。{reason}")
    _print_section(console, entry, *_RED_FLAGS)
    if definition := entry["definition"][language]:
        console.line(definition, definition)
    for section in _SECTIONS:
        _print_section(console, entry, *section)
    codes = ", ".join(f"{c['system']} {c['code']}" for c in entry["codes"])
    if codes:
        console.line(f"Codes: {codes}", f"编码：{codes}")
    for citation in entry["citations"]:
        source = f"  {citation['title']}. {citation['publisher']}, {citation['year']}"
        console.line(source, source)


def _print_section(console: Console, entry: dict[str, Any], key: str, english: str, chinese: str) -> None:
    texts = entry[key][console.language]
    if texts:
        console.line(english, chinese)
    for text in texts:
        console.line(f"  - {text}", f"  - {text}")
