"""The merged log of all parts: time, name, line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

_WIDTH = 8
_COLOURS = {
    "flute": 37,
    "server": 36,
    "web": 32,
    "worker": 33,
    "sandbox": 35,
    "migrate": 34,
    "demo": 35,
    "valkey": 90,
    "postgres": 90,
}
_LONGEST_LINE = 16 * 1024
# What the databases say at every start and stop, and what Valkey would like a large machine to have.
_CHATTER = re.compile(
    r"LOG:  (starting PostgreSQL|listening on|database system (was|is) (shut down|ready)|"
    r"received \w+ shutdown|aborting any active|background worker|shutting down)|"
    r"FATAL:  terminating connection due to administrator command|"
    r".*WARNING Memory overcommit must be enabled|.*scheduling shutdown|.*Valkey is now ready to exit"
)


class Log:
    """Writes whole lines; remembers each part's last ones for when it fails."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._colour = out.isatty() and "NO_COLOR" not in os.environ
        self._tails: dict[str, deque[str]] = {}

    def say(self, text: str) -> None:
        """A line of the supervisor's own."""
        for line in text.splitlines():
            self._write("flute", line)

    def line(self, part: str, raw: bytes) -> None:
        """A line of a part."""
        text = raw[:_LONGEST_LINE].decode("utf-8", errors="replace").rstrip()
        # A mail's words may stand in a log line; they must not steer the terminal.
        text = "".join(letter if letter.isprintable() or letter == "\t" else "?" for letter in text)
        if not text:
            return
        self._tails.setdefault(part, deque(maxlen=12)).append(text)
        if not _CHATTER.match(text):
            self._write(part, text)

    def plain(self, text: str) -> None:
        """Text as it is."""
        with contextlib.suppress(OSError, ValueError):
            self._out.write(text + "\n")
            self._out.flush()

    def last_lines(self, part: str) -> list[str]:
        """What a part said last."""
        return list(self._tails.get(part, ()))

    def forget(self, part: str) -> None:
        """It starts anew: what it said before does not explain what comes."""
        self._tails.pop(part, None)

    def _write(self, part: str, text: str) -> None:
        name = f"{part:<{_WIDTH}}"
        if self._colour:
            number = _COLOURS.get(part.partition("-")[0], 37)
            name = f"\x1b[{number}m{name}\x1b[0m"
        self.plain(f"{time.strftime('%H:%M:%S')} {name} {text}")


class Reader:
    """Reads a part's output line by line from a pipe, without ever blocking the loop."""

    def __init__(self, pipe: int, line: Callable[[bytes], None]) -> None:
        self._pipe = pipe
        self._line = line
        self._rest = b""
        os.set_blocking(pipe, False)
        asyncio.get_running_loop().add_reader(pipe, self._read)

    def drain(self) -> None:
        """Take what is in the pipe now: the last words of a part that just ended."""
        while self._pipe >= 0 and self._read():
            pass

    def close(self) -> None:
        """Stop reading."""
        if self._pipe >= 0:
            asyncio.get_running_loop().remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = -1

    def _read(self) -> bool:
        try:
            data = os.read(self._pipe, 65536)
        except BlockingIOError:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)
        if not data or len(self._rest) > _LONGEST_LINE:
            self._line(self._rest)
            self._rest = b""
        if not data:
            self.close()
        return bool(data)
