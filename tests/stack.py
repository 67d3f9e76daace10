"""The running system for tests and benchmarks: real PostgreSQL, Valkey, server, worker, web and sandbox."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import requests
from cryptography.fernet import Fernet
from flute.v1 import (
    account_service_pb2,
    api_key_service_pb2,
    environment_service_pb2,
    provider_account_service_pb2,
    route_service_pb2,
)

from flute_server.config import Config
from flute_server.local.client import Client
from flute_server.local.embedded import Services
from flute_server.sandbox import Sandbox
from flute_server.schema import upgrade

ROOT = Path(__file__).parent.parent
START_S = 90.0
DOMAIN = "flutemail.io"
# How long a worker waits for a provider: longer than this machine may stall, shorter than a test should take.
READ_TIMEOUT_S = 5


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """The first true value of the condition. Fails the test, saying what was waited for."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
    return value


def fresh_database(services: Services, name: str) -> str:
    """The URL of a new, empty database beside the given one."""
    with psycopg.connect(services.database_url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        admin.execute(f"CREATE DATABASE {name}")
    return urlunsplit(urlsplit(services.database_url)._replace(path=f"/{name}"))


def free_port() -> int:
    """A port for a server that starts later or comes and goes: none that the system gives out meanwhile, to
    the calls that programs make or to servers that take any port (from 32768 on)."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class Process:
    """A process of the system that a test may kill; its output goes to a file."""

    name: str
    argv: Sequence[str]
    env: dict[str, str]
    log: Path
    popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.popen = subprocess.Popen(
                self.argv, env=self.env, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
            )

    def kill(self) -> None:
        """As a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.popen is None:
            return
        self.popen.send_signal(how)
        self.popen.wait(60)
        self.popen = None

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


@dataclass
class Stack:
    """All processes but the databases, which belong to the caller."""

    services: Services
    sandbox: Sandbox
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    workers: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.grpc = f"127.0.0.1:{free_port()}"
        self.web_address = f"http://127.0.0.1:{free_port()}"
        self.service_token = secrets.token_hex(24)
        self.env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "proto" / "gen")]),
            "DATABASE_URL": self.services.database_url,
            "REDIS_URL": self.services.redis_url,
            "FLUTE_SECRET_KEYS": Fernet.generate_key().decode(),
            "FLUTE_SERVICE_TOKEN": self.service_token,
            "FLUTE_GRPC_ADDRESS": self.grpc,
            "FLUTE_WEB_BIND": self.web_address.removeprefix("http://"),
            "FLUTE_ALLOW_PRIVATE_ADDRESSES": "1",
            "FLUTE_PUBLIC_URL": self.web_address,
            "FLUTE_READ_TIMEOUT": str(READ_TIMEOUT_S),
            "FLUTE_WEB_RPC_TIMEOUT": "30",
            **self.settings,
        }
        self.config = Config.from_env(self.env)
        self.server = self.process("server", "-m", "flute_server")
        self.web = self.process("web", "-m", "gunicorn", "-c", "gunicorn.conf.py", "web:create_app()")
        self.client = Client(self.grpc, self.service_token)

    def process(self, name: str, *arguments: str) -> Process:
        """A process of the system, not started."""
        return Process(name, [sys.executable, *arguments], self.env, self.folder / f"{name}.log")

    def start(self, workers: int = 1) -> None:
        upgrade(self.config)
        self.start_server()
        self.web.start()
        for _ in range(workers):
            self.add_worker()
        until(self._web_answers, f"web:\n{self.web.text()}", START_S)

    def start_server(self) -> None:
        self.server.start()
        request = account_service_pb2.ListAccountsRequest()

        def answers() -> bool:
            with contextlib.suppress(Exception):
                self.client.call(self.client.accounts.ListAccounts, request, 1.0)
                return True
            return False

        until(answers, f"server:\n{self.server.text()}", START_S)

    def add_worker(self) -> Process:
        worker = self.process(f"worker-{len(self.workers)}", "-m", "workers")
        self.workers.append(worker)
        worker.start()
        until(lambda: "is ready" in worker.text(), f"worker:\n{worker.text()}", START_S)
        return worker

    def _web_answers(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.web_address}/healthz", timeout=2).status_code == 200
        return False

    def drain(self) -> None:
        """Leave mail of earlier tests where it is: tried again, it would come in among that of the next."""
        with psycopg.connect(self.services.database_url, autocommit=True) as database:
            # The lease goes on: a worker that has one of them now stops after the call that it is in.
            database.execute(
                "UPDATE email SET due_time = NULL, lease = lease + 1"
                " WHERE due_time < now() + interval '1 hour'"
            )
            longest = READ_TIMEOUT_S + 1
            in_a_call = (
                "SELECT 1 FROM attempt WHERE end_time IS NULL"
                f" AND start_time > now() - interval '{longest} s'"
            )
            until(lambda: not database.execute(in_a_call).fetchone(), "no mail is under way")

    def stop(self) -> None:
        for process in (self.web, *self.workers, self.server):
            process.stop()

    def tenant(self, *slugs: str, smtp_credentials: dict[str, str] | None = None, **settings: Any) -> Tenant:
        """A new account with an environment that routes through these sandbox providers, in order."""
        tenant = Tenant.create(self, settings)
        for slug in slugs or ("sendgrid", "postmark"):
            tenant.add_route(slug, (smtp_credentials or {}) if slug == "smtp" else {})
        return tenant

    def listen(self, tenant: Tenant, *slugs: str, **settings: str) -> None:
        """Let the sandbox's providers post their events to this tenant's provider accounts."""
        client = self.client
        for slug in slugs:
            keys = self.sandbox.webhook(slug)
            secret = "a-webhook-password"
            basic = {"username": "flute", "password": secret}
            credentials, sandbox_settings = {
                "sendgrid": ({"webhook_public_key": keys.get("public_key", "")}, {}),
                "mailgun": ({"webhook_signing_key": keys.get("signing_key", "")}, {}),
            }.get(slug, ({"webhook_password": secret}, basic))
            account = provider_account_service_pb2.ProviderAccount(
                id=tenant.provider_accounts[slug], credentials=credentials
            )
            request = provider_account_service_pb2.UpdateProviderAccountRequest(provider_account=account)
            row = client.call(client.provider_accounts.UpdateProviderAccount, request)
            self.sandbox.set_webhook(
                slug, self.web_address + row.webhook_path, **sandbox_settings, **settings
            )

    def credentials(self, slug: str) -> dict[str, str]:
        """What a provider account at the sandbox needs."""
        if slug == "simulator":
            return {}
        there = self.sandbox.credentials(slug)
        if slug != "smtp":
            return there | {"base_url": self.sandbox.base_url(slug)}
        host, port = self.sandbox.address(slug)
        return there | {"host": host, "port": str(port), "security": "none"}


