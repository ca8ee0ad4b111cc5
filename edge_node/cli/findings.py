"""Results of ``recognise`` for people: the answer, then red flags before everything else, then the rest."""

from __future__ import annotations

from typing import Any

from edge_node.recognition import wording
from protocols.console import NOTICE, Console

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


_FOREIGN = "not_this_kind_of_image"


def print_findings(console: Console, results: list[dict[str, Any]]) -> None:
    """Print all results, picture by picture; an entry that several share is printed once."""
    pictures: list[list[dict[str, Any]]] = []
    for result in results:
        if result["rank"] == 1:
            pictures.append([])
        pictures[-1].append(result)
    shown: set[str] = set()
    for answers in pictures:
        _print_picture(console, answers, shown)
    console.line(f"\n{NOTICE['en']}", f"\n{NOTICE['zh']}")


def _print_picture(console: Console, answers: list[dict[str, Any]], shown: set[str]) -> None:
    """Print what the models say about one picture; of several, those that have no answer are named together."""
    case = f"  [{answers[0]['case']}]" if "case" in answers[0] else ""
    heading = f"\n{answers[0]['image']}{case}"
    console.line(heading, heading)
    if (crop := answers[0].get("crop")) and crop["suggested"]:
        region = ",".join(str(crop[key]) for key in ("x", "y", "w", "h"))
        console.line(f"Region suggested by this machine: {region}", f"本机建议的区域：{region}")
    if len(answers) > 1:
        _print_overview(console, answers)
        answers = [answer for answer in answers if answer["outcome"] != _FOREIGN]
    for answer in answers:
        _print_answer(console, answer)
        fresh = [entry for entry in answer["diagnosis"]["entries"] if entry["id"] not in shown]
        if fresh and answer["outcome"] != "recognised":
            console.line("\nFor reading up; this is not the answer:", "\n以下仅供查阅，并非判断结果：")
        for entry in fresh:
            shown.add(entry["id"])
            _print_entry(console, entry)


def _print_overview(console: Console, answers: list[dict[str, Any]]) -> None:
    for answer in answers:
        if answer["outcome"] != _FOREIGN:
            line = f"{answer['rank']}. {_asked(answer)}: {wording.headline(answer, console.language)}"
            _print_bold(console, line)
    if foreign := [_asked(answer) for answer in answers if answer["outcome"] == _FOREIGN]:
        _print_bold(
            console,
            console.t(
                f"Not this kind of image for: {', '.join(foreign)}. These models know other pictures and have no answer.",
                f"不是以下疾病模型适用的图像：{'、'.join(foreign)}。这些模型不作判断。",
            ),
        )


def _asked(answer: dict[str, Any]) -> str:
    """The disease, with the model where that says more."""
    release = answer["release"]
    return f"{answer['disease']} ({release['model']}@{release['version']})"


def _print_bold(console: Console, text: str) -> None:
    console.out.print(text, style="bold", soft_wrap=True, markup=False)


def _print_answer(console: Console, answer: dict[str, Any]) -> None:
    """The outcome and its reasons first; scores only where they mean something."""
    language = console.language
    console.line(f"\n{_asked(answer)}", f"\n{_asked(answer)}")
    _print_bold(console, f"▶ {wording.headline(answer, language)}")
    for what, todo in wording.reasons(answer, language):
        console.line(f"  - {what}\n    → {todo}", f"  - {what}\n    → {todo}")
    if replaced := answer.get("instead_of"):
        console.line(
            f"! {replaced['release']} crashed on this machine and was set aside; this is the version before it.",
            f"! {replaced['release']} 曾在本机崩溃，已停用；此结果来自之前的版本。",
        )
    if "id" in answer:
        confirm = f"medmesh-edge confirm {answer['id'][:8]} --label LABEL"
        console.line(f"Kept in the history; your word on it: {confirm}", f"已存入历史记录；确认或更正：{confirm}")
    if answer["outcome"] != _FOREIGN:
        _print_scores(console, answer)
    for note in (wording.limits(answer, language), wording.explanation(answer, language)):
        if note is not None:
            console.line(note, note)
    diagnosis, timing = answer["diagnosis"], answer["timing_ms"]
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


def _print_scores(console: Console, answer: dict[str, Any]) -> None:
    rows = [
        [
            x["name"][console.language],
            x["label"],
            f"{x['score']:.3f}",
            "✓" if x["label"] in answer["prediction_set"] else "",
        ]
        for x in answer["labels"][:8]
    ]
    headings = [
        console.t("Finding", "结果"),
        console.t("Label", "标签"),
        console.t("Score", "分数"),
        console.t("Not excluded", "不能排除"),
    ]
    console.table(headings, rows)


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
