"""The card's standing sentences, in both languages."""

from __future__ import annotations

from typing import Any

from coordinator.reports.document import Bullets, Cell, Paragraph, Section, Words, joined
from protocols.manifest import ReleaseManifest

IMAGE = Words("image (start of its SHA-256)", "图像（SHA-256 开头）")
RANDOM = Words(
    "The backbone is random: this model recognises NOTHING. It exists to test wiring; its figures say nothing about real images.",
    "主干网络为随机权重：该模型没有任何识别能力，仅用于联调测试，其指标不能说明对真实图像的表现。",
)
NO_FIGURES = Words(
    "There are no figures for this model: it was brought ready-trained. Evaluate it on your own images before any use.",
    "该模型为外部训练后导入，没有评估指标。使用前请先用自己的图像评估。",
)
NO_ANSWERS = Words(
    "Answers of the cross-validation were not kept for this version, so there are no plots and no intervals by class.",
    "该版本未保存交叉验证的逐图结果，因此没有图表和各类别的区间。",
)
NO_NOVELTY = Words(
    "This model cannot tell what it does not know: it answers for any picture, whatever it shows.",
    "该模型无法判断图像是否超出其知识范围：任何图片都会得到答案。",
)
NO_GATES = Words(
    "Not proposed for release: no gate has been passed and nobody has approved it.",
    "尚未提交发布：未经任何检查，也无人批准。",
)
METHOD = Words(
    "A frozen convolutional trunk turns the image into features; a small head reads the taps below and gives one score for "
    "each label. Classes weigh equally in training, however many images they have. Taps and regularisation are chosen by "
    "cross-validation inside each training part.",
    "固定的卷积主干把图像转换为特征，小型头部模型读取下列特征层，为每个标签给出得分。训练时各类别权重相等，与图像数量无关。"
    "特征层与正则化强度在每个训练部分内部通过交叉验证选择。",
)
SPATIAL_METHOD = Words(
    "A frozen convolutional trunk turns the image into maps; a small convolutional head reads the maps below, judges every "
    "location with its neighbours and sums up what it finds into one score for each label. Classes are weighted against their "
    "number of images in training.",
    "固定的卷积主干把图像转换为特征图，小型卷积头部读取下列特征图，结合邻域判断每个位置，并把结果汇总为每个标签的得分。"
    "训练时按各类别图像数量加权以平衡。",
)
JOINED = Words(
    " A linear head on the pools below is added to it, each at the temperature that suits it; only the convolutional part has a "
    "place in explanations.",
    "另加一个读取下列池化特征的线性头部，二者各按合适的温度缩放后相加；解释图只定位卷积部分。",
)
ABOUT_DATA = Words(
    "The images were collected by whoever made the data set; how patients were chosen, on which devices, and under which "
    "licence is not on record here. Ask the maker before reading the figures as those of another clinic.",
    "图像由数据集制作者收集；患者如何入选、使用何种设备、采用何种许可均未在此记录。将指标用于其他诊所之前请先向制作方了解。",
)
ABOUT_FIGURES = Words(
    "Nested cross-validation: neither the fit nor the choice of taps has seen the image that is counted, nor another of its "
    "group. Every image counts, by its likeliest label. In brackets: 95 % bootstrap intervals that resample whole groups; "
    "where every image was right, the far bound is the exact binomial one over groups. All of it comes from one data set: "
    "another site may do worse.",
    "嵌套交叉验证：被计入的图像及其同组图像既未参与拟合，也未参与特征层选择。每张图像均按最可能标签计入。括号内为按整组重采样的 "
    "95% 自助法区间；全部正确时，另一端取按组计算的精确二项界限。所有结果来自同一数据集，在其他站点可能更差。",
)
ABOUT_CALIBRATION = Words(
    "Scores are softmax values after temperature scaling, fitted on out-of-fold answers. A label stays in the prediction set "
    "while 1 − score is at most its threshold. Measured coverage is out of fold: the calibration that judges a group was fitted "
    "without it. A score is not the probability of disease in your clinic: classes weighed equally in training.",
    "得分为经温度缩放的 softmax 值，温度由折外结果拟合。当 1 − 得分不超过阈值时，该标签保留在预测集中。实测覆盖率为折外结果："
    "评判某一分组时所用的校准不含该组数据。得分不等于您诊所中的患病概率：训练时各类别权重相等。",
)
ABOUT_QUALITY = Words(
    "Outside these bounds a picture is called poor: blurred, too dark or too bright. They were found so that nearly every "
    "training image passes, then moved part of the way towards blurred, darkened and brightened copies of some of them.",
    "超出下列界限的图像判为质量差（模糊、过暗或过亮）。界限先设为几乎所有训练图像都能通过，再向部分图像的模糊、变暗、变亮副本方向移动一段。",
)
ABOUT_CHANGES = Words(
    "A change smaller than the intervals is no proof of a better or worse model. Versions trained on other images or with "
    "another effort were judged on other images or folds.",
    "小于区间的变化不能证明模型变好或变差。使用不同图像或不同训练力度的版本，其评估所用的图像或折也不同。",
)
ABOUT_WORST = Words(
    "These may be hard images or wrong labels. The coordinator keeps each image under its SHA-256; names of files and of "
    "patients are not part of a card.",
    "这些可能是困难图像，也可能是标签错误。协调器按 SHA-256 保存每张图像；模型卡不包含文件名和患者标识。",
)
PARITY = Words("Same label as before quantisation", "量化前后标签一致")
TRAINING_FACTS = {
    "taps": Words("Taps", "特征层"),
    "head_weights": Words("Head weights", "头部权重格式"),
    "rung": Words("Rung of the ladder", "阶梯方案"),
    "fit_method": Words("Fitted by", "拟合方法"),
    "fit_strength": Words("Strength of the fit", "拟合强度"),
    "regularisation": Words("Regularisation (C)", "正则化强度（C）"),
    "views": Words("Altered views trained on besides", "另外用于训练的变化视图"),
    "effort": Words("Effort", "训练力度"),
    "modality": Words("Modality, which says what altered views may do", "影像类型（决定变化视图的允许范围）"),
    "budget_bytes": Words("Most bytes a head might have", "头部字节上限"),
}
QUALITY = {
    "sharpness_min": Words("least sharpness", "最低清晰度"),
    "exposure_min": Words("least mean brightness (0 to 1)", "最低平均亮度（0–1）"),
    "exposure_max": Words("greatest mean brightness (0 to 1)", "最高平均亮度（0–1）"),
    "highlight_min": Words("least brightness of the lightest parts (0 to 1)", "最亮部分的最低亮度（0–1）"),
    "clipped_max": Words("greatest share of overexposed pixels (0 to 1)", "过曝像素的最高比例（0–1）"),
}
NOVELTY = {
    "familiar": Words("appearance: above it unfamiliar, so unsure", "外观：超过则为不熟悉，判为不确定"),
    "foreign": Words("appearance: above it another kind of image", "外观：超过则为其他种类的图像"),
    "layout": Words("layout: above it unlike the training images", "布局：超过则与训练图像不同"),
}
_STATES = {
    "proposed": Words("proposed", "待批准"),
    "approved": Words("approved", "已批准"),
    "released": Words("released", "已发布"),
    "paused": Words("paused", "已暂停"),
    "rolled back": Words("rolled back", "已回退"),
    "withdrawn": Words("withdrawn", "已撤回"),
}
_NOT_PROPOSED = Words("not proposed", "未提交发布")
KINDS = {
    "disease": Words("disease", "疾病"),
    "normal": Words("normal", "正常"),
    "image_quality": Words("image quality", "图像质量"),
    "other": Words("other", "其他"),
}
REFERENCES = Section(
    Words("References", "参考文献"),
    (
        Bullets(
            (
                "Mitchell M. et al. Model Cards for Model Reporting. FAT* 2019.",
                "Guo C. et al. On Calibration of Modern Neural Networks. ICML 2017.",
                "Nixon J. et al. Measuring Calibration in Deep Learning. CVPR Workshops 2019.",
                "Sadinle M., Lei J., Wasserman L. Least Ambiguous Set-Valued Classifiers with Bounded Error Levels. "
                "JASA 114:223 (2019).",
                "Dunn R., Wasserman L., Ramdas A. Distribution-Free Prediction Sets for Two-Layer Hierarchical Models. "
                "JASA 118:2491 (2023).",
                "Vovk V. Cross-conformal predictors. Ann. Math. Artif. Intell. 74:9 (2015).",
                "Clopper C., Pearson E. The use of confidence or fiducial limits illustrated in the case of the binomial. "
                "Biometrika 26:404 (1934).",
            )
        ),
    ),
)


