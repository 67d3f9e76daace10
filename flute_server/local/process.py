"""Starting, watching and ending our own processes, and no others."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from .account import Account

_LINUX = sys.platform == "linux"
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Launch:
    """How to start one process that must not outlive us."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    account: Account | None = None
    folder: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGTERM  # what the kernel sends it when we died


def spawn(launch: Launch, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """Start it, in a process group of its own so that Ctrl-C reaches only us. Call it from the main thread.

    The kernel ends it when we die, however we die; Linux counts the end of the calling thread as that.
    """
    parent = os.getpid()

    def before_exec() -> None:
        if not _LINUX:
            return
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(launch.orphan_signal), 0, 0, 0)
        if os.getppid() != parent:  # we died before the kernel knew
            os.kill(os.getpid(), signal.SIGKILL)

    account = launch.account
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork beside threads. The supervisor has none, and before_exec takes no lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        return subprocess.Popen(  # noqa: S603 - the arguments are ours
            launch.argv,
            env=dict(launch.env),
            cwd=launch.folder,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=before_exec,  # noqa: PLW1509 - see above
        )


def adopt_orphans() -> None:
    """Become the parent of our children's orphans, so that they can be seen and ended (Linux)."""
    if _LINUX:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """True once it ended. What is left of its group is killed first, while its id cannot be another's."""
    if process.returncode is not None:
        return True
    if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        return False
    signal_group(process.pid, signal.SIGKILL)
    process.wait()
    return True


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the processes of the group that one of our children leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def end(process: subprocess.Popen[bytes], stop_signal: signal.Signals, grace: float) -> bool:
    """Ask it to end, wait, then kill it. True if it ended by itself."""
    if not has_ended(process):
        process.send_signal(stop_signal)
    if wait_until(lambda: has_ended(process), grace):
        return True
    signal_group(process.pid, signal.SIGKILL)
    process.wait()
    return False


def wait_until(condition: Callable[[], bool], seconds: float, every: float = 0.02) -> bool:
    """Poll a condition until it holds or the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def birth(pid: int) -> int | None:
    """When a process started, in ticks since boot: with its id, this names it for good. None: no such one."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    words = text.rpartition(")")[2].split()  # the name before it may hold anything
    return None if words[0] in {"Z", "X"} else int(words[19])


def living_in(folder: Path) -> list[int]:
    """The processes whose working directory is this folder, as those of a database are."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(entry / "cwd") == str(folder) and birth(int(entry.name)) is not None:
                found.append(int(entry.name))
    return found


def end_leftovers(folder: Path, name: str, stop_signal: signal.Signals, grace: float = 10.0) -> None:
    """End what an earlier start left running in its data folder: first wait, then ask, then kill."""

    def left() -> list[int]:
        return [pid for pid in living_in(folder) if _name(pid) == name]

    for number, patience in ((None, 1.0), (stop_signal, grace), (signal.SIGKILL, 5.0)):
        if number is not None:
            for pid in left():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        if wait_until(lambda: not left(), patience if left() else 0):
            return


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def marked(name: str, value: str) -> list[int]:
    """The processes that carry this environment variable: a start and all its descendants, but not us."""
    wanted = f"{name}={value}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0") and birth(int(entry.name)) is not None:
                found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid()]


def end_marked(name: str, value: str, number: signal.Signals, grace: float = 15.0) -> int:
    """End what carries the mark: with the given signal, then by force. Returns how many there were."""
    left = marked(name, value)
    for attempt, patience in ((number, grace), (signal.SIGKILL, 5.0)):
        for pid in marked(name, value):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, attempt)
        if wait_until(lambda: not marked(name, value), patience):
            break
    return len(left)
