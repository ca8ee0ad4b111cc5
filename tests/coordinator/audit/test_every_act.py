"""Whatever changes something leaves exactly one record. New services and commands fail here until they say which."""

from __future__ import annotations

import ast
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer.main

from coordinator.access.roles import Role
from coordinator.access.users import Known
from coordinator.audit.acts import ACTS
from coordinator.audit.log import Chosen as Acts
from coordinator.bootstrap import Coordinator, initialise, open_coordinator
from coordinator.cli import keys as key_commands
from coordinator.cli.app import app
from coordinator.config import Config
from coordinator.federation.jobs import Jobs, Options
from coordinator.intake.quarantine import Quarantine
from coordinator.jobs.queue import Request, enqueue
from coordinator.releases import lifecycle
from coordinator.releases.gates import Gate
from coordinator.releases.stages import StagedPlan, read_stages
from coordinator.results.export import export_results
from coordinator.results.store import Chosen
from coordinator.store.blobs import FolderBlobs
from disease_kb.seeding import open_or_build
from protocols.console import Console
from tests.support import manifests
from tests.support.coordinator import NOW
from tests.support.dicom import dicom_file
from tests.support.intake import add, opened
from tests.support.pictures import write_set

ROOT = Path(__file__).parents[3]

# Transactions that are no act of anybody: what the program does by itself, or what goes with an act that is recorded elsewhere.
WITHOUT_ACT = {
    "access/owners.py": "within the caller's transaction",
    "access/sessions.py:_note": "when a session was last used",
    "access/users.py:_renew": "the same password, kept at today's cost",
    "jobs/queue.py:claim": "the runner takes a job that was queued",
    "jobs/queue.py:renew": "progress",
    "jobs/queue.py:finish": "what the job did is recorded by what it calls",
    "jobs/queue.py:_end": "progress",
    "jobs/queue.py:forget": "tidying up after 180 days",
    "jobs/work.py:_import": "claims the name for dataset.import",
    "nodes/enrolment.py:node_of": "a node was seen",
    "releases/staged.py:_keep_baseline": "what nodes said",
    "releases/staged.py:_write": "why a rollout waits; what moves or stops it is recorded",
    "results/store.py:store": "reports of nodes are rows of their own, with their node",
    "fleet/rows.py:keep": "how a node stands",
    "uploads/store.py:_insert": "an upload counts when it is complete",
    "uploads/store.py:_record": "one part",
    "uploads/store.py:abort": "nothing of it had counted",
    "uploads/store.py:sweep": "tidying up",
    "uploads/whole.py:_settle": "parts; completing it is recorded",
    "store/leases.py": "which process works",
    "upstream/store.py:verified": "what another network says",
    "upstream/store.py:failed": "what another network says",
    "upstream/store.py:mark_revoked": "the pause or withdrawal that follows is recorded by itself",
    "store/database.py:begin": "the transaction itself",
    "store/database.py:create": "the schema",
    "store/database.py:read": "only reads",
}

# Every command of the coordinator: the act that it leaves, or "" where it changes nothing that the coordinator keeps.
COMMANDS = {
    "init": "coordinator.init", "serve": "",
    "dataset import": "dataset.import", "dataset upload": "", "dataset list": "", "dataset show": "", "dataset report": "",
    "dataset label": "dataset.label", "dataset remove": "dataset.remove", "dataset quarantine list": "",
    "dataset quarantine show": "", "dataset quarantine accept": "dataset.quarantine.accept",
    "dataset quarantine reject": "dataset.quarantine.reject",
    "train": "model.train", "evaluate": "", "recalibrate": "model.recalibrate", "model list": "", "model show": "",
    "model card": "", "model export": "", "model import": "model.import", "model upload": "", "backbone list": "",
    "backbone fetch": "", "federate start": "federation.start", "federate status": "", "federate stop": "federation.stop",
    "federate personal": "model.personal", "release list": "", "release propose": "release.propose",
    "release approve": "release.approve", "release rollout": "release.rollout", "release pause": "release.pause",
    "release resume": "release.resume", "release rollback": "release.rollback", "release withdraw": "release.withdraw",
    "release show": "", "release mirror": "", "kb publish": "kb.publish", "key create": "", "key list": "",
    "key rotate": "key.rotate", "user add": "user.add", "user remove": "user.remove", "user list": "",
    "user role": "user.change", "user password": "user.change",
    "node invite": "node.invite", "node revoke": "node.revoke", "node list": "", "results list": "",
    "results export": "results.export", "token create": "token.create", "token list": "", "token revoke": "token.revoke",
    "job list": "", "job show": "", "job cancel": "job.cancel", "job train": "job.queue", "audit list": "",
    "audit verify": "", "audit export": "audit.export", "upstream offer": "", "upstream add": "upstream.add",
    "upstream list": "", "upstream show": "", "upstream refresh": "", "upstream remove": "upstream.remove",
    "upstream pull": "upstream.pull", "fleet list": "", "fleet show": "", "fleet alarms": "",
}  # fmt: skip


