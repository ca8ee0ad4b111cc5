"""The one table of acts, in English and Chinese. Others cannot be recorded; a test finds writers that record nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from protocols.artifacts import canonical_json

ACTS: Final[dict[str, tuple[str, str]]] = {
    "coordinator.init": ("a coordinator was made", "创建了协调器"),
    "dataset.import": ("training images were imported", "导入了训练图像"),
    "dataset.label": ("a class was mapped to the knowledge base", "将类别对应到知识库"),
    "dataset.remove": ("a data set or a group of it was removed", "删除了数据集或其中的分组"),
    "dataset.quarantine.accept": ("a person let a doubtful image into a data set", "有人将待审图像收入数据集"),
    "dataset.quarantine.reject": ("a person removed a doubtful image", "有人删除了待审图像"),
    "model.train": ("a version was trained", "训练了一个版本"),
    "model.import": ("a ready-trained model was taken in", "导入了在别处训练的模型"),
    "model.recalibrate": ("a version was made for another site", "为另一机构生成了版本"),
    "model.federate": ("a version came out of a federated run", "联邦训练生成了版本"),
    "model.personal": ("a version was made of one site's own head", "用某机构自有的头部生成了版本"),
    "release.propose": ("a version was put up for approval", "版本提交审批"),
    "release.approve": ("an approver signed", "批准人签署"),
    "release.rollout": ("a release was offered to nodes", "向节点推送发布"),
    "release.pause": ("a rollout was stopped", "暂停了推送"),
    "release.pause.automatic": ("a rollout was stopped by its own rules", "推送按其规则自动暂停"),
    "release.advance": ("a rollout went to its next stage", "推送进入下一阶段"),
    "release.resume": ("a rollout goes on", "推送继续"),
    "release.rollback": ("nodes were sent back to the release before", "节点退回上一发布"),
    "release.withdraw": ("a release was revoked", "撤回了发布"),
    "release.countersign": ("another network's release was taken over", "引入了其他网络的发布"),
    "kb.publish": ("the knowledge base was put up for approval", "知识库提交审批"),
    "kb.review": ("a knowledge base entry was reviewed", "审核了知识库条目"),
    "key.rotate": ("a role's key was replaced", "更换了某角色的密钥"),
    "approver.add": ("a person may approve from now on", "新增一名批准人"),
    "approver.remove": ("a person may no longer approve", "取消一名批准人"),
    "node.invite": ("an invite was made", "生成了邀请"),
    "node.enrol": ("a node joined", "节点加入"),
    "node.renew": ("a node's certificate was renewed", "节点证书已续期"),
    "node.revoke": ("a node was turned away", "拒绝了节点"),
    "token.create": ("an API token was made", "生成了 API 令牌"),
    "token.revoke": ("an API token was ended", "撤销了 API 令牌"),
    "user.add": ("a user was made", "添加了用户"),
    "user.change": ("a user's role or password was changed", "更改了用户的角色或密码"),
    "user.remove": ("a user was removed", "移除了用户"),
    "session.start": ("a user logged in", "用户登录"),
    "session.end": ("a user logged out", "用户退出登录"),
    "upstream.add": ("another network's catalogue is followed", "开始关注其他网络的目录"),
    "upstream.pull": ("a release was fetched from another network", "从其他网络获取了发布"),
    "upstream.remove": ("another network's catalogue is no longer followed", "停止关注其他网络的目录"),
    "upload.complete": ("an upload arrived whole and was queued", "上传完整到达并排队"),
    "job.queue": ("a job was queued", "任务已排队"),
    "job.cancel": ("a job was cancelled", "取消了任务"),
    "federation.start": ("a federated run was asked for", "申请联邦训练"),
    "federation.stop": ("a federated run was asked to stop", "要求停止联邦训练"),
    "federation.result": ("a federated run ended", "联邦训练结束"),
    "results.export": ("results were written to a file", "结果写入文件"),
    "audit.export": ("the audit trail was written to a file", "审计记录写入文件"),
}

MOST_BYTES: Final = 8000  # of a row's detail
MOST_SUBJECT: Final = 200
# What must never get into the trail by a slip: pictures and their names, people, secrets.
FORBIDDEN: Final = frozenset(
    {
        "file",
        "files",
        "path",
        "image",
        "images_list",
        "patient",
        "group",
        "case",
        "secret",
        "password",
        "token",
        "invite",
    }
    | {"private_key", "signature", "csr", "certificate"}
)


def some(names: Iterable[str]) -> list[str]:
    """The first few names, cut to a length that the trail takes."""
    return [name[:60] for name in islice(names, 20)]


def check(act: str, subject: str, detail: Mapping[str, Any]) -> None:
    """Refuse what the trail does not take: that is a defect of the caller's.

    Raises:
        ValueError: the act stands in no table, or the detail holds what it must not.
    """
    if act not in ACTS:
        raise ValueError(f"{act} is not in the table of acts")
    if slipped := FORBIDDEN & _keys(detail):
        raise ValueError(f"{act} must not record {', '.join(sorted(slipped))}")
    if len(subject) > MOST_SUBJECT or len(canonical_json(dict(detail))) > MOST_BYTES:
        raise ValueError(f"{act} records too much")


def _keys(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        return set(value) | {k for inner in value.values() for k in _keys(inner)}
    if isinstance(value, list | tuple):
        return {k for inner in value for k in _keys(inner)}
    return set()