@dataclass
class Tenant:
    """An account with an environment and a key, the calls that an app would make, and its owner's login."""

    stack: Stack
    account_id: str
    environment_id: str
    access_token: str
    provider_accounts: dict[str, str]
    owner: str = ""
    password: str = ""

    @classmethod
    def create(cls, stack: Stack, settings: dict[str, Any]) -> Tenant:
        client = stack.client
        owner, password = f"{secrets.token_hex(8)}@example.com", secrets.token_hex(8)
        account = client.call(
            client.accounts.CreateAccount,
            account_service_pb2.CreateAccountRequest(name="Test", owner_email=owner, owner_password=password),
        )
        environment = client.call(
            client.environments.CreateEnvironment,
            environment_service_pb2.CreateEnvironmentRequest(
                environment=environment_service_pb2.Environment(
                    **{"account_id": account.id, "name": "Test", "domain": DOMAIN, **settings}
                )
            ),
        )
        key = client.call(
            client.api_keys.CreateApiKey,
            api_key_service_pb2.CreateApiKeyRequest(environment_id=environment.id, name="test"),
        )
        return cls(stack, account.id, environment.id, key.access_token, {}, owner, password)

    def add_route(self, slug: str, credentials: dict[str, str]) -> None:
        client = self.stack.client
        row = client.call(
            client.provider_accounts.CreateProviderAccount,
            provider_account_service_pb2.CreateProviderAccountRequest(
                provider_account=provider_account_service_pb2.ProviderAccount(
                    account_id=self.account_id,
                    provider=slug,
                    name=slug,
                    credentials=self.stack.credentials(slug) | credentials,
                )
            ),
        )
        self.provider_accounts[slug] = row.id
        route = route_service_pb2.Route(environment_id=self.environment_id, provider_account_id=row.id)
        client.call(client.routes.CreateRoute, route_service_pb2.CreateRouteRequest(route=route))

    def body(self, **fields: Any) -> dict[str, Any]:
        """The example of the product's docs, with these fields changed."""
        return {
            "access_token": self.access_token,
            "subject": "Hello",
            "text": "How are you?",
            "to": [{"email": "ada@example.com"}],
            "from": {"name": "Flute", "email": f"hello@{DOMAIN}"},
            **fields,
        }

    def post(self, **fields: Any) -> requests.Response:
        url = f"{self.stack.web_address}/v1/email"
        return requests.post(url, json=self.body(**fields), timeout=60)

    def send(self, **fields: Any) -> str:
        """The id of an accepted mail."""
        answer = self.post(**fields)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def get(self, id_: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.access_token}"}
        answer = requests.get(f"{self.stack.web_address}/v1/email/{id_}", headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        story: dict[str, Any] = answer.json()
        return story

    def wait(self, id_: str, status: str, seconds: float = 60.0) -> dict[str, Any]:
        """The mail as soon as it has this status."""

        def there() -> dict[str, Any] | None:
            story = self.get(id_)
            return story if story["status"] == status else None

        try:
            found: dict[str, Any] = until(there, f"{id_} {status}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.get(id_)}") from error
        return found

    def inbox(self, id_: str, to: str = "ada@example.com") -> list[str]:
        """Through which providers the sandbox got this mail, once a copy."""
        mails = self.stack.sandbox.inbox(to=to)
        return [mail["provider"] for mail in mails if id_ in str(mail)]


@contextlib.contextmanager
def running(
    services: Services, sandbox: Sandbox, folder: Path, workers: int = 1, **settings: str
) -> Iterator[Stack]:
    """A stack that is up, and stopped at the end. settings: environment variables."""
    stack = Stack(services, sandbox, folder, settings)
    try:
        stack.start(workers)
        yield stack
    finally:
        stack.stop()
