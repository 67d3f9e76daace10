"""Small files in the data folder, written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from .account import Account
from .errors import LocalError

_SOCKET_PATH_LIMIT = 100  # of 107, the least that any system allows
_LONGEST_SOCKET = len("/.s.PGSQL.5432.lock")


def prepare_data_dir(folder: Path) -> Path:
    """Make the data folder if need be, closed to others. Returns it as an absolute path."""
    folder = folder.expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = folder.resolve()
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError("no write permission")
    except OSError as error:
        raise LocalError(
            f"The data folder {folder} cannot be used ({error}). "
            "Choose another with --data-dir or FLUTE_DATA_DIR."
        ) from error
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file of ours; empty if there is no such file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise LocalError(
            f"{path} cannot be read ({error}). Restore it from a backup or move it away."
        ) from error
    if not isinstance(value, dict):
        raise LocalError(f"{path} does not hold a JSON object. Restore it from a backup or move it away.")
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a file of ours in one step; only the owner may read it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def socket_folder(data_dir: Path, name: str, account: Account | None) -> Path:
    """A folder for sockets, open only to us and the databases' user; outside data_dir if that is too deep."""
    folder = data_dir / "run" / name
    if len(str(folder)) + _LONGEST_SOCKET > _SOCKET_PATH_LIMIT:
        mark = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        base = tempfile.gettempdir()
        base = base if len(base) < _SOCKET_PATH_LIMIT // 2 else "/tmp"  # noqa: S108 - its owner is checked below
        folder = Path(base) / f"flute-{os.geteuid()}-{mark}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    owners = {os.geteuid(), account.uid if account else os.geteuid()}
    if folder.is_symlink() or status.st_uid not in owners:
        raise LocalError(f"{folder} belongs to another user. Remove it, or choose another --data-dir.")
    folder.chmod(0o700)
    if account:
        account.own(folder)
    return folder
