"""Starting a sandbox from Python, and talking to its control port."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
# Without the environment's proxies: the control port is always near.
_OPENER = build_opener(ProxyHandler({}))


class SandboxError(Exception):
    """The sandbox did not start, or its control port said no."""


class Sandbox:
    """A sandbox by its control address; with a process, one that we started and shall stop."""

    def __init__(self, control: str, process: subprocess.Popen[bytes] | None = None) -> None:
        self.control = control
        self._process = process
        self.providers: dict[str, dict[str, Any]] = self._call("GET", "/")["providers"]

    @property
    def pid(self) -> int | None:
        """The process that we started, to be stopped or killed in drills."""
        return self._process.pid if self._process else None

    def base_url(self, provider: str) -> str:
        """http://host:port of an HTTP provider, smtp://host:port of the SMTP server."""
        return cast(str, self.providers[provider]["base_url"])

    def address(self, provider: str) -> tuple[str, int]:
        """Host and port."""
        return self.providers[provider]["host"], self.providers[provider]["port"]

    def credentials(self, provider: str) -> dict[str, str]:
        """What this provider accepts, e.g. {"api_key": ...}; without the address."""
        return dict(self.providers[provider]["credentials"])

    def set_mode(self, provider: str, mode: str, **settings: object) -> dict[str, Any]:
        """In force when this returns. Settings: seconds, retry_after, share, domains, status, text, class,
        duplicate_events, shuffle_events."""
        body = json.dumps({"mode": mode, **settings}).encode()
        return cast("dict[str, Any]", self._call("PUT", f"/providers/{provider}/mode", body))

    def mode(self, provider: str) -> dict[str, Any]:
        return cast("dict[str, Any]", self._call("GET", f"/providers/{provider}/mode"))

    def inbox(self, **filters: object) -> list[dict[str, Any]]:
        """The accepted mails, oldest first. Filters: provider, to, limit, offset, content=1."""
        return cast("list[dict[str, Any]]", self._call("GET", "/inbox", query=filters))

    def count(self, **filters: object) -> int:
        """How many mails were accepted. Filters: provider, to."""
        return cast(int, self._call("GET", "/inbox/count", query=filters)["count"])

    def wait_for(self, count: int, timeout_s: float = 60.0, **filters: object) -> list[dict[str, Any]]:
        """The inbox, as soon as it holds `count` mails. Raises SandboxError when it does not in time."""
        deadline = time.monotonic() + timeout_s
        while (found := self.count(**filters)) < count:
            if time.monotonic() > deadline:
                raise SandboxError(f"{found} of {count} mails after {timeout_s:g} s")
            time.sleep(0.01)
        return self.inbox(**filters)

    def calls(self, provider: str) -> dict[str, Any]:
        """{"calls", "accepted", "answers": {answer: how often}} of one provider."""
        return cast("dict[str, Any]", self._call("GET", f"/providers/{provider}/calls"))

    def set_webhook(self, provider: str, url: str, **settings: object) -> dict[str, Any]:
        """Post this HTTP provider's events there; answers what its console would show.

        Settings: username, password, headers (Postmark, SparkPost), signing (SendGrid). The answer has the
        public_key (SendGrid) or signing_key (Mailgun). SparkPost posts a test at once, to be answered 200.
        """
        body = json.dumps({"url": url, **settings}).encode()
        return cast("dict[str, Any]", self._call("PUT", f"/providers/{provider}/webhook", body))

    def webhook(self, provider: str) -> dict[str, Any]:
        """The set-up and the keys, also before there is a URL (then None)."""
        return cast("dict[str, Any]", self._call("GET", f"/providers/{provider}/webhook"))

    def clear_webhook(self, provider: str) -> None:
        """No more events; those on their way are called back."""
        self._call("DELETE", f"/providers/{provider}/webhook")

    def set_bounces(self, host: str, port: int) -> None:
        """Deliver the bounces of mails sent over SMTP to that mail server, to their envelope senders."""
        self._call("PUT", "/providers/smtp/bounces", json.dumps({"host": host, "port": port}).encode())

    def clear_bounces(self) -> None:
        self._call("DELETE", "/providers/smtp/bounces")

    def events(self, **filters: object) -> list[dict[str, Any]]:
        """Events sent or on their way. Filters: provider, kind, to, message_id, flute_email, state, limit,
        offset. States: pending, taken, given up, canceled."""
        return cast("list[dict[str, Any]]", self._call("GET", "/events", query=filters))

    def event_count(self, **filters: object) -> dict[str, Any]:
        """{"count", "kinds": {kind: how many}, "states": {state: how many}}; filters as for events."""
        return cast("dict[str, Any]", self._call("GET", "/events/count", query=filters))

    def wait_for_events(self, count: int, timeout_s: float = 60.0, **filters: object) -> list[dict[str, Any]]:
        """The events that were taken, as soon as there are so many. Raises SandboxError."""
        deadline = time.monotonic() + timeout_s
        wanted = {"state": "taken", **filters}
        while (found := self.event_count(**wanted)["count"]) < count:
            if time.monotonic() > deadline:
                raise SandboxError(f"{found} of {count} events after {timeout_s:g} s")
            time.sleep(0.01)
        return self.events(**wanted)

    def send_event(self, provider: str, kind: str, **which: object) -> dict[str, Any]:
        """Let something happen to a mail in the inbox. Which: message_id or flute_email; recipient, if it has
        several; text, class and at (unix seconds) where the usual ones are not wanted."""
        body = json.dumps({"kind": kind, **which}).encode()
        return cast("dict[str, Any]", self._call("POST", f"/providers/{provider}/events", body))

    def clear_events(self) -> None:
        """Forget what was sent, call back what is on its way."""
        self._call("DELETE", "/events")

    def clear_inbox(self) -> None:
        self._call("DELETE", "/inbox")

    def reset(self) -> None:
        """Like new: all providers ok, no webhooks, inbox and events empty, counters at nought."""
        self._call("DELETE", "/modes")
        for provider in self.providers:
            if provider == "smtp":
                self.clear_bounces()
            else:
                self.clear_webhook(provider)
            self._call("DELETE", f"/providers/{provider}/calls")
        self.clear_events()
        self.clear_inbox()

    def close(self) -> None:
        """Stop the process that we started; closing its standard input is the sign."""
        if self._process is None:
            return
        process, self._process = self._process, None
        with process:
            if process.stdin:
                process.stdin.close()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(
        self, method: str, path: str, body: bytes | None = None, query: Mapping[str, object] | None = None
    ) -> Any:  # noqa: ANN401 - JSON
        url = self.control + path + (f"?{urlencode(query)}" if query else "")
        request = Request(url, data=body, method=method)  # noqa: S310 - our own address
        try:
            with _OPENER.open(request, timeout=60) as response:
                return json.load(response)
        except HTTPError as error:
            with error:
                raise SandboxError(f"{method} {path}: {error.code} {error.read().decode()}") from error