def use(manifest: ReleaseManifest) -> Section:
    """Intended and out-of-scope use."""
    dataset = str(manifest.data.get("dataset", manifest.model))
    of = Words(f"of the data set {dataset}", f"数据集 {dataset} ")
    if "brought" in manifest.data:
        of = Words("that it was trained on, which are not known here", "其训练图像（此处未知）")
    labels = joined(x.label for x in manifest.labels)
    return Section(
        Words("Intended use, and what it is not for", "预期用途与不适用范围"),
        (
            Paragraph(
                Words(
                    f"For research on telling apart {labels.en} in images like those {of.en}: as one "
                    "opinion beside a clinician who looks at the image itself, for teaching, and for testing networks of "
                    "clinics. Every answer comes with a prediction set and an outcome; an outcome other than recognised "
                    "means: take another picture, or refer.",
                    f"用于研究：在与{of.zh}类似的图像中区分 {labels.zh}；作为亲自阅片的临床医生的参考意见，"
                    "以及用于教学和诊所网络测试。每个答案都附有预测集和结果；结果不是“已识别”时，请重新拍摄或转诊。",
                )
            ),
            Bullets(
                (
                    Words(
                        "Not for diagnosis, triage or treatment without a clinician, not for screening, not as a medical "
                        "device.",
                        "不得在没有临床医生的情况下用于诊断、分诊或治疗，不用于筛查，不是医疗器械。",
                    ),
                    Words(
                        "Not for images of another kind, device, staining, projection, body part or age group than those of "
                        "the data set: nothing here says how it does on them. Evaluate on your own images first.",
                        "不用于与数据集不同种类、设备、染色、投照方式、部位或年龄段的图像：此处的指标不适用。请先用自己的图像评估。",
                    ),
                    Words(
                        "Not for conditions that are not among its labels: it has no word for them and may give one of its "
                        "own with a high score.",
                        "不用于标签之外的疾病：模型没有相应标签，可能以高分给出已有标签之一。",
                    ),
                    Words(
                        "Not for images that show several findings: it gives each image one likeliest label.",
                        "不用于同时存在多种病变的图像：每张图像只给出一个最可能标签。",
                    ),
                )
            ),
        ),
    )


