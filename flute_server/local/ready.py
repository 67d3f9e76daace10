"""DIR/ready.json: where everything is, while all of it is ready. DIR/lock: one start at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import LocalError
from .files import read_json, write_json

FILE = "ready.json"


def write_ready(data_dir: Path, content: dict[str, Any]) -> None:
    """Say that all is ready. The file is complete as soon as it is there."""
    write_json(data_dir / FILE, content)


def read_ready(data_dir: Path) -> dict[str, Any]:
    """What a running `flute up` wrote; empty when none is ready."""
    return read_json(data_dir / FILE)


def remove_ready(data_dir: Path) -> None:
    """Say that it no longer is."""
    (data_dir / FILE).unlink(missing_ok=True)


@contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Hold the data folder. The kernel lets go of it when we die. Raises LocalError when it is held."""
    with (data_dir / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise LocalError(
                f"Flute already runs on {data_dir} (process {file.read().strip() or 'unknown'}). "
                "Stop it first, or choose another folder with --data-dir."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
