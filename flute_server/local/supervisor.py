"""Keeps the parts running: starts them, watches them, starts again what died, and stops all in order."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from .errors import LocalError
from .log import Log, Reader
from .process import Launch, adopt_orphans, has_ended, signal_group, spawn

QUICK = 10.0  # a part that lived shorter than this did not start well
TOO_OFTEN = 3
LONGEST_DELAY = 30.0
HURRY = 2.0  # what is left of the grace after a second Ctrl-C
_POLL = 0.05


class Stopped(Exception):
    """Somebody asked us to stop."""


@dataclass(frozen=True)
class Part:
    """One of the programs that make up Flute."""

    name: str
    prepare: Callable[[], Launch]  # called before each start
    grace: float  # seconds it has to end by itself
    started: Callable[[], Awaitable[None]] | None = None  # awaited after each start
    once: bool = False  # it is meant to come to an end


@dataclass
class _Running:
    part: Part
    process: subprocess.Popen[bytes]
    launch: Launch
    reader: Reader
    since: float = field(default_factory=time.monotonic)


class Supervisor:
    """Runs in one thread with one event loop, so that starting a process can never meet a held lock."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._running: dict[str, _Running] = {}
        self._quick_deaths: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked = 0
        self._first_ask = asyncio.Event()
        self._starting = True  # until_asked ends it
        self._stopping = False

    def watch(self) -> None:
        """Listen to the signals of our children and of whoever wants us to stop."""
        adopt_orphans()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._look)
        wanted = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup wants us to outlive the terminal
            wanted.append(signal.SIGHUP)
        for number in wanted:
            loop.add_signal_handler(number, self._ask)

    def start(self, part: Part) -> int:
        """Start a part and keep it running from now on. Returns its process id."""
        running = self._spawn(part, part.prepare())
        if part.started:
            self._background(part.started())
        return running.process.pid

    async def run(self, name: str, launch: Launch) -> None:
        """Run a program to its end. Raises LocalError when it fails."""
        running = self._spawn(Part(name, lambda: launch, grace=5.0, once=True), launch)
        await self.until(lambda: has_ended(running.process), f"{name} does not come to an end", 600)
        running.reader.drain()
        self._running.pop(name, None)
        if running.process.returncode:
            raise LocalError(self._story(name, f"{name} failed"))

    async def until(
        self, condition: Callable[[], bool | Awaitable[bool]], otherwise: str, seconds: float
    ) -> None:
        """Poll until the condition holds. Raises Stopped, or LocalError when it is hopeless or late."""
        deadline = time.monotonic() + seconds
        while True:
            if self._asked:
                raise Stopped
            result = condition()
            if await result if isinstance(result, Awaitable) else result:
                return
            for name, deaths in self._quick_deaths.items():
                if deaths >= TOO_OFTEN:
                    raise LocalError(self._story(name, f"{name} ended {deaths} times right after its start"))
            if time.monotonic() > deadline:
                raise LocalError(
                    f"{otherwise} ({seconds:.0f} s). The lines above may say why; see `flute doctor`."
                )
            await asyncio.sleep(_POLL)

    def pid(self, name: str) -> int:
        """The process id of a running part; 0 while it is not running."""
        running = self._running.get(name)
        return running.process.pid if running and running.process.returncode is None else 0

    async def until_asked(self) -> None:
        """Supervise until somebody asks us to stop."""
        self._starting = False
        await self._first_ask.wait()

    async def stop(self, order: Iterable[str]) -> None:
        """End all parts, one after the other; those not named come first."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        order = list(order)
        for name in [*(set(self._running) - set(order)), *order]:
            running = self._running.get(name)
            if running:
                await self._end(running)

    async def _end(self, running: _Running) -> None:
        name, process, begin = running.part.name, running.process, time.monotonic()
        if not has_ended(process):
            process.send_signal(running.launch.stop_signal)
        while not has_ended(process) and time.monotonic() - begin < self._patience(running.part):
            await asyncio.sleep(_POLL / 2)
        if not has_ended(process):
            self._log.say(f"{name} did not end within {self._patience(running.part):.0f} s: killed")
            signal_group(process.pid, signal.SIGKILL)
            process.wait()
        running.reader.drain()
        running.reader.close()
        self._running.pop(name, None)

    def _patience(self, part: Part) -> float:
        return min(part.grace, HURRY) if self._asked > 1 else part.grace

    def _spawn(self, part: Part, launch: Launch) -> _Running:
        self._log.forget(part.name)
        ours, theirs = os.pipe()
        try:
            process = spawn(launch, theirs)
        except OSError as error:
            os.close(ours)
            raise LocalError(f"{part.name} cannot be started ({launch.argv[0]}): {error}.") from error
        finally:
            os.close(theirs)
        reader = Reader(ours, lambda line: self._log.line(part.name, line))
        running = _Running(part, process, launch, reader)
        self._running[part.name] = running
        return running

    def _ask(self) -> None:
        self._asked += 1
        self._first_ask.set()
        self._log.say("stopping at once" if self._asked > 1 else "stopping; ask once more to stop at once")

    def _look(self) -> None:
        """A child ended. Which one, and was it meant to?"""
        for running in list(self._running.values()):
            if running.process.returncode is None and has_ended(running.process):
                running.reader.drain()
                self._on_end(running)
        self._reap_orphans()

    def _reap_orphans(self) -> None:
        ours = {running.process.pid for running in self._running.values()}
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None or ended.si_pid in ours:
                return
            os.waitpid(ended.si_pid, os.WNOHANG)

    def _on_end(self, running: _Running) -> None:
        part = running.part
        if self._stopping or self._running.get(part.name) is not running or part.once:
            return
        lived = time.monotonic() - running.since
        deaths = self._quick_deaths.get(part.name, 0) + 1 if lived < QUICK else 0
        self._quick_deaths[part.name] = deaths
        delay = min(0.5 * 2 ** max(deaths - 1, 0), LONGEST_DELAY)
        why = how_it_ended(running.process.returncode)
        if deaths >= TOO_OFTEN and not self._starting:  # while starting, `until` tells it and gives up
            self._log.say(self._story(part.name, f"{part.name} ended {deaths} times right after its start"))
        self._log.say(f"{part.name} ended ({why}); starting it again in {delay:.1f} s")
        self._background(self._again(part, delay))

    async def _again(self, part: Part, delay: float) -> None:
        await asyncio.sleep(delay)
        try:
            pid = self.start(part)
            self._log.say(f"{part.name} started again (process {pid})")
        except LocalError as error:
            self._log.say(f"{part.name} cannot be started: {error}")
            self._background(self._again(part, min(max(delay, 0.5) * 2, LONGEST_DELAY)))

    def _background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _story(self, name: str, what: str) -> str:
        lines = self._log.last_lines(name)
        if not lines:
            return f"{what} and said nothing. `flute doctor` may know why."
        said = "\n".join(f"    {line}" for line in lines)
        return f"{what}. Its last lines:\n{said}\nIf they do not say what to do, `flute doctor` may."


def how_it_ended(code: int | None) -> str:
    """An exit code in words."""
    if code is not None and code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return f"exit code {code}"