AT_THE_SITE = {
    "balanced_accuracy": Words("balanced accuracy", "平衡准确率"),
    "ece": Words("expected calibration error", "期望校准误差"),
    "coverage": Words("coverage", "覆盖率"),
}


def recalibrated(trained: str) -> Words:
    """Figures that are another version's."""
    return Words(
        f"Recalibrated for another site. The cross-validated figures, plots and worst errors are those of {trained} at the "
        "site of the training data; what changed at the new site stands under its own heading.",
        f"已按另一机构重新校准。交叉验证指标、图表和最严重的错误来自 {trained} 及其训练数据所在机构；新机构的变化见单独一节。",
    )


def about_recalibration(source: str, images: int, groups: int) -> Words:
    """What was fitted on what."""
    return Words(
        f"Temperature, a bias for each label, thresholds and limits of {source} were fitted again on {images} labelled images "
        f"of {groups} groups of the site; the network is the same. Figures after it are out of fold, except that the "
        "thresholds come from the images whose coverage is counted.",
        f"用该机构 {images} 张已标注图像（{groups} 个分组）重新拟合了 {source} 的温度、各标签偏置、阈值和界限；网络未变。"
        "校准后的指标为折外结果，但阈值来自计算覆盖率的同一批图像。",
    )


def state(found: str | None) -> Cell:
    """State of a release; None: there is none."""
    return _NOT_PROPOSED if found is None else _STATES.get(found, found)


