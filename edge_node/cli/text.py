"""Small pieces of human text that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from protocols.console import Console

if TYPE_CHECKING:
    from edge_node.cache.store import Decision
    from edge_node.transfer.limits import Reason
    from edge_node.trust.feed import Snapshot
    from edge_node.trust.standing import Standing

_STEP = 1000


def size_text(size_bytes: int) -> str:
    """A size for people: ``22.4 MB``."""
    value, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB"):
        if value < _STEP:
            break
        value, unit = value / _STEP, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def time_text(time: datetime) -> str:
    """A time in the machine's zone, to the minute."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M")


def duration_text(console: Console, seconds: float) -> str:
    """About how long: ``46 min``."""
    minutes, hours = max(round(seconds / 60), 1), seconds / 3600
    if seconds < 60:
        return console.t(f"{seconds:.0f} s", f"{seconds:.0f} 秒")
    if minutes < 120:
        return console.t(f"{minutes} min", f"{minutes} 分钟")
    return console.t(f"{hours:.0f} h", f"{hours:.0f} 小时")


def reason_text(console: Console, reason: Reason) -> str:
    """A limit in words that end a sentence."""
    return {
        "window": console.t("outside the hours set for downloads", "不在设定的下载时段内"),
        "metered": console.t("the link is set as metered", "网络已设为按流量计费"),
        "budget": console.t("the month's budget would be passed", "将超出本月流量预算"),
    }[reason]


def say_if_stale(console: Console, snapshot: Snapshot) -> None:
    """Tell that the list is an old one, and why."""
    if snapshot.failure is None:
        return
    when = time_text(snapshot.fetched)
    console.say(
        f"The list is as of {when}: {snapshot.failure.message('en')}",
        f"列表截至 {when}：{snapshot.failure.message('zh')}",
    )


def warn(console: Console, standing: Standing) -> None:
    """Tell what a person should know before relying on this node; nothing when all is well."""
    if standing.node_revoked:
        console.say(
            "Warning: the coordinator has revoked this node; its models get no corrections any more.",
            "警告：协调端已吊销本节点，本机模型不再获得任何更正。",
        )
    if standing.is_stale:
        console.say(
            f"Nothing was verified with the coordinator for {standing.stale_days} days.",
            f"已有 {standing.stale_days} 天没有向协调端核对。",
        )
    if standing.clock_behind:
        console.say(
            "This machine's clock looks wrong: it shows a time that has certainly passed.",
            "本机时钟似乎有误：显示的时间肯定已经过去。",
        )


def warn_of_key_file(console: Console, key_place: str | None) -> None:
    """Tell that the history's key lies beside it; nothing where the system's keystore has it, or there is none yet."""
    if key_place == "file":
        console.say(
            "The history's key is in a file on this disk, since this system offers no keystore: whoever copies the disk "
            "can read the history. Encrypt the disk.",
            "历史记录的密钥保存在本机磁盘的文件中（系统没有可用的密钥库）：复制磁盘者可读取历史记录，建议对磁盘加密。",
        )


def decision_texts(decision: Decision) -> tuple[str, str]:
    """What this site decided about a release, in English and Chinese."""
    name, figures = decision.name, decision.figures
    against = f"{decision.model}@{decision.against}"
    en, zh = {
        "worse_here": (f"worse than {against} on this site's images", f"在本机构图像上不如 {against}"),
        "failed": ("it does not run on this site's images", "无法在本机构的图像上运行"),
        "by_hand": ("by a person", "由人员决定"),
    }[decision.reason]
    if figures is not None and figures.candidate is not None and figures.high is not None:
        span = f"{figures.low:+.3f} … {figures.high:+.3f}"
        en += (
            f": balanced accuracy {figures.candidate:.3f} against {figures.active:.3f} "
            f"(95 % interval of the difference {span}; {figures.n} images, {figures.groups} groups)"
        )
        zh += (
            f"：平衡准确率 {figures.candidate:.3f}，对比 {figures.active:.3f}"
            f"（差值 95% 区间 {span}；{figures.n} 张图像，{figures.groups} 个分组）"
        )
    if decision.words:
        en, zh = f"{en}: {decision.words}", f"{zh}：{decision.words}"
    if decision.declined:
        return f"{name} is declined here: {en}.", f"本机构已拒绝 {name}：{zh}。"
    return f"{name} is in use all the same: {en}.", f"仍然采用 {name}：{zh}。"


def adding(advance: Callable[[int], None]) -> Callable[[int], None]:
    """Turn "so many more bytes" into "so many bytes by now"."""
    done = 0

    def add(size_bytes: int) -> None:
        nonlocal done
        done += size_bytes
        advance(done)

    return add
