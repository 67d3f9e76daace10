"""The commands over gRPC, against the running server."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flute_server.cli import main
from tests.stack import Stack

ACCESS_DENIED = "Is FLUTE_SERVICE_TOKEN"


class Flute:
    """The command line, pointed at the stack's server."""

    def __init__(self, stack: Stack, **env: str) -> None:
        self._env = {
            "FLUTE_GRPC_ADDRESS": stack.grpc,
            "FLUTE_SERVICE_TOKEN": stack.service_token,
            "FLUTE_DATA_DIR": str(stack.folder),
            **env,
        }

    def __call__(self, *arguments: str, text: str | None = None) -> Result:
        return CliRunner(env=self._env).invoke(main, arguments, input=text)

    def json(self, *arguments: str, text: str | None = None) -> Any:
        done = self(*arguments, "--json", text=text)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def refused(self, *arguments: str) -> str:
        done = self(*arguments)
        assert done.exit_code == 1, done.output
        assert "Traceback" not in done.output
        assert done.output.startswith("Error: ")
        assert done.output.count("\n") == 1
        return done.output


@pytest.fixture
def flute(stack: Stack) -> Flute:
    return Flute(stack)


@pytest.fixture
def account(flute: Flute) -> str:
    """The name of a new account."""
    name = f"cli-{uuid.uuid4().hex[:8]}"
    flute.json(
        "account",
        "create",
        "--name",
        name,
        "--email",
        f"{name}@example.com",
        "--password",
        "-",
        text="x" * 12,
    )
    return name


def test_from_an_account_to_a_mail(flute: Flute, account: str, stack: Stack):
    made = flute.json(
        "provider-account", "create", "--account", account, "--provider", "postmark", "--name", "Mine",
        "--credential", "server_token=-", "--credential", "base_url=http://127.0.0.1:9", text="t0ken-s3cret\n"
    )  # fmt: skip
    assert "t0ken-s3cret" not in json.dumps(made)
    environment = flute.json(
        "environment", "create", "--account", account, "--name", "T", "--domain", "a.example"
    )
    flute.json("route", "add", "--account", account, "--environment", "T", "--provider-account", "Mine")
    key = flute("key", "create", "--environment", environment["id"], "--name", "app")
    assert key.stdout.startswith("flute_")
    accepted = flute.json(
        "send", "--environment", environment["id"], "--from", "Ada <ada@a.example>", "--to", "b@b.example",
        "--subject", "Hi", "--text", "-", text="the text",
    )  # fmt: skip
    shown = flute("email", accepted["id"])
    assert f"{accepted['id']}: " in shown.output
    assert "accepted" in shown.output


def test_lists_are_tables_for_people_and_json_for_programs(flute: Flute, account: str):
    flute.json("environment", "create", "--account", account, "--name", "T", "--domain", "a.example")
    table = flute("environment", "list", "--account", account)
    assert table.output.splitlines()[0].split()[:3] == ["ID", "NAME", "DOMAIN"]
    (row,) = flute.json("environment", "list", "--account", account)
    assert row["domain"] == "a.example"
    assert {"slug": "postmark", "name": "Postmark"}.items() <= _kind(flute, "postmark").items()
    assert "server_token" in flute("provider", "list").output


def _kind(flute: Flute, slug: str) -> dict[str, Any]:
    kinds: list[dict[str, Any]] = flute.json("provider", "list")
    return next(kind for kind in kinds if kind["slug"] == slug)


def test_changes_what_is_given_and_nothing_else(flute: Flute, account: str):
    made = flute.json("environment", "create", "--account", account, "--name", "T", "--domain", "a.example")
    changed = flute.json("environment", "update", made["id"], "--give-up-after", "12h", "--allow-subdomains")
    assert changed == {**made, "give_up_after": "43200s", "allow_subdomains": True}
    assert "Nothing to change" in flute.refused("environment", "update", made["id"])
    assert flute("environment", "delete", made["id"], "--yes").exit_code == 0


def test_routes_can_be_moved_switched_off_and_removed(flute: Flute, account: str):
    made = flute.json("environment", "create", "--account", account, "--name", "T", "--domain", "a.example")
    flute.json(
        "provider-account", "create", "--account", account, "--provider", "smtp", "--name", "Mine",
        "--credential", "host=mail.example.org",
    )  # fmt: skip
    where = ("--account", account, "--environment", made["id"])
    route = flute.json("route", "add", *where, "--provider-account", "Mine")
    changed = flute.json("route", "update", route["id"], "--position", "7", "--disable")
    assert changed == {**route, "position": 7, "disabled": True}
    assert "disabled" in flute("route", "list", *where).output
    assert flute("route", "remove", route["id"]).exit_code == 0
    assert flute.json("route", "list", *where) == []


def test_a_key_can_be_revoked(flute: Flute, account: str):
    made = flute.json("environment", "create", "--account", account, "--name", "T", "--domain", "a.example")
    key = flute.json("key", "create", "--environment", made["id"], "--name", "app")
    assert flute("key", "revoke", key["api_key"]["id"]).exit_code == 0
    listed = flute("key", "list", "--environment", made["id"]).output
    assert "revoked" in listed
    assert key["access_token"] not in listed


def test_errors_are_one_line_that_names_the_field(flute: Flute, account: str):
    assert "domain" in flute.refused(
        "environment", "create", "--account", account, "--name", "T", "--domain", "no domain"
    )
    assert "There is no account 'nobody'" in flute.refused("environment", "list", "--account", "nobody")
    assert "is no address" in flute.refused(
        "send", "--environment", str(uuid.uuid4()), "--from", "nonsense", "--to", "a@b.c", "--subject", "x"
    )
    assert "there is no email" in flute.refused("email", str(uuid.uuid4()))
    assert "--credential takes NAME=VALUE" in flute.refused(
        "provider-account", "create", "--account", account, "--provider", "smtp", "--credential", "nonsense"
    )
    assert "SendGrid also needs: api_key" in flute.refused(
        "provider-account", "create", "--account", account, "--provider", "sendgrid"
    )


def test_a_server_that_is_away_or_another_is_one_line(stack: Stack):
    away = Flute(stack, FLUTE_GRPC_ADDRESS="127.0.0.1:1").refused("account", "list")
    assert "flute_server does not answer at 127.0.0.1:1" in away
    assert ACCESS_DENIED in Flute(stack, FLUTE_SERVICE_TOKEN="x" * 40).refused("account", "list")
