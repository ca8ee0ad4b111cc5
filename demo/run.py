"""The whole job on this machine: a coordinator and two nodes, from images to a diagnosis aid, over loopback.

Every step is one of the public commands, run as a process of its own and shown, so that it can be repeated by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent))
from smear import draw_set

from protocols.console import NOTICE
from protocols.manifest import slugify

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parent.parent / "build" / "demo"
BACKBONE = "nsfwjs-4.4.0"
PATIENTS, CELLS_EACH, SHOWN = 24, 16, 2
NOTICE_TIMEOUT_S = 60
out = Console(highlight=False)


class FailedError(Exception):
    """A command that the demo needs did not succeed; it has printed why."""


def show(command: str, arguments: list[str], home: Path) -> list[str]:
    """Print a command as one would type it, and return it as it is run."""
    words = [command, *arguments, "--home", str(home)]
    out.print(f"[bold cyan]$[/] {shlex.join(words)}", soft_wrap=True)
    return [str(BIN / command), *words[1:], "--json"]


def attempt(command: str, *arguments: str, home: Path, quiet: bool = False) -> tuple[int, dict[str, Any]]:
    """Run one command; its progress goes to the screen, its JSON answer comes back."""
    done = subprocess.run(
        show(command, list(arguments), home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if quiet else None,
        text=True,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}


def run(command: str, *arguments: str, home: Path) -> dict[str, Any]:
    """Run a command that must succeed."""
    code, answer = attempt(command, *arguments, home=home)
    if code:
        raise FailedError(command)
    return answer


class Background:
    """A command that goes on; its lines of JSON are collected."""

    def __init__(self, command: str, *arguments: str, home: Path) -> None:
        self._process = subprocess.Popen(show(command, list(arguments), home), stdout=subprocess.PIPE, text=True)
        self._lines: list[dict[str, Any]] = []
        self._more = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._more:
                self._lines.append(json.loads(line))
                self._more.notify_all()

    def wait_for(self, **wanted: Any) -> dict[str, Any]:
        """The first line that holds these values; None as a value: any."""

        def found() -> dict[str, Any] | None:
            return next((x for x in self._lines if all(k in x and v in (None, x[k]) for k, v in wanted.items())), None)

        with self._more:
            self._more.wait_for(lambda: found() is not None, NOTICE_TIMEOUT_S)
            line = found()
        if line is None:
            raise FailedError("the background process did not answer in time")
        return line

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()


def heading(text: str) -> None:
    out.print(f"\n[bold]{text}[/]")


def pick_images(data: Path, classes: dict[str, int]) -> list[Path]:
    """A few images of each class to recognise."""
    found = []
    for label in classes:
        found += [p for p in sorted((data / label).rglob("*")) if p.is_file()][:SHOWN]
    return found


def train(home: Path, data: Path, disease: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Coordinator's first half: import, backbone, training."""
    heading("1 · Coordinator: images in, model out · 协调器：导入与训练")
    run("medmesh-coordinator", "init", "--name", "Demo hospital network", "--approvals", "1", home=home)
    report = run("medmesh-coordinator", "dataset", "import", str(data), "--disease", disease, home=home)
    code, _ = attempt("medmesh-coordinator", "backbone", "fetch", BACKBONE, home=home)
    backbone = BACKBONE
    if code:
        backbone = "random-1"
        out.print(
            "[yellow]The pretrained backbone cannot be fetched here. Going on with a random one: "
            "the wiring is real, the answers mean nothing.[/]"
        )
    trained = run(
        "medmesh-coordinator", "train", report["dataset"], "--backbone", backbone, "--effort", "quick", home=home
    )
    return report, trained


def release(home: Path, trained: dict[str, Any], report: dict[str, Any]) -> str:
    """Propose and approve; classes without an entry are released with that said."""
    name = f"{trained['model']}@{trained['version']}"
    unmapped = [label for label, x in report["labels"].items() if x["entry"] is None and x["kind"] != "normal"]
    extra = ["--allow-unmapped", "Demo: the knowledge base has no entry for these classes yet"] if unmapped else []
    run("medmesh-coordinator", "release", "propose", name, "--notes", "Demo release", *extra, home=home)
    run("medmesh-coordinator", "release", "approve", name, home=home)
    return name


def print_aid(result: dict[str, Any]) -> None:
    """The answer and what the knowledge base says, in both languages."""
    labels = ", ".join(f"{x['name']['en']} / {x['name']['zh']} {x['score']:.3f}" for x in result["labels"])
    out.print(f"[bold]{Path(result['image']).name}[/]: {result['outcome']} — {labels}", soft_wrap=True)
    for entry in result["diagnosis"]["entries"]:
        for language in ("zh", "en"):
            out.print(f"  [bold]{entry['name'][language]}[/] ({entry['review_status']})")
            out.print(f"    {entry['definition'].get(language, '')}", soft_wrap=True)
            for mark, key in (("!", "red_flags"), ("→", "management")):
                for text in entry[key].get(language, [])[:2]:
                    out.print(f"    {mark} {text}", soft_wrap=True)


