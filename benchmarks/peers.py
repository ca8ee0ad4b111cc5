"""Eight nodes in network namespaces behind one thin line: what goes over it when they pull together.

The coordinator's side of its link is capped by ``tc tbf``; the nodes share a bridge, their LAN. Bytes are the kernel's count of
what the coordinator sent, headers and TLS in it. The rival is the same eight nodes without discovery, each by itself. Needs
root, ``ip`` and ``tc``; says so and ends well where they are missing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from figures import figure
from wire import BIN, draw, publish, run

NODES = 8
RATE_KBIT = 24_000
PREFIX = f"mm{os.getpid() % 10_000}"
BRIDGE = f"{PREFIX}-lan"


def sh(line: str) -> str:
    return subprocess.run(line.split(), check=True, capture_output=True, text=True).stdout


@contextmanager
def network(names: list[str]) -> Iterator[None]:
    """A namespace for each name, all on one bridge; the first one's way out is capped."""
    made: list[str] = []
    try:
        for number, name in enumerate([BRIDGE, *names]):
            sh(f"ip netns add {name}")
            made.append(name)
            sh(f"ip -n {name} link set lo up")
            if name == BRIDGE:
                sh(f"ip -n {BRIDGE} link add br0 type bridge")
                sh(f"ip -n {BRIDGE} link set br0 up")
                continue
            sh(f"ip link add eth0 netns {name} type veth peer name p{number} netns {BRIDGE}")
            sh(f"ip -n {BRIDGE} link set p{number} master br0 up")
            sh(f"ip -n {name} addr add 10.88.0.{number}/24 dev eth0")
            sh(f"ip -n {name} link set eth0 up")
            sh(f"ip -n {name} route add default dev eth0")
        sh(f"ip netns exec {names[0]} tc qdisc add dev eth0 root tbf rate {RATE_KBIT}kbit burst 64kb latency 400ms")
        yield
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False)


def sent(coordinator: str) -> int:
    """Bytes that the coordinator's interface sent."""
    return int(sh(f"ip netns exec {coordinator} cat /sys/class/net/eth0/statistics/tx_bytes"))


def inside(name: str, home: Path, *words: str, discovery: bool = True) -> subprocess.Popen[str]:
    environment = os.environ | {
        "MEDMESH_EDGE_DISCOVERY": str(discovery).lower(),
        "MEDMESH_EDGE_HISTORY_KEY": "file",
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
    }
    return subprocess.Popen(
        ["ip", "netns", "exec", name, *words, "--home", str(home), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def together(
    coordinator: str,
    invite_home: Path,
    names: list[str],
    root: Path,
    *,
    bad: tuple[str, ...] = (),
    discovery: bool = True,
) -> tuple[int, float]:
    """Fresh nodes join one by one, then pull at the same moment; returns bytes and the seconds of the last good one."""
    folder = Path(tempfile.mkdtemp(dir=root))
    homes = [folder / name for name in names]
    for name, home in zip(names, homes, strict=True):
        invite = run("medmesh-coordinator", "node", "invite", home=invite_home)["invite"]
        joined = inside(name, home, str(BIN / "medmesh-edge"), "join", invite)
        if joined.wait():
            raise SystemExit(joined.communicate()[1])
    before, start = sent(coordinator), time.monotonic()
    running = []
    kinds = dict(zip((3, 6), bad, strict=False))  # neither first nor last to start
    for number, (name, home) in enumerate(zip(names, homes, strict=True)):
        program = [str(BIN / "medmesh-edge")]
        if number in kinds:
            program = [sys.executable, "-m", "tests.edge_node.support.bad_peer", kinds[number]]
        running.append(inside(name, home, *program, "pull", "two", discovery=discovery))
    last = 0.0
    for number, process in enumerate(running):
        out, err = process.communicate()
        if number not in kinds:
            if process.returncode:
                raise SystemExit(err)
            last = max(last, json.loads(out)["seconds"])
    shutil.rmtree(folder)
    return sent(coordinator) - before, min(last, time.monotonic() - start)


def main() -> int:
    if os.geteuid() or not shutil.which("ip") or not shutil.which("tc"):
        sys.stderr.write("peers: needs root, ip and tc; left out.\n")
        return 0
    names = [f"{PREFIX}-{n}" for n in range(NODES + 1)]
    with tempfile.TemporaryDirectory() as folder, network(names):
        root, home = Path(folder), Path(folder) / "coordinator"
        run("medmesh-coordinator", "init", "--approvals", "1", home=home)
        images = str(draw(root / "two", 2, 1))
        run("medmesh-coordinator", "dataset", "import", images, "--disease", "two", home=home)
        publish(home, "two")
        size = sum(a["size"] for a in run("medmesh-coordinator", "model", "show", "two", home=home)["artifacts"])
        server = inside(
            names[0], home, str(BIN / "medmesh-coordinator"), "serve", "--host", "10.88.0.1", "--no-zeroconf"
        )
        try:
            assert server.stdout is not None
            server.stdout.readline()
            measure(names, home, root, size)
        finally:
            server.terminate()
            server.wait()
    return 0


def measure(names: list[str], home: Path, root: Path, size: int) -> None:
    alone, alone_s = together(names[0], home, names[1:], root, discovery=False)
    rival = f"{alone / 1e6:.1f} MB, {alone_s:.0f} s each by itself"
    ours, seconds = together(names[0], home, names[1:], root)
    figure(
        f"WAN bytes of {NODES} nodes starting together, to one copy ({size / 1e6:.1f} MB)",
        f"{ours / 1e6:.1f} MB ({ours / size:.3f} copies), {seconds:.0f} s",
        rival,
        ours / alone,
        "≤ 1.05 copies",
        ours <= 1.05 * size,
    )
    ours, seconds = together(names[0], home, names[1:], root, bad=("corrupting", "silent"))
    figure(
        "the same with a corrupting and a silent peer among them",
        f"{ours / 1e6:.1f} MB ({ours / size:.3f} copies), {seconds:.0f} s",
        rival,
        ours / alone,
        "≤ 1.3 copies, ≤ 10 s slower",
        ours <= 1.3 * size and seconds <= alone_s + 10,
    )


if __name__ == "__main__":
    sys.exit(main())
