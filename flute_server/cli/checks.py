"""What `flute doctor` looks at: each check says what it found and how to mend what is wrong."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psycopg
from flute.v1.account_service_pb2 import ListAccountsRequest
from flute.v1.alert_service_pb2 import ListAlertsRequest
from flute.v1.user_service_pb2 import GetSystemMailStatusRequest

from flute_server.checkup import installation
from flute_server.checkup.check import Check, Status
from flute_server.checkup.examine import in_database, in_redis
from flute_server.cli.common import printable
from flute_server.config import Config
from flute_server.local.client import Client, RpcFailed
from flute_server.local.ports import reachable, split_address
from flute_server.local.probe import serving


@dataclass(frozen=True)
class Finding:
    """One line of the report. A hint is no fault of the installation, but somebody should look at it."""

    what: str
    ok: bool
    text: str
    mend: str = ""
    hint: bool = False


@dataclass(frozen=True)
class Patient:
    """What is examined: the settings, and the data folder with what a running `flute up` says in it."""

    config: Config = field(repr=False)
    data_dir: Path
    ready: Mapping[str, Any] = field(repr=False)
    web: str = ""


def settings(patient: Patient) -> Iterator[Finding]:
    """The keys under which credentials are sealed, and the service token."""
    yield from _told(installation.secret_keys(patient.config))


def postgres(patient: Patient) -> Iterator[Finding]:
    """Reachable, well, at the newest schema, and with nothing in it that waits for too long."""
    yield from _told(in_database(patient.config))


def redis(patient: Patient) -> Iterator[Finding]:
    """Reachable, keeping what it was given, and with workers that wait there."""
    yield from _told(in_redis(patient.config))


def _told(checks: Iterable[Check]) -> Iterator[Finding]:
    """A warning is a hint: it works, but somebody should look at it."""
    for check in checks:
        hint = check.status is Status.WARNING
        yield Finding(check.title, check.status is not Status.FAILING, check.text, check.fix, hint)


def grpc_server(patient: Patient) -> Iterator[Finding]:
    """Serving, and knowing our token."""
    address = patient.config.grpc_address
    if not serving(address, timeout=3.0):
        yield Finding("gRPC", False, f"no answer at {address}", "start it: flute server (or flute up)")
        return
    try:
        with _client(patient) as client:
            client.call(client.accounts.ListAccounts, ListAccountsRequest(page_size=1), timeout=5)
    except RpcFailed as error:
        foreign = error.code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
        mend = "give both the same FLUTE_SERVICE_TOKEN" if foreign else "read its log; mend the others first"
        yield Finding("gRPC", False, f"{address} serves, but: {error}", mend)
        return
    yield Finding("gRPC", True, f"serves at {address}")


def alerts(patient: Patient) -> Iterator[Finding]:
    """What waits for a person, by account."""
    try:
        with _client(patient) as client:
            for account in client.pages(client.accounts.ListAccounts, ListAccountsRequest(), "accounts"):
                request = ListAlertsRequest(account_id=account.id)
                count = sum(1 for _ in client.pages(client.alerts.ListAlerts, request, "alerts"))
                if count:
                    text = f"{count} open at {printable(account.name)}"
                    mend = f"see: flute alert list --account {account.id}"
                    yield Finding("alerts", True, text, mend, hint=True)
    except RpcFailed:
        return  # told already


def system_mail(patient: Patient) -> Iterator[Finding]:
    """Whether mail of Flute's own leaves: confirmations, resets, invitations, alerts."""
    try:
        with _client(patient) as client:
            status = client.call(client.users.GetSystemMailStatus, GetSystemMailStatusRequest())
    except RpcFailed:
        return  # told already
    waits = f"{status.waiting} waiting"
    if status.last_error:
        text = f"{waits}; the mail server said: {printable(status.last_error)}"
        mend = "is FLUTE_SYSTEM_SMTP right? `flute user mail` shows what waits"
        yield Finding("system mail", False, text, mend)
    elif status.configured:
        yield Finding("system mail", True, f"leaves from {printable(status.sender)}, {waits}")
    else:
        mend = "set FLUTE_SYSTEM_SMTP and FLUTE_SYSTEM_FROM; `flute user mail` shows the links that wait"
        text = f"no route for confirmations, resets, invitations and alerts, {waits}"
        hint = status.waiting > 0
        yield Finding("system mail", True, text, mend if hint else "", hint=hint)


def webhooks(patient: Patient) -> Iterator[Finding]:
    """Whose programs do not take what they are to be told; the fault is mostly theirs."""
    try:
        with psycopg.connect(patient.config.database_url, connect_timeout=5) as connection:
            rows = connection.execute(_FAILING_ENDPOINTS).fetchall()
    except psycopg.Error:
        return  # told already
    for account, environment, id_, url, paused, since in rows[:_MOST_ENDPOINTS]:
        state = "paused, after failing" if paused else "failing"
        text = printable(f"{url} of {account}, {environment}: {state} since {since:%Y-%m-%d %H:%M} UTC")
        yield Finding("webhooks", True, text, f"see: flute webhook deliveries {id_}", hint=True)
    if (more := len(rows) - _MOST_ENDPOINTS) > 0:
        yield Finding("webhooks", True, f"{more} more do not take their calls", hint=True)


# Those that an owner paused are well.
_FAILING_ENDPOINTS = """
SELECT a.name, e.name, w.id, w.url, w.paused, w.failing_since AT TIME ZONE 'UTC'
FROM webhook_endpoint w
JOIN environment e ON e.id = w.environment_id
JOIN account a ON a.id = e.account_id
WHERE w.failing_since IS NOT NULL
ORDER BY w.failing_since
LIMIT 100
"""
_MOST_ENDPOINTS = 5


def web(patient: Patient) -> Iterator[Finding]:
    """The public API answers and reaches the server."""
    url = f"{patient.web}/healthz"
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
            yield Finding("web", True, f"answers at {patient.web}")
    except urllib.error.HTTPError as error:
        mend = "it does not reach the gRPC server: is its FLUTE_GRPC_ADDRESS right?"
        yield Finding("web", False, f"{url} says {error.code}", mend)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        yield Finding("web", False, f"no answer at {url}: {reason}", "start it: flute web (or flute up)")


def disk(patient: Patient) -> Iterator[Finding]:
    """A full disk stops the database."""
    yield from _told(installation.disk(patient.data_dir))


def web_address(env: Mapping[str, str], ready: Mapping[str, Any]) -> str:
    """Where the public API should answer."""
    bind = env.get("FLUTE_WEB_BIND", "").strip()
    if bind:
        host, port = split_address(bind, "FLUTE_WEB_BIND")
        return f"http://{reachable(host)}:{port}"
    return str(ready.get("web", "http://127.0.0.1:8000"))


def _client(patient: Patient) -> Client:
    config = patient.config
    return Client(config.grpc_address, config.service_token, os.environ.get("FLUTE_GRPC_TLS_CA", ""))