def functions(tree: ast.AST) -> Iterator[ast.AsyncFunctionDef | ast.FunctionDef]:
    return (n for n in ast.walk(tree) if isinstance(n, ast.AsyncFunctionDef | ast.FunctionDef))


def writes(function: ast.AST) -> bool:
    """Whether it opens a transaction that may write."""
    items = [i.context_expr for n in ast.walk(function) if isinstance(n, ast.AsyncWith) for i in n.items]
    calls = [c.func for c in items if isinstance(c, ast.Call) and isinstance(c.func, ast.Attribute)]
    return any(c.attr == "begin" for c in calls)


def records(function: ast.AST) -> bool:
    named = {n.func.id for n in ast.walk(function) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    return bool(named & {"record", "enqueue", "_tell"}) or any(
        isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr in ("record", "enqueue")
        for n in ast.walk(function)
    )


def test_every_writing_transaction_records_or_says_why_not() -> None:
    missing, known = [], set()
    for path in (ROOT / "coordinator").rglob("*.py"):
        name = str(path.relative_to(ROOT / "coordinator"))
        for function in functions(ast.parse(path.read_text("utf-8"))):
            if writes(function):
                known.add(f"{name}:{function.name}")
                if not records(function) and not {name, f"{name}:{function.name}"} & WITHOUT_ACT.keys():
                    missing.append(f"{name}:{function.name}")
    assert missing == []
    assert [x for x in WITHOUT_ACT if ":" in x and x not in known] == []


def test_every_act_that_code_names_stands_in_the_table() -> None:
    form = re.compile(
        r"(dataset|model|release|kb|key|approver|node|token|user|session|upload|job|federation|results|audit)\.[a-z.]+"
    )
    told = set()
    for path in (ROOT / "coordinator").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and "record" in ast.unparse(node.func):
                told |= {
                    a.value for a in ast.walk(node) if isinstance(a, ast.Constant) and form.fullmatch(str(a.value))
                }
    assert len(told) > 15 and told <= ACTS.keys()


def test_every_command_is_classified() -> None:
    def names(group: Any, before: str = "") -> Iterator[str]:
        for name, command in group.commands.items():
            yield from names(command, f"{before}{name} ") if hasattr(command, "commands") else [before + name]

    assert set(names(typer.main.get_command(app))) == COMMANDS.keys()
    assert {act for act in COMMANDS.values() if act} <= ACTS.keys()


def proposable(coordinator: Coordinator, version: int) -> Any:
    golden = FolderBlobs(coordinator.home.artifacts).put(b"golden")
    example = manifests.example(version=version)
    artifacts = (*example.artifacts[:-1], replace(example.artifacts[-1], sha256=golden))
    return replace(example, artifacts=artifacts, golden=replace(example.golden, sha256=golden))


async def ready(coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gates that pass: what they check is tested elsewhere."""
    names = ("notes", "card_complete", "labels_mapped", "parity", "vetted", "retested", "calibrated", "best_site")
    passing = SimpleNamespace(
        trunk_of=lambda _: None,
        **{n: lambda *_, n=n: Gate(n, True, "", "") for n in (*names, "self_test", "converted_twice")},
    )
    monkeypatch.setattr(lifecycle, "gates", passing)
    monkeypatch.setattr(lifecycle, "golden_scores", lambda *_: [])


async def test_every_service_that_changes_something_leaves_one_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await initialise(tmp_path, Config("test", 1))
    console = Console(home=tmp_path, json=True, language="en")
    async with open_coordinator(tmp_path) as c, await open_or_build(tmp_path) as knowledge:
        await ready(c, monkeypatch)
        later = NOW + timedelta(days=1)
        write_set(tmp_path / "set", 4)
        (tmp_path / "set" / "groups.csv").unlink()
        for number, kind in enumerate(("6.1", "7")):
            file = tmp_path / "set" / "uninfected" / f"{number}.dcm"
            dicom_file(file, sop_class=f"1.2.840.10008.5.1.4.1.1.{kind}", Rows=30 + number)
        datasets, quarantine, federations = opened(c), Quarantine(c.database, c.home), Jobs(c.database)
        training = {"dataset": "malaria", "metrics": {}}
        made: dict[str, Any] = {}

        async def first(act: str, what: Awaitable[Any]) -> None:
            made[act] = await what

        async def queue() -> str:
            async with c.database.begin() as connection:
                wanted = Request("import", "malaria", "north", frozenset(), {}, "u" * 32)
                return await enqueue(connection, wanted, NOW)

        async def written() -> int:
            return await export_results(c.results, Chosen(), tmp_path / "r.csv", "csv", knowledge, NOW, force=False)

        steps: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
            ("dataset.import", lambda: add(c, tmp_path / "set")),
            ("dataset.label", lambda: datasets.label("malaria", "uninfected", "normal", knowledge)),
            ("dataset.quarantine.accept", lambda: _first(quarantine, lambda i: quarantine.accept(i, knowledge))),
            ("dataset.quarantine.reject", lambda: _first(quarantine, quarantine.reject)),
            ("model.train", lambda: c.models.add(proposable(c, 1), training)),
            ("model.import", lambda: c.models.add(proposable(c, 2), training, "model.import")),
            ("release.propose", lambda: c.releases.propose("malaria@1", "", None, False, NOW)),
            ("release.approve", lambda: c.releases.approve("malaria@1", None, NOW)),
            ("release.rollout", lambda: c.releases.rollout("malaria@1", 100, ("canary",), NOW)),
            ("release.propose", lambda: c.releases.propose("malaria@2", "", "why", False, NOW, accept_worse="why")),
            ("release.approve", lambda: c.releases.approve("malaria@2", None, NOW)),
            ("release.rollout", lambda: c.releases.rollout("malaria@2", 10, (), NOW)),
            ("release.rollout", lambda: c.rollouts.start("malaria@2", StagedPlan(read_stages("10%:1h,100%"), ()), NOW)),
            ("release.rollout", lambda: c.rollouts.next("malaria@2", NOW)),
            ("release.pause", lambda: c.releases.pause("malaria@2", NOW)),
            ("release.resume", lambda: c.releases.resume("malaria@2", NOW)),
            ("release.rollback", lambda: c.releases.rollback("malaria@2", NOW)),
            ("release.withdraw", lambda: c.releases.withdraw("malaria@2", "misses rings", NOW)),
            ("kb.publish", lambda: c.releases.propose_knowledge(knowledge, NOW)),
            ("token.create", lambda: first("token", c.tokens.create("north", ["train"], timedelta(days=1), NOW))),
            ("token.revoke", lambda: c.tokens.revoke(made["token"]["id"])),
            ("user.add", lambda: c.users.add("ada", Role.VIEWER, NOW)),
            ("user.change", lambda: c.users.set_role("ada", Role.ADMIN)),
            ("user.change", lambda: c.users.set_password("ada", "gentle otter counts rain")),
            ("user.change", lambda: first("link", c.users.link("ada", NOW))),
            ("user.change", lambda: c.users.choose(made["link"]["path"][10:], "quiet harbour lamp seven", NOW)),
            ("session.start", lambda: first("session", c.sessions.open(Known(1, "ada", 4), NOW))),
            ("session.end", lambda: c.sessions.end(made["session"], NOW)),
            ("user.remove", lambda: c.users.remove("ada")),
            ("job.queue", lambda: first("job", c.jobs.add(Request("train", "x", "", frozenset(), {}), NOW))),
            ("upload.complete", queue),
            ("job.cancel", lambda: c.jobs.cancel(made["job"]["job"], None, NOW)),
            ("federation.start", lambda: first("run", federations.start("malaria@1", Options(), NOW))),
            ("federation.stop", lambda: federations.stop(None)),
            ("federation.result", lambda: federations.note(made["run"].id, "stopped")),
            ("results.export", written),
            ("node.invite", lambda: c.enrolment.invite("Clinic", (), "https://x", later)),
            ("key.rotate", lambda: key_commands.rotate(console, "online")),
            ("key.rotate", lambda: key_commands.rotate(console, "root")),
            ("dataset.remove", lambda: datasets.remove("malaria", None)),
        ]  # fmt: skip
        for act, do in steps:
            before = (await c.trail.newest(Acts(), 1))[0].number
            await do()
            rows = await c.trail.newest(Acts(), 5)
            assert rows[0].act == act, (act, rows[0])
            assert rows[0].number == before + 1, (act, [r.act for r in rows])


async def _first(quarantine: Quarantine, decide: Callable[[str], Awaitable[Any]]) -> None:
    await decide((await quarantine.list(None))[0]["id"])


def test_every_act_is_said_in_both_languages() -> None:
    for english, chinese in ACTS.values():
        assert english.isascii() and re.search(r"[\u4e00-\u9fff]", chinese), english
