"""PostgreSQL and Valkey for the length of a `with` block: for tests, benchmarks and scripts.

    with embedded(folder) as services:
        ...  # services.database_url, services.redis_url

The data stays in the folder, and a later block resumes it. `temporary()` makes a folder and removes it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import LocalError
from .postgres import Postgres
from .process import end, has_ended, spawn, wait_until
from .valkey import Valkey

START_SECONDS = 60.0  # a crash recovery or a long append-only file takes its time
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Services:
    """Where the two are."""

    database_url: str
    redis_url: str


@contextmanager
def postgres(data_dir: Path) -> Iterator[str]:
    """Run PostgreSQL; gives its URL."""
    with _running(Postgres(data_dir), data_dir / "postgres.log") as url:
        yield url


@contextmanager
def valkey(data_dir: Path) -> Iterator[str]:
    """Run Valkey; gives its URL."""
    with _running(Valkey(data_dir), data_dir / "valkey.log") as url:
        yield url


@contextmanager
def embedded(data_dir: Path) -> Iterator[Services]:
    """Run both; gives their URLs."""
    with valkey(data_dir) as redis_url, postgres(data_dir) as database_url:
        yield Services(database_url, redis_url)


@contextmanager
def temporary() -> Iterator[Services]:
    """Run both in a folder of their own, which is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="flute-"))
    try:
        with embedded(folder) as services:
            yield services
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(part: Postgres | Valkey, log: Path) -> Iterator[str]:
    launch = part.prepare()
    with log.open("ab") as output:
        offset = output.tell()
        process = spawn(launch, output)
    try:
        ready = wait_until(lambda: has_ended(process) or part.is_ready(process.pid), START_SECONDS)
        if not ready or process.returncode is not None:
            last = log.read_bytes()[offset:].decode(errors="replace").strip().splitlines()[-8:]
            raise LocalError(f"{part.name} did not start. Its last lines ({log}):\n" + "\n".join(last))
        yield part.url
    finally:
        end(process, launch.stop_signal, STOP_SECONDS)
