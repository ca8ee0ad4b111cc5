"""The cleaning report of a data set: what came in, what was left out and why, and what may mislead a model."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from coordinator.intake import shortcuts
from coordinator.intake.cleaning import DIFFERENT_EXTENSION
from coordinator.reports.document import (
    NONE,
    Alert,
    Block,
    Cell,
    Document,
    Facts,
    Gallery,
    Paragraph,
    Section,
    Table,
    Thumbnail,
    Words,
    figure,
    interval,
    moment,
)
from coordinator.reports.sections import CLASS, GROUPS, IMAGES

MOST_ROWS = 200  # of rejected files; the JSON has all
MOST_PICTURES = 12
THUMBNAIL_PX = 96
_MISLEADING = {"intake.label_conflict", "intake.few_images", "intake.imbalance", "intake.near_duplicates"}
DOUBTS = {
    "ultrasound": Words("ultrasound", "超声"),
    "secondary_capture": Words("secondary capture", "二次采集"),
    "burned_in": Words("text burnt in, says the header", "文件头标明含烧录文字"),
    "face": Words("recognisable face, says the header", "文件头标明可辨认面部"),
}
_COUNTS = (
    ("accepted", Words("accepted", "接受")),
    ("rejected", Words("rejected", "拒绝")),
    ("quarantined", Words("waiting for a look", "待审核")),
    ("exact_duplicates", Words("sets of exact duplicates", "完全重复组")),
    ("near_duplicates", Words("sets of near-duplicates", "近似重复组")),
    ("label_conflicts", Words("label conflicts", "标签冲突")),
)

_NOTES = {
    "small": ("below 64 pixels a side", "边长不足 64 像素"),
    "reduced from 16 bits": ("reduced from 16 bits a channel", "由每通道 16 位降低"),
    "turned upright": ("turned upright as EXIF says", "已按 EXIF 方向转正"),
    DIFFERENT_EXTENSION: (DIFFERENT_EXTENSION, "扩展名与内容不符"),
}

Thumbnails = Callable[[str], bytes | None]  # by file name in the set


def thumbnail(path: Path) -> bytes | None:
    """A kept copy made small, JPEG; None where it is gone."""
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            small = image.convert("RGB")
            small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    except OSError:
        return None
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=70)
    return buffer.getvalue()


def report(document: dict[str, Any], of_file: Thumbnails) -> Document:
    """Put the report together.

    Args:
        document: what ``dataset report`` prints.
        of_file: a thumbnail by the name of a file in the set.
    """
    imports = document["imports"]
    found = [shortcuts.from_document(d) for d in document["shortcuts"]]
    warned = [w for row in imports for w in row["warnings"] if w["code"] in _MISLEADING]
    alerts = [Alert(Words(text.en, text.zh)) for text in map(shortcuts.sentence, (a for a in found if a.found))]
    alerts += [Alert(Words(w["text"], w.get("text_zh", w["text"]))) for w in warned]
    sections = [
        _standing(document),
        _shortcuts(found),
        _disputed(document["disputed"], of_file),
        *(_import(row, of_file) for row in reversed(imports)),
    ]
    name = document["dataset"]
    return Document(
        Words(f"Cleaning report of {name}", f"数据清洗报告：{name}"), tuple(dict.fromkeys(alerts)), tuple(sections)
    )


def _standing(document: dict[str, Any]) -> Section:
    rows = tuple((label, str(row["images"]), str(row["groups"])) for label, row in document["classes"].items())
    return Section(
        Words("What it holds", "数据概况"),
        (
            Facts(
                (
                    (Words("Disease", "疾病"), document["disease"]),
                    (Words("Images", "图像"), str(document["images"])),
                    (Words("Imports", "导入次数"), str(len(document["imports"]))),
                )
            ),
            Table((CLASS, IMAGES, GROUPS), rows),
        ),
    )


def _shortcuts(found: list[shortcuts.Audit]) -> Section:
    title = Words("Can the class be told without looking?", "不看图像能否区分类别？")
    if not found:
        least = shortcuts.LEAST_IMAGES
        return Section(
            title,
            (
                Paragraph(
                    Words(
                        f"Not tested: every class needs at least {least} images, from enough groups to divide into five.",
                        f"未检验：每个类别至少需要 {least} 张图像，且分组足以划分为五份。",
                    )
                ),
            ),
        )
    explanation = Words(
        "For each facet of the files, a table of which class each value speaks for was tested on groups it had not seen. Far "
        "above chance, a model could learn that facet instead of the disease. A file's name is never shown to a model; it "
        "tells that classes were collected in different ways.",
        "针对文件的每个方面，用未见过的分组检验“取值对应类别”的查找表。若明显高于随机水平，模型可能学到的是该方面而非疾病。"
        "模型看不到文件名；文件名能区分类别说明各类别的采集方式不同。",
    )
    rows = tuple(
        (
            Words(shortcuts.facet_name(a.facet).en, shortcuts.facet_name(a.facet).zh),
            interval(a.balanced_accuracy),
            figure(a.chance),
            Words("YES", "是") if a.found else Words("no", "否"),
            "; ".join(f"{value or NONE} → {label} ({share:.0%}, {n})" for value, label, share, n in a.telling[:3]),
        )
        for a in found
    )
    headings = (
        Words("facet", "方面"),
        Words("balanced accuracy", "平衡准确率"),
        Words("by chance", "随机水平"),
        Words("shortcut", "捷径"),
        Words(
            "what tells (share of the class among images of that value, images)", "线索（该取值中此类别占比，图像数）"
        ),
    )
    return Section(title, (Paragraph(explanation), Table(headings, rows)))


def _disputed(found: dict[str, Any], of_file: Thumbnails) -> Section:
    title = Words("Labels that the model disputes most", "模型最有异议的标签")
    if found["model"] is None:
        return Section(title, (Paragraph(Words(found["note"], found["note_zh"])),))
    model, images = found["model"], found["images"]
    if not images:
        return Section(title, (Paragraph(Words(f"{model} disputes none.", f"{model} 没有异议。")),))
    about = Words(
        f"By cross-validation of {model}, which had seen neither the image nor its group. Some will be hard images, some wrong "
        "labels: have a person look.",
        f"来自 {model} 的交叉验证，模型未见过该图像及其分组。其中有难例，也可能有错误标签，请人工核对。",
    )
    pictures = tuple(
        Thumbnail(
            of_file(row["file"]),
            Words(
                f"{row['file']}: labelled {row['label']} ({row['score_of_label']:.2f}), model says {row['model_says']} "
                f"({row['score']:.2f})",
                f"{row['file']}：标签 {row['label']}（{row['score_of_label']:.2f}），模型判为 {row['model_says']}"
                f"（{row['score']:.2f}）",
            ),
        )
        for row in images[:MOST_PICTURES]
    )
    return Section(title, (Paragraph(about), Gallery(pictures)))


def _import(row: dict[str, Any], of_file: Thumbnails) -> Section:
    counts = [(name, str(n if isinstance(n := row.get(key, []), int) else len(n))) for key, name in _COUNTS]
    counts.append((Words("there before", "已有"), str(row.get("already_present", 0))))
    blocks: list[Block] = [Facts(tuple(counts))]
    blocks += [
        Alert(Words(w["text"], w.get("text_zh", w["text"]))) for w in row["warnings"] if w["code"] != "intake.shortcut"
    ]
    by_class = row.get("groups_by_class", {})
    blocks.append(
        Table(
            (CLASS, IMAGES, GROUPS), tuple((c, str(n), str(by_class.get(c, NONE))) for c, n in row["classes"].items())
        )
    )
    if row["notes"]:
        headings = (Words("conversions and remarks", "转换与备注"), IMAGES)
        blocks.append(Table(headings, tuple((_note(note), str(n)) for note, n in row["notes"].items())))
    if row["rejected"]:
        blocks.append(_rejected(row["rejected"]))
    if waiting := row.get("quarantined"):
        doubtful: tuple[Cell, ...] = (Words("waits for a look", "待审核"), CLASS, Words("why", "原因"))
        rows: tuple[tuple[Cell, ...], ...] = tuple(
            (w["file"], w["label"], DOUBTS.get(w["doubt"], w["doubt"])) for w in waiting[:MOST_ROWS]
        )
        blocks.append(Table(doubtful, rows))
    for key, one in (
        ("label_conflicts", Words("One image under two labels; none was taken", "同一图像有两个标签，均未导入")),
        ("exact_duplicates", Words("Exact duplicates; one was kept", "完全重复，仅保留一张")),
        ("near_duplicates", Words("Near-duplicates", "近似重复")),
    ):
        blocks += _sets(row[key], one, None if key == "label_conflicts" else of_file)
    return Section(Words(f"Import of {moment(row['imported'])}", f"导入：{moment(row['imported'])}"), tuple(blocks))


def _note(note: str) -> Words:
    """A note of a check in both languages."""
    if mode := note.removeprefix("converted from ") if note.startswith("converted from ") else "":
        return Words(note, f"由 {mode} 转换")
    return Words(*_NOTES[note]) if note in _NOTES else Words(note, note)


def _rejected(rejected: list[dict[str, Any]]) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (r["file"], Words(r["reason"], r.get("reason_zh", r["reason"])), r["code"]) for r in rejected[:MOST_ROWS]
    )
    if more := len(rejected) - MOST_ROWS:
        rows += ((Words(f"… and {more} more", f"……另有 {more} 个"), "", ""),) if more > 0 else ()
    return Table((Words("rejected file", "被拒绝的文件"), Words("reason", "原因"), Words("code", "代码")), rows)


def _sets(sets: list[list[str]], title: Words, of_file: Thumbnails | None) -> list[Block]:
    """Sets of files that belong together, each with one picture where that is kept."""
    if not sets:
        return []
    more = len(sets) - MOST_PICTURES
    told = Words(f"{title.en} (sets: {len(sets)})", f"{title.zh}（{len(sets)} 组）")
    if more > 0:
        told = Words(f"{told.en}; {MOST_PICTURES} are shown.", f"{told.zh}；显示 {MOST_PICTURES} 组。")
    pictures = []
    for names in sets[:MOST_PICTURES]:
        picture = next((p for p in map(of_file, names) if p), None) if of_file else None
        pictures.append(Thumbnail(picture, " = ".join(names[:4]) + (" …" if len(names) > 4 else "")))
    return [Paragraph(told), Gallery(tuple(pictures))]
