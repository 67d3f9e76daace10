"""The supervisor with small parts of its own."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from flute_server.local.errors import LocalError
from flute_server.local.log import Log
from flute_server.local.process import Launch, birth
from flute_server.local.supervisor import Part, Stopped, Supervisor

SLEEPER = "import signal; print('ready', flush=True); signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
)
NOTES_ITS_END = """
import signal, sys
def end(*_):
    open(sys.argv[1], "a").write(sys.argv[2] + "\\n")
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
signal.pause()
"""


def part(name: str, code: str, *arguments: str, grace: float = 30.0) -> Part:
    launch = Launch((sys.executable, "-c", code, *arguments), dict(os.environ))
    return Part(name, lambda: launch, grace)


class Bench:
    """A supervisor with its log."""

    def __init__(self) -> None:
        self.out = io.StringIO()
        self.log = Log(self.out)
        self.supervisor = Supervisor(self.log)

    async def says(self, name: str, word: str) -> None:
        await self.supervisor.until(lambda: word in self.log.last_lines(name), f"{name} says {word}", 60)


def supervised(work: Callable[[Bench], Awaitable[None]]) -> str:
    """Run a test in a loop of its own; whatever happens, its parts are stopped. Returns the log."""

    async def run() -> str:
        bench = Bench()
        bench.supervisor.watch()
        try:
            await work(bench)
        finally:
            await bench.supervisor.stop([])
        return bench.out.getvalue()

    return asyncio.run(run())


def test_starts_again_what_died_and_says_so():
    async def work(bench: Bench) -> None:
        first = bench.supervisor.start(part("sleeper", SLEEPER))
        await bench.says("sleeper", "ready")
        os.kill(first, signal.SIGKILL)
        await bench.supervisor.until(
            lambda: bench.supervisor.pid("sleeper") not in {0, first}, "it starts again", 60
        )

    log = supervised(work)
    assert "sleeper ended (killed by SIGKILL); starting it again in 0.5 s" in log
    assert "sleeper started again" in log


def test_gives_up_on_a_part_that_cannot_start_and_shows_its_last_words():
    async def work(bench: Bench) -> None:
        bench.supervisor.start(part("broken", "import sys; print('no such thing'); sys.exit(3)"))
        await bench.supervisor.until(lambda: False, "never", 120)

    with pytest.raises(LocalError, match=r"(?s)broken ended 3 times right after its start.*no such thing"):
        supervised(work)


def test_a_program_that_fails_is_told_with_its_last_words():
    async def work(bench: Bench) -> None:
        launch = part("migrate", "import sys; sys.exit('the database says no')").prepare()
        await bench.supervisor.run("migrate", launch)

    with pytest.raises(LocalError, match=r"(?s)migrate failed.*the database says no"):
        supervised(work)


def test_a_program_that_cannot_be_found_is_told():
    async def work(bench: Bench) -> None:
        launch = Launch(("/nonexistent/program",), {})
        bench.supervisor.start(Part("ghost", lambda: launch, 1.0))

    with pytest.raises(LocalError, match="ghost cannot be started"):
        supervised(work)


def test_stops_in_the_given_order(tmp_path: Path):
    notes = tmp_path / "notes"

    async def work(bench: Bench) -> None:
        for name in ("database", "server", "web"):
            bench.supervisor.start(part(name, NOTES_ITS_END, str(notes), name))
        for name in ("database", "server", "web"):
            await bench.says(name, "ready")
        await bench.supervisor.stop(["web", "server", "database"])

    supervised(work)
    assert notes.read_text().split() == ["web", "server", "database"]


def test_kills_what_does_not_end_in_time():
    pids = []

    async def work(bench: Bench) -> None:
        pids.append(bench.supervisor.start(part("stubborn", STUBBORN, grace=0.3)))
        await bench.says("stubborn", "ready")

    assert "stubborn did not end within 0 s: killed" in supervised(work)
    assert birth(pids[0]) is None


def test_kills_what_a_dead_part_leaves_in_its_group():
    code = (
        "import subprocess, sys, os, signal\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}], stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "signal.pause()"
    )

    async def work(bench: Bench) -> None:
        pid = bench.supervisor.start(part("parent", code))
        await bench.supervisor.until(lambda: bool(bench.log.last_lines("parent")), "it says its child", 60)
        child = int(bench.log.last_lines("parent")[0])
        os.kill(pid, signal.SIGKILL)
        await bench.supervisor.until(lambda: birth(child) is None, "the child ends", 60)

    supervised(work)


def test_a_signal_means_stop():
    async def work(bench: Bench) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped):
            await bench.supervisor.until(lambda: False, "never", 60)
        await bench.supervisor.until_asked()

    assert "stopping; ask once more to stop at once" in supervised(work)
