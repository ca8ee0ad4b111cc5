"""Models and pictures that kill, hang and eat: what dies, who is blamed, and that the next request is answered."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge_node.recognition.picture import Picture
from edge_node.worker.client import WorkerLimits, WorkerModels, restart_pause_s
from edge_node.worker.errors import ModelDiedError, WorkerError
from protocols.imaging import ImageError, InputSpec
from tests.edge_node.support import faulty_worker
from tests.edge_node.support.commands import ROOT, environment
from tests.edge_node.support.shelf import Shelf, faulty


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int, within_s: float = 20) -> bool:
    end = time.monotonic() + within_s
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_running(pid)


def announced(shelf: Shelf, within_s: float = 30) -> int:
    """The process id of the worker whose model has been started."""
    path, end = shelf.folder / faulty_worker.ANNOUNCED, time.monotonic() + within_s
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return int(path.read_text())


@pytest.mark.parametrize(
    ("fault", "code", "problem"),
    [
        ("segfault", "worker.model_crashed", "SIGSEGV"),
        ("abort", "worker.model_crashed", "SIGABRT"),
        ("leave", "worker.model_crashed", "exit code 3"),
        ("oom", "worker.model_crashed", "SIGKILL"),
        ("raise", "worker.model_crashed", "TypeError"),
        ("nonsense", "worker.model_crashed", "malformed message"),
        ("eat", "worker.model_memory", "memory"),
        ("hang", "worker.model_timed_out", "2 s"),
        ("spin", "worker.model_timed_out", "2 s"),
    ],
)
def test_the_release_that_ran_is_named_and_others_go_on(shelf: Shelf, fault: str, code: str, problem: str) -> None:
    good, bad, photo = shelf.release("good"), shelf.release(fault), shelf.photo()
    with faulty(shelf, timeout_s=2.0 if problem == "2 s" else 60.0, memory_mb=600) as models:
        with pytest.raises(ModelDiedError) as caught:
            models.recognise(Picture(photo), [good, bad, good])
        assert (caught.value.code, caught.value.manifest.model, caught.value.problem) == (code, fault, problem)
        assert fault in caught.value.message("zh") and f"unquarantine {fault}@1" in caught.value.remedy()
        assert wait_until_gone(announced(shelf))
        assert models.recognise(Picture(photo), [good])[0].answer.outcome == "recognised"


def test_a_worker_that_is_killed_in_the_middle_is_replaced(shelf: Shelf) -> None:
    def kill() -> None:
        os.kill(announced(shelf), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    with faulty(shelf) as models:
        killer.start()
        with pytest.raises(ModelDiedError) as caught:
            models.recognise(Picture(shelf.photo()), [shelf.release("hang")])
        killer.join()
        assert caught.value.problem == "SIGKILL"
        assert models.recognise(Picture(shelf.photo()), [shelf.release()])


def test_a_worker_that_was_killed_while_idle_is_replaced_and_nobody_blamed(shelf: Shelf) -> None:
    with faulty(shelf) as models:
        for _ in range(3):
            assert models.recognise(Picture(shelf.photo()), [shelf.release()])
            assert models.pid is not None
            os.kill(models.pid, signal.SIGKILL)


def test_a_stopped_worker_times_out(shelf: Shelf) -> None:
    with faulty(shelf, timeout_s=1.0) as models:
        models.recognise(Picture(shelf.photo()), [shelf.release()])
        assert models.pid is not None
        os.kill(models.pid, signal.SIGSTOP)
        with pytest.raises(ImageError):  # nothing had run yet
            models.recognise(Picture(shelf.photo()), [shelf.release()])
        assert models.recognise(Picture(shelf.photo()), [shelf.release()])


def test_signals_that_ask_to_stop_do_not_make_a_model_look_guilty(shelf: Shelf) -> None:
    def ask() -> None:
        pid = announced(shelf)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)

    asker = threading.Thread(target=ask)
    with faulty(shelf) as models:
        asker.start()
        assert models.recognise(Picture(shelf.photo()), [shelf.release("slow")])
        asker.join()


@pytest.mark.parametrize("name", ["deadly.png", "endless.png"])
def test_a_picture_that_kills_the_decoder_is_refused_and_no_model_blamed(shelf: Shelf, name: str) -> None:
    other = shelf.release("other", input=InputSpec(64, (0.0, 1.0)))
    with faulty(shelf, timeout_s=2.0) as models:
        with pytest.raises(ImageError) as caught:
            models.recognise(Picture(shelf.photo(name)), [shelf.release(), other])
        assert caught.value.code == "image.decoder_died"
        assert models.recognise(Picture(shelf.photo()), [shelf.release(), other])


def test_a_picture_that_fails_only_in_a_damaged_process_is_not_refused(shelf: Shelf) -> None:
    with faulty(shelf) as models:
        assert models.recognise(Picture(shelf.photo("once.png")), [shelf.release()])


@pytest.mark.parametrize("fault", ["segfault", "hang", "eat"])
def test_a_release_that_dies_of_its_own_golden_pictures_is_named(shelf: Shelf, fault: str) -> None:
    release = shelf.release(fault)
    with (
        faulty(shelf, timeout_s=2.0 if fault == "hang" else 60.0, memory_mb=600) as models,
        pytest.raises(ModelDiedError) as caught,
    ):
        models.golden_scores(release, shelf.path(release.golden.sha256))
    assert caught.value.manifest == release


def test_after_twenty_crashes_in_a_row_the_loop_runs_freely_and_the_next_answer_comes(shelf: Shelf) -> None:
    bad, good, photo = shelf.release("leave"), shelf.release(), shelf.photo()
    lags: list[float] = []

    async def tick() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.01)
            lags.append(time.perf_counter() - before - 0.01)

    async def work(models: WorkerModels) -> list[str]:
        ticking = asyncio.create_task(tick())
        codes = []
        for _ in range(20):
            try:
                await asyncio.to_thread(models.recognise, Picture(photo), [bad])
            except ModelDiedError as error:
                codes.append(error.code)
        answered = await asyncio.to_thread(models.recognise, Picture(photo), [good])
        ticking.cancel()
        return [*codes, answered[0].answer.outcome]

    with faulty(shelf) as models:
        assert asyncio.run(work(models)) == ["worker.model_crashed"] * 20 + ["recognised"]
    assert sorted(lags)[len(lags) * 9 // 10] < 0.5 and len(lags) > 20
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert not [pid for pid in children if "faulty_worker" in Path(f"/proc/{pid}/cmdline").read_text()]


def test_restarts_wait_longer_and_longer_and_never_long() -> None:
    pauses = [restart_pause_s(deaths) for deaths in range(40)]
    assert pauses[:6] == pytest.approx([0, 0, 0, 0.1, 0.2, 0.4])
    assert pauses == sorted(pauses) and pauses[-1] == 2.0


def test_concurrent_requests_are_all_answered_and_one_that_dies_disturbs_none(shelf: Shelf) -> None:
    releases = [shelf.release("leave" if n % 4 == 1 else f"good-{n}") for n in range(12)]
    photo = shelf.photo()

    def ask(release: object) -> str:
        try:
            return models.recognise(Picture(photo), [release])[0].manifest.model  # type: ignore[list-item]
        except ModelDiedError as error:
            return error.code

    with faulty(shelf) as models, ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, releases))
    assert answers == ["worker.model_crashed" if n % 4 == 1 else f"good-{n}" for n in range(12)]


def test_closing_ends_a_request_and_leaves_no_process(shelf: Shelf) -> None:
    failures: list[str] = []
    models = WorkerModels(shelf.path, WorkerLimits(), faulty_worker.COMMAND)

    def ask() -> None:
        try:
            models.recognise(Picture(shelf.photo()), [shelf.release("hang")])
        except WorkerError as error:
            failures.append(error.code)

    asking = threading.Thread(target=ask)
    asking.start()
    pid = announced(shelf)
    models.close()
    asking.join(10)
    assert failures == ["worker.closed"] and not is_running(pid)
    models.close()
    with pytest.raises(WorkerError):
        models.recognise(Picture(shelf.photo()), [shelf.release()])


def test_a_worker_that_was_only_warmed_up_is_closed_too(shelf: Shelf) -> None:
    models = WorkerModels(shelf.path, WorkerLimits())
    models.warm_up()
    pid = models.pid
    assert pid is not None
    models.close()
    assert not is_running(pid)


@pytest.mark.parametrize("fault", ["hang", "spin"])
def test_no_orphan_is_left_when_the_program_itself_is_killed(shelf: Shelf, fault: str) -> None:
    shelf.release(fault)
    script = (
        "import sys; from pathlib import Path\n"
        "from edge_node.recognition.picture import Picture\n"
        "from tests.edge_node.support.shelf import Shelf, faulty\n"
        "shelf = Shelf(Path(sys.argv[1]))\n"
        "with faulty(shelf) as models: models.recognise(Picture(shelf.photo()), [shelf.release(sys.argv[2])])\n"
    )
    program = subprocess.Popen([sys.executable, "-c", script, str(shelf.folder), fault], env=environment(), cwd=ROOT)
    pid = announced(shelf)
    program.kill()
    program.wait()
    assert wait_until_gone(pid)


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (("/nonexistent/python",), "No such file or directory"),
        ((sys.executable, "-c", "raise SystemExit(9)"), "exit code 9"),
        ((sys.executable, "-c", "print('hello, I am no worker at all')"), "malformed message"),
    ],
)
def test_a_worker_that_cannot_be_started_is_a_clear_error(shelf: Shelf, command: tuple[str, ...], problem: str) -> None:
    with faulty(shelf, command=command) as models, pytest.raises(WorkerError) as caught:
        models.recognise(Picture(shelf.photo()), [shelf.release()])
    assert (caught.value.code, caught.value.kind.exit_code) == ("worker.cannot_start", 6)
    assert problem in caught.value.message() or problem == "malformed message"