def summary(rows: list[tuple[str, str]]) -> None:
    table = Table(title="MedMesh demo", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with one folder for each class, and groups.csv if known")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000, help="for the drawn cells")
    options = parser.parse_args()
    started = time.monotonic()
    shutil.rmtree(ROOT, ignore_errors=True)
    center, clinic_a, clinic_b = ROOT / "coordinator", ROOT / "clinic-a", ROOT / "clinic-b"
    fresh = None
    if options.data:
        data = options.data.resolve()
        if not data.is_dir():
            out.print(f"[red]{data} is not a folder.[/]")
            return 3
        disease = slugify(data.name)
    else:
        data, fresh, disease = ROOT / "drawn-cells", ROOT / "drawn-new-patients", "malaria"
        out.print(
            f"[yellow]No DATA given: drawing blood cells with seed {options.seed}. These are drawings, not patients; "
            f"the figures show that the machinery works and nothing clinical.[/]\n"
            f"[yellow]未提供 DATA：以种子 {options.seed} 绘制血细胞图。均为绘图而非患者，结果不具临床意义。[/]"
        )
        draw_set(data, options.seed, PATIENTS, CELLS_EACH)
        draw_set(fresh, options.seed + 1, 2, 4)
    background: list[Background] = []
    try:
        report, trained = train(center, data, disease)
        name = release(center, trained, report)

        heading("2 · Network: two clinics join · 两个诊所加入网络")
        server = Background("medmesh-coordinator", "serve", "--port", "0", "--node-port", "0", home=center)
        background.append(server)
        server.wait_for(url=None)
        for clinic in (clinic_a, clinic_b):
            invite = run("medmesh-coordinator", "node", "invite", "--site", clinic.name, home=center)["invite"]
            run("medmesh-edge", "join", invite, "--name", clinic.name, home=clinic)
        agent = Background("medmesh-edge", "serve", home=clinic_b)
        background.append(agent)
        agent.wait_for(event="ready")
        found = run("medmesh-edge", "discover", home=clinic_a)

        heading("3 · Release: told by websocket, fetched, verified · 发布：通知、获取、校验")
        run("medmesh-coordinator", "release", "rollout", name, "--percent", "100", home=center)
        notice = agent.wait_for(event="notice")
        out.print(f"clinic-b heard over its websocket: {json.dumps(notice, ensure_ascii=False)}", soft_wrap=True)
        run("medmesh-edge", "models", home=clinic_a)
        pulls = {c.name: run("medmesh-edge", "pull", disease, home=c) for c in (clinic_a, clinic_b)}
        again = run("medmesh-edge", "pull", disease, home=clinic_a)

        heading("4 · Recognition and diagnosis aid · 识别与诊断辅助")
        images = [str(p) for p in pick_images(fresh or data, report["classes"])]
        online = run("medmesh-edge", "recognise", *images, "--disease", disease, home=clinic_a)
        agent.stop()
        server.stop()
        out.print("The coordinator is gone now; clinic-b recognises alone. · 协调器已关闭，clinic-b 独立识别。")
        offline = run("medmesh-edge", "recognise", *images, "--disease", disease, home=clinic_b)
    except FailedError as failure:
        out.print(f"[red]The demo stopped: {failure} failed; its message is above.[/]")
        return 1
    finally:
        for process in background:
            process.stop()

    for result in (online["results"][0], online["results"][-1]):
        print_aid(result)
    same = [r["labels"][0]["label"] for r in online["results"]] == [r["labels"][0]["label"] for r in offline["results"]]
    figure = trained["metrics"]["balanced_accuracy"]
    first = pulls["clinic-a"]["bytes"]
    milliseconds = sorted(r["timing_ms"]["total"] for r in online["results"])
    heading("Summary · 小结")
    summary(
        [
            ("data · 数据", f"{report['accepted']} images, {report['groups']} groups" + (" (drawn)" if fresh else "")),
            ("backbone · 主干", trained["backbone"]),
            ("taps · 特征层", ", ".join(trained["taps"])),
            (
                "balanced accuracy · 平衡准确率",
                f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f}), {trained['metrics']['method']}",
            ),
            (
                "discovered · 发现",
                f"{len(found['found'])} service(s), trusted: {sum(x['trusted'] for x in found['found'])}",
            ),
            ("first download · 首次下载", f"{sum(first.values())} bytes, of it head {_head_bytes(trained)}"),
            ("second pull · 再次获取", f"{sum(again['bytes'].values())} bytes, cached: {again['already_cached']}"),
            ("recognition · 识别", f"median {milliseconds[len(milliseconds) // 2]:.0f} ms an image"),
            ("offline · 离线", "same labels as online" if same else "LABELS DIFFER FROM ONLINE"),
            ("demo · 总用时", f"{time.monotonic() - started:.0f} s"),
        ]
    )
    out.print("Go on by hand · 继续手动操作:")
    for command, arguments, home in (
        ("medmesh-coordinator", ["serve"], center),
        ("medmesh-coordinator", ["model", "card", name], center),
        ("medmesh-edge", ["recognise", images[0], "--disease", disease, "--lang", "zh"], clinic_a),
        ("medmesh-kb", ["search", "疟疾"], clinic_a),
    ):
        out.print(
            "  " + shlex.join([os.path.relpath(BIN / command), *arguments, "--home", os.path.relpath(home)]),
            soft_wrap=True,
        )
    out.print(f"{NOTICE['en']}\n{NOTICE['zh']}")
    return 0 if same else 1


def _head_bytes(trained: dict[str, Any]) -> int:
    return int(next(a["size"] for a in trained["artifacts"] if a["role"] == "head"))


if __name__ == "__main__":
    sys.exit(main())
