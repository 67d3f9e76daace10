"""`python -m flute_server.local.demo`: what `flute up --demo` shows, made through the gRPC API alone.

Each step looks for what an earlier start made, so it can be cut short anywhere and run again.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flute.v1 import (
    account_service_pb2,
    api_key_service_pb2,
    environment_service_pb2,
    provider_account_service_pb2,
    route_service_pb2,
)

from flute_server.sandbox.client import Sandbox, SandboxError

from .client import Client, RpcFailed
from .files import read_json, write_json
from .ports import split_address
from .probe import SECONDS, serving
from .process import wait_until

FILE = "demo.json"
DOMAIN = "flutemail.io"
ACCOUNT = "Demo"
ENVIRONMENT = "Transactional"
KEY = "Demo"
ALL_SCOPES = (
    api_key_service_pb2.API_KEY_SCOPE_SEND,
    api_key_service_pb2.API_KEY_SCOPE_READ,
    api_key_service_pb2.API_KEY_SCOPE_MANAGE,
)
BOUNCE_DOMAIN = f"bounces.{DOMAIN}"
WEBHOOK_USERNAME = "demo"
# In the order of the routes; the first is played as broken, so that failover can be watched.
PROVIDERS = (("sendgrid", "SendGrid"), ("postmark", "Postmark"), ("smtp", "SMTP"))


@dataclass(frozen=True)
class Doors:
    """Where the sandbox tells what became of mail, and whom it shall tell: addresses of this start."""

    sandbox: Mapping[str, Any]
    web: str
    bounces: str


class Demo:
    """Remembers in DIR/demo.json what it made; the server never shows a token or a password again."""

    def __init__(self, client: Client, data_dir: Path, doors: Doors) -> None:
        self._client = client
        self._file = data_dir / FILE
        self._doors = doors
        self._known = read_json(self._file)

    def make(self) -> None:
        """Make what is missing, and point provider accounts and sandbox at each other."""
        if "webhook_password" not in self._known:
            self._remember(webhook_password=secrets.token_urlsafe(24))
        account_id = self._account()
        provider_accounts = [self._provider_account(account_id, slug, name) for slug, name in PROVIDERS]
        self._listen(provider_accounts)
        environment_id = self._environment(account_id)
        self._routes(environment_id, [row.id for row in provider_accounts])
        self._keys(environment_id)

    def _remember(self, **values: object) -> None:
        self._known.update(values)
        write_json(self._file, self._known)

    def _account(self) -> str:
        service, pb = self._client.accounts, account_service_pb2
        known = {
            row.id for row in self._client.pages(service.ListAccounts, pb.ListAccountsRequest(), "accounts")
        }
        if self._known.get("account_id") in known:
            return str(self._known["account_id"])
        # Written down before it is made: a password cannot be asked for afterwards.
        mark = secrets.token_hex(3) if known else ""
        login = {
            "email": f"demo{'+' if mark else ''}{mark}@{DOMAIN}",
            "password": secrets.token_urlsafe(15),
        }
        self._remember(login=login)
        request = pb.CreateAccountRequest(
            name=ACCOUNT, owner_email=login["email"], owner_password=login["password"]
        )
        account_id = self._client.call(service.CreateAccount, request).id
        self._remember(account_id=account_id)
        return account_id

    def _provider_account(
        self, account_id: str, slug: str, name: str
    ) -> provider_account_service_pb2.ProviderAccount:
        service, pb = self._client.provider_accounts, provider_account_service_pb2
        wanted, shown = self._credentials(slug)
        request = pb.ListProviderAccountsRequest(account_id=account_id)
        for row in self._client.pages(service.ListProviderAccounts, request, "provider_accounts"):
            if row.name == name:
                found: pb.ProviderAccount = row
                # Secrets are not shown, but ours never change: addresses and SendGrid's public key do.
                if all(row.credentials.get(field) == wanted[field] for field in shown):
                    return found
                change = pb.ProviderAccount(id=row.id, credentials=wanted)
                update = pb.UpdateProviderAccountRequest(provider_account=change)
                return self._client.call(service.UpdateProviderAccount, update)
        new = pb.ProviderAccount(account_id=account_id, provider=slug, name=name, credentials=wanted)
        create = pb.CreateProviderAccountRequest(provider_account=new)
        return self._client.call(service.CreateProviderAccount, create)

    def _credentials(self, slug: str) -> tuple[dict[str, str], list[str]]:
        """What this kind of provider asks for, as far as the demo has it; and what of it is no secret."""
        service, pb = self._client.provider_accounts, provider_account_service_pb2
        kinds = self._client.call(service.ListProviders, pb.ListProvidersRequest()).providers
        fields = [field for kind in kinds if kind.slug == slug for field in kind.fields]
        there = self._played(slug)
        wanted = {field.name: there[field.name] for field in fields if field.name in there}
        return wanted, [field.name for field in fields if field.name in wanted and not field.secret]

    def _played(self, slug: str) -> dict[str, str]:
        """What the sandbox's provider takes, and what it signs or says when it tells of events."""
        played = self._doors.sandbox["providers"][slug]
        keys = {f"webhook_{name}": str(value) for name, value in played.get("webhook", {}).items()}
        return {
            **keys,
            **played["credentials"],
            "base_url": played["base_url"],
            "host": played["host"],
            "port": str(played["port"]),
            "security": "none",
            "bounce_domain": BOUNCE_DOMAIN,
            "webhook_username": WEBHOOK_USERNAME,
            "webhook_password": str(self._known["webhook_password"]),
        }

    def _listen(self, provider_accounts: list[provider_account_service_pb2.ProviderAccount]) -> None:
        """Let the sandbox tell us what becomes of the mail."""
        sandbox = Sandbox(self._doors.sandbox["control"])
        for row in provider_accounts:
            if not row.webhook_path:  # SMTP: its bounces are mails
                sandbox.set_bounces(*split_address(self._doors.bounces, "the address for bounces"))
                continue
            login = {}
            if "webhook_username" in row.credentials:
                login = {"username": WEBHOOK_USERNAME, "password": self._known["webhook_password"]}
            sandbox.set_webhook(row.provider, self._doors.web + row.webhook_path, **login)

    def _environment(self, account_id: str) -> str:
        service, pb = self._client.environments, environment_service_pb2
        request = pb.ListEnvironmentsRequest(account_id=account_id)
        for row in self._client.pages(service.ListEnvironments, request, "environments"):
            if row.name == ENVIRONMENT:
                return str(row.id)
        new = pb.Environment(account_id=account_id, name=ENVIRONMENT, domain=DOMAIN)
        create = pb.CreateEnvironmentRequest(environment=new)
        return self._client.call(service.CreateEnvironment, create).id

    def _routes(self, environment_id: str, provider_accounts: list[str]) -> None:
        service, pb = self._client.routes, route_service_pb2
        answer = self._client.call(service.ListRoutes, pb.ListRoutesRequest(environment_id=environment_id))
        there = {route.provider_account_id for route in answer.routes}
        for position, provider_account_id in enumerate(provider_accounts, start=1):
            if provider_account_id not in there:
                route = pb.Route(
                    environment_id=environment_id, provider_account_id=provider_account_id, position=position
                )
                self._client.call(service.CreateRoute, pb.CreateRouteRequest(route=route))

    def _keys(self, environment_id: str) -> None:
        """Both may do all, so that everything can be tried with them."""
        pb = api_key_service_pb2
        self._remember(environment_id=environment_id)
        request = pb.ListApiKeysRequest(environment_id=environment_id)
        rows = self._client.pages(self._client.api_keys.ListApiKeys, request, "api_keys")
        valid = {row.id for row in rows if not row.HasField("revoke_time") and _may_all(row)}
        self._key(valid, KEY, pb.API_KEY_KIND_LIVE, "")
        self._key(valid, f"{KEY} (test)", pb.API_KEY_KIND_TEST, "test_")

    def _key(
        self, valid: set[str], name: str, kind: api_key_service_pb2.ApiKeyKind.ValueType, prefix: str
    ) -> None:
        if self._known.get(f"{prefix}api_key_id") in valid:
            return
        create = api_key_service_pb2.CreateApiKeyRequest(
            environment_id=self._known["environment_id"], name=name, kind=kind, scopes=ALL_SCOPES
        )
        made = self._client.call(self._client.api_keys.CreateApiKey, create)
        self._remember(**{f"{prefix}api_key_id": made.api_key.id, f"{prefix}access_token": made.access_token})


def _may_all(row: api_key_service_pb2.ApiKey) -> bool:
    return set(row.scopes) == set(ALL_SCOPES) and not row.HasField("expire_time")


def main(arguments: list[str]) -> int:
    """Arguments: the data folder, the sandbox's ready file, and the addresses of web and for bounces."""
    data_dir, ready_file, web, bounces = arguments
    address, token = os.environ["FLUTE_GRPC_ADDRESS"], os.environ["FLUTE_SERVICE_TOKEN"]
    wait_until(lambda: serving(address), SECONDS)
    doors = Doors(read_json(Path(ready_file)), web, bounces)
    try:
        with Client(address, token, os.environ.get("FLUTE_GRPC_TLS_CA", "")) as client:
            Demo(client, Path(data_dir), doors).make()
    except (RpcFailed, SandboxError, OSError) as error:
        sys.stderr.write(f"the demo could not be made: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
