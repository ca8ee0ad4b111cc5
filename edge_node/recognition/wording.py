"""What a clinician reads about an answer, in Chinese and English: the outcome, each reason, and what to do about it. Pure.

Works on one element of ``results`` as ``result`` makes it, so that every screen says the same. An answer that declines is
as much an answer as a recognised one and is worded as plainly.
"""

from __future__ import annotations

from typing import Any

from protocols.errors import Language

Texts = dict[Language, str]
Result = dict[str, Any]

OUTCOMES: dict[str, Texts] = {
    "recognised": {"en": "Recognised: {labels} ({score:.2f})", "zh": "已识别：{labels}（{score:.2f}）"},
    "unsure": {"en": "Not sure: refer to a clinician", "zh": "不确定：请转诊给临床医生"},
    "not_this_kind_of_image": {
        "en": "Not this kind of image: the model has no answer",
        "zh": "不是此类图像：模型不作判断",
    },
    "poor_quality": {
        "en": "Poor picture: take it again; the scores may be wrong",
        "zh": "图像质量不足：请重新拍摄；分数可能有误",
    },
}
# Each reason: what is the matter, and what to do.
REASONS: dict[str, tuple[Texts, Texts]] = {
    "blurred": (
        {"en": "The picture is blurred.", "zh": "图像模糊。"},
        {
            "en": "Clean the lens, focus, hold still and take it again; enlarging a small picture does not help.",
            "zh": "请清洁镜头、重新对焦、保持稳定后重拍；放大过小的图像没有帮助。",
        },
    ),
    "underexposed": (
        {"en": "The picture is too dark.", "zh": "图像过暗。"},
        {"en": "Take it again with more light or a longer exposure.", "zh": "请增加光照或曝光时间后重拍。"},
    ),
    "overexposed": (
        {"en": "The picture is too bright, or parts of it are washed out.", "zh": "图像过亮，或局部过曝。"},
        {"en": "Take it again with less light and without glare.", "zh": "请减弱光线、避免反光后重拍。"},
    ),
    "another_kind": (
        {
            "en": "It is unlike the pictures that the model for {disease} was trained on (novelty {novelty}; up to 1 is "
            "familiar), so its scores mean nothing.",
            "zh": "该图像与 {disease} 模型的训练图像不属于同一类（新颖度 {novelty}，不超过 1 为熟悉），分数没有意义。",
        },
        {
            "en": "Check the file, the crop and the chosen disease. If all are right, refer to a clinician.",
            "zh": "请检查文件、裁剪区域和所选疾病；若均无误，请转诊给临床医生。",
        },
    ),
    "unfamiliar": (
        {
            "en": "It differs from the pictures that the model was trained on (novelty {novelty}; up to 1 is familiar), "
            "so its answer may not hold.",
            "zh": "该图像与训练图像有差异（新颖度 {novelty}，不超过 1 为熟悉），结果可能不成立。",
        },
        {
            "en": "Check crop, staining, device and lighting; do not rely on the scores.",
            "zh": "请检查裁剪、染色、设备和光照；不要依赖分数。",
        },
    ),
    "several_labels_fit": (
        {"en": "The model cannot decide between: {labels}.", "zh": "模型无法区分：{labels}。"},
        {"en": "Decide by examination or a further test.", "zh": "请结合查体或其他检验判断。"},
    ),
    "no_label_fits": (
        {
            "en": "Nothing that the model knows fits well enough; closest are: {labels}.",
            "zh": "模型已知的结果均不够符合；最接近的是：{labels}。",
        },
        {
            "en": "It may be something that the model does not know; do not take the closest for the answer.",
            "zh": "可能是模型不认识的情况；请勿把最接近的结果当作答案。",
        },
    ),
}
CANNOT_TELL: Texts = {
    "en": "This model cannot tell pictures of another kind: make sure that the picture is one for {disease}.",
    "zh": "该模型无法识别其他类型的图像：请确认该图像适用于 {disease}。",
}
EXPLAINED: Texts = {
    "en": "{file}: orange shows what spoke for {label}, blue what spoke against it. It shows what the model reacted to and "
    "is no finding.",
    "zh": "{file}：橙色为支持“{label}”之处，蓝色为反对之处。仅表示模型依据所在，并非诊断发现。",
}
UNEXPLAINED: dict[str, Texts] = {
    "no_locations": {
        "en": "No explanation: this model cannot tell where its evidence lies.",
        "zh": "没有解释图：该模型无法给出判断依据的位置。",
    },
    "not_this_kind_of_image": {
        "en": "No explanation: on a picture that the model does not know it would mislead.",
        "zh": "没有解释图：对模型不认识的图像，解释图会产生误导。",
    },
    "not_written": {"en": "No explanation: it could not be written.", "zh": "没有解释图：无法写入文件。"},
}


def headline(result: Result, language: Language) -> str:
    """The outcome in one line."""
    return OUTCOMES[result["outcome"]][language].format_map(_details(result, language))


def reasons(result: Result, language: Language) -> list[tuple[str, str]]:
    """Why it is not ``recognised``: each reason with what to do about it."""
    details = _details(result, language)
    pairs = [REASONS[reason] for reason in result["reasons"]]
    return [(what[language].format_map(details), todo[language]) for what, todo in pairs]


def limits(result: Result, language: Language) -> str | None:
    """What the model cannot tell about any picture; None where it can."""
    return None if result["novelty"] is not None else CANNOT_TELL[language].format_map(_details(result, language))


def explanation(result: Result, language: Language) -> str | None:
    """What the explanation shows, or why there is none; None where nobody asked for one."""
    shown, reason = result["explanation"], result["explanation_reason"]
    if shown is not None:
        return EXPLAINED[language].format(file=shown["file"], label=_name(result, shown["label"], language))
    return UNEXPLAINED[reason][language] if reason in UNEXPLAINED else None


def _details(result: Result, language: Language) -> dict[str, Any]:
    scores = {x["label"]: x["score"] for x in result["labels"]}
    names = [_name(result, label, language) for label in result["considered"]]
    return {
        "labels": ("、" if language == "zh" else ", ").join(names),
        "score": max((scores[label] for label in result["considered"]), default=0.0),
        "disease": result["disease"],
        "novelty": "-" if result["novelty"] is None else f"{result['novelty']:.1f}",
    }


def _name(result: Result, label: str, language: Language) -> str:
    return str(next(x["name"][language] for x in result["labels"] if x["label"] == label))