def start(
    host: str = "127.0.0.1",
    ports: Mapping[str, int] | None = None,
    certificate: tuple[str, str] | None = None,
) -> Sandbox:
    """Start a sandbox in a process of its own; it is ready when this returns, and ends with this process.

    ports: fixed ports by name (control, sendgrid, postmark, sparkpost, mailgun, smtp); 0 or none picks
    a free one. certificate: PEM files of a certificate and its key, for STARTTLS at the SMTP server.
    Raises SandboxError, naming the port if one is taken.
    """
    settings = json.dumps({"host": host, "ports": dict(ports or {}), "certificate": certificate})
    root = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "flute_server.sandbox.run", settings],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": search},
    )
    return Sandbox(_handshake(process), process)


def _handshake(process: subprocess.Popen[bytes]) -> str:
    """The control address from the first line that the process writes."""
    assert process.stdout is not None  # noqa: S101 - asked for above
    overdue = threading.Timer(START_TIMEOUT_S, process.kill)
    overdue.start()
    try:
        line = process.stdout.readline()
    finally:
        overdue.cancel()
    answer = json.loads(line) if line else {"error": "it ended without a word"}
    if "control" not in answer:
        with process:
            process.kill()
        raise SandboxError(f"the sandbox did not start: {answer['error']}")
    return cast(str, answer["control"])