def withdrawn(reason: str) -> Words:
    """Nobody may use it any more."""
    return Words(f"WITHDRAWN, do not use: {reason}", f"已撤回，请勿使用：{reason}")


def nested(repeats: int) -> Words:
    """How the figures were counted."""
    return Words(
        f"nested cross-validation by group, {'once' if repeats == 1 else f'mean of {repeats} repeats'}",
        f"按组嵌套交叉验证，{'1 次' if repeats == 1 else f'{repeats} 次重复的平均'}",
    )


def few_images(labels: list[str], least: int) -> Words:
    """Classes whose figures rest on very little."""
    names = joined(labels)
    return Words(
        f"Fewer than {least} images of: {names.en}. Their figures are uncertain, and the model may not have learned them.",
        f"以下类别的图像不足 {least} 张：{names.zh}。其指标不可靠，模型可能并未学会。",
    )


def few_groups(labels: list[str], least: int) -> Words:
    """Classes of very few patients."""
    names = joined(labels)
    return Words(
        f"Fewer than {least} groups (patients) of: {names.en}. Their intervals are rough and probably too narrow.",
        f"以下类别的分组（患者）不足 {least} 个：{names.zh}。其区间粗略，可能过窄。",
    )


def imbalance(largest: str, smallest: str, times: int) -> Words:
    """Classes of very different size."""
    return Words(
        f"Imbalanced: the largest class ({largest}) has more than {times} times the images of the smallest ({smallest}).",
        f"类别不平衡：最大类别（{largest}）的图像超过最小类别（{smallest}）的 {times} 倍。",
    )


def unmapped(labels: list[str], reason: str | None) -> Words:
    """Labels for which no page opens."""
    names = joined(labels)
    if reason is None:
        return Words(
            f"Without an entry of the disease knowledge base: {names.en}.",
            f"以下标签在疾病知识库中没有条目：{names.zh}。",
        )
    return Words(
        f"Without an entry of the disease knowledge base: {names.en}. Allowed because: {reason}",
        f"以下标签在疾病知识库中没有条目：{names.zh}。允许理由：{reason}",
    )


def never_excluded(labels: list[str]) -> Words:
    """Classes with too few groups for a conformal threshold."""
    names = joined(labels)
    return Words(
        f"Too few groups to state a coverage for: {names.en}. These labels are in every prediction set.",
        f"以下标签的分组过少，无法给出覆盖率：{names.zh}。它们会出现在所有预测集中。",
    )


def about_novelty(inputs: tuple[str, ...]) -> Words:
    """How the limits were found; shares are not named, because they are the code's of the day of training."""
    names = joined(inputs)
    return Words(
        f"What the training images' principal axes leave unexplained, at {names.en} and in a thumbnail. Limits were found by "
        "cross-validation over groups: nearly all unseen training images are below the familiar limit, most strongly altered "
        "views of them below the foreign one.",
        f"训练图像主轴无法解释的部分，取自 {names.zh} 和缩略图。界限通过按组交叉验证得到：几乎所有未见的训练图像低于熟悉界限，"
        "其强烈变化的视图大多低于异类界限。",
    )


def method(training: dict[str, Any]) -> Words:
    """How a model of ours works: with a spatial head, or a linear one."""
    if not training.get("spatial"):
        return METHOD
    joined = any(not name.endswith("_map") for name in training.get("taps", []))
    return Words(SPATIAL_METHOD.en + JOINED.en, SPATIAL_METHOD.zh + JOINED.zh) if joined else SPATIAL_METHOD


def spatial_head(found: dict[str, Any]) -> Words:
    """The shape of a spatial head, from ``SpatialConfig.document``."""
    pools = {"average": "平均", "maximum": "最大", "attention": "注意力"}
    return Words(
        f"convolutional: {found['members']} network(s) of {found['width']} channels, depth {found['depth']}; pooled by "
        f"{', '.join(found['pooling'])}; at most {found['epochs']} epochs",
        f"卷积：{found['members']} 个网络，{found['width']} 通道，深度 {found['depth']}；"
        f"{'、'.join(pools[p] for p in found['pooling'])}池化；最多 {found['epochs']} 轮",
    )
