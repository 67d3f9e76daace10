"""The commands over gRPC, against the running server."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result
from flute.v1 import webhook_service_pb2

from flute_server.cli import main
from tests.stack import Stack, Tenant, until

SERVER_SIDE = ("DATABASE_URL", "REDIS_URL", "FLUTE_SECRET_KEYS", "FLUTE_WEB_BIND")
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
        text="not-easily-guessed",
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


def test_a_check_of_credentials_is_shown_and_optional_ones_are_removed(flute: Flute, stack: Stack):
    tenant = stack.tenant("postmark")
    id_ = tenant.provider_accounts["postmark"]
    command = "provider-account"
    assert "not checked yet" in flute(command, "show", id_).output
    updated = flute(
        command,
        "update",
        id_,
        "--credential",
        "server_token=wr0ng",
        "--credential",
        "webhook_password=s3cret",
    )
    assert f"verify {id_}" in updated.output
    verified = flute(command, "verify", id_, "--json")
    assert verified.exit_code == 1
    assert "401" in json.loads(verified.stdout)["text"]
    shown = flute(command, "show", id_).output
    assert "health: credentials refused: Postmark answers 401" in shown
    assert "credentials: refused at " in shown
    assert "Copy the credentials anew" in shown
    told = flute.json(command, "show", id_)
    assert told["status"] == "credentials_refused"
    assert told["last_check"]["refused"] is True
    where = ("--environment", tenant.environment_id)
    mail = ("--from", "a@flutemail.io", "--to", "b@b.example", "--subject", "Hi", "--text", "Hi", "--dry-run")
    way = flute("send", *where, *mail).output
    assert "postmark: its credentials were refused when they were last checked" in way
    assert "it is tried all the same" in way

    assert told["known_secrets"] == ["server_token", "webhook_password"]
    removed = flute.json(command, "update", id_, "--remove-credential", "webhook_password")
    assert removed["known_secrets"] == ["server_token"]
    assert "Postmark needs server_token" in flute.refused(
        command, "update", id_, "--remove-credential", "server_token"
    )
    assert "Nothing to change" in flute.refused(command, "update", id_, "--credential", "server_token=")


def test_mails_are_found_by_what_was_said_of_them(flute: Flute, stack: Stack):
    tenant = stack.tenant("postmark")
    where = ("--environment", tenant.environment_id)
    send = ("send", *where, "--from", "a@flutemail.io", "--text", "Hi", "--reply-to", "c@flutemail.io")
    first = flute.json(
        *send, "--to", "b@b.example", "--cc", "c@b.example", "--subject", "Your receipt 4711",
        "--tag", "receipt", "--tag", "shop", "--metadata", "order=4711", "--header", "X-Shop=north",
    )  # fmt: skip
    second = flute.json(*send, "--to", "d@b.example", "--subject", "Welcome")
    tenant.wait(first["id"], "sent")
    story = flute.json("email", first["id"])
    assert (story["tags"], story["metadata"]) == (["receipt", "shop"], {"order": "4711"})
    assert story["headers"] == {"X-Shop": "north"}
    assert story["reply_to"] == [{"email": "c@flutemail.io", "name": ""}]

    def found(*wanted: str) -> list[str]:
        return [row["id"] for row in flute.json("emails", *where, *wanted)]

    assert found() == [second["id"], first["id"]]
    assert found("--limit", "1") == [second["id"]]
    for wanted in (
        ("--tag", "shop"),
        ("--metadata", "order=4711"),
        ("--subject", "receipt"),
        ("--recipient", "C@b.example"),
        ("--status", "sent", "--provider-account", "postmark", "--until", "+1h", "--tag", "receipt"),
    ):
        assert found(*wanted) == [first["id"]]
    assert found("--since", "-1h") == [second["id"], first["id"]]
    assert found("--until", "-1h") == []
    table = flute("emails", *where, "--tag", "shop").output
    assert "b@b.example and 1 more  Your receipt 4711" in table
    assert "No mail matches." in flute("emails", *where, "--tag", "nothing").output
    assert "write NAME=VALUE" in flute("emails", *where, "--metadata", "nothing").output


def test_a_dry_run_tells_the_way_and_sends_nothing(flute: Flute, stack: Stack):
    tenant = stack.tenant("sendgrid", "postmark")
    where = ("--environment", tenant.environment_id)
    send = (
        "send",
        *where,
        "--from",
        "a@flutemail.io",
        "--to",
        "b@b.example",
        "--subject",
        "Hi",
        "--text",
        "Hi",
    )
    told = flute(*send, "--dry-run").output
    assert "The mail to b@b.example would go through sendgrid." in told
    assert "-> sendgrid: healthy" in told
    plan = flute.json(*send, "--dry-run")
    assert plan["sendable"] is True
    assert flute.json("emails", *where) == []


def test_json_is_that_of_the_api(flute: Flute, stack: Stack):
    tenant = stack.tenant("postmark")
    id_ = tenant.send(tags=["a"])
    tenant.wait(id_, "sent")
    headers = {"Authorization": f"Bearer {tenant.access_token}"}

    def api(path: str) -> Any:
        return requests.get(f"{stack.web_address}/v1/{path}", headers=headers, timeout=60).json()

    where = ("--environment", tenant.environment_id)
    assert flute.json("email", id_) == api(f"email/{id_}")
    assert flute.json("emails", *where) == api("email")["emails"]
    assert flute.json("environment", "show", tenant.environment_id) == api("environment")


def test_a_mail_can_wait_be_moved_taken_back_and_sent_again(flute: Flute, stack: Stack):
    tenant = stack.tenant("postmark")
    send = (
        "send", "--environment", tenant.environment_id, "--from", "a@flutemail.io", "--to", "b@b.example",
        "--subject", "Hi", "--text", "Hi", "--at", "+2h", "--idempotency-key", "k",
    )  # fmt: skip
    made = flute.json(*send)
    # Two hours from now is another time by now.
    assert "idempotency key was used" in flute.refused(*send)
    id_ = made["id"]
    assert made["status"] == "scheduled"
    assert "scheduled, tried next at 2" in flute("reschedule", id_, "--at", "+3d").output
    assert "30 days" in flute.refused("reschedule", id_, "--at", "2999-01-01T00:00:00Z")
    assert "is no time" in flute("reschedule", id_, "--at", "soon").output
    assert flute("cancel", id_).output == f"{id_}: canceled\n"
    again = flute.json("resend", id_)
    assert again["resent_from"] == id_
    tenant.wait(again["id"], "sent")
    assert f"sends again what {id_} sent" in flute("email", again["id"]).output
    assert "reached everybody" in flute.refused("resend", again["id"])
    tenant.wait(flute.json("resend", again["id"], "--all")["id"], "sent")


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
    assert changed == {**made, "give_up_after_s": 43200, "allow_subdomains": True}
    changed = flute.json("environment", "update", made["id"], "--on-delay", "resend")
    assert changed["on_delay"] == "resend"
    assert changed["give_up_after_s"] == 43200
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
    flute.json("route", "update", route["id"], "--enable")
    assert "disabled" not in flute("route", "list", *where).output
    assert flute("route", "remove", route["id"]).exit_code == 0
    assert flute.json("route", "list", *where) == []


def test_routes_have_caps_and_say_whether_they_sign(flute: Flute, account: str):
    made = flute.json("environment", "create", "--account", account, "--name", "T", "--domain", "a.example")
    flute.json(
        "provider-account", "create", "--account", account, "--provider", "smtp", "--name", "Mine",
        "--credential", "host=mail.example.org",
    )  # fmt: skip
    where = ("--account", account, "--environment", made["id"])
    caps = ("--max-per-second", "5", "--max-per-day", "20000", "--authenticated")
    route = flute.json("route", "add", *where, "--provider-account", "Mine", *caps)
    assert route.items() >= {"max_per_second": 5, "max_per_day": 20000, "authenticated": True}.items()
    assert "at most 5 a second, at most 20,000 a day, authenticated" in flute("route", "list", *where).output
    changed = flute.json("route", "update", route["id"], "--max-per-second", "0", "--not-authenticated")
    assert changed == {**route, "max_per_second": 0, "authenticated": False}


def test_an_environment_tells_what_to_know_about_its_routes(flute: Flute, account: str):
    settings = ("--name", "T", "--domain", "a.example", "--on-delay", "resend", "--on-ambiguous", "wait")
    made = flute("environment", "create", "--account", account, *settings)
    warning = "warning: T: there is no route in use"
    assert warning in made.stderr
    shown = flute("environment", "show", "T", "--account", account)
    assert "on delay       resend" in shown.stdout
    assert "on ambiguous   wait 1h" in shown.stdout
    assert warning in shown.stderr
    listed = flute("environment", "list", "--account", account)
    assert "ON DELAY" in listed.stdout
    assert warning in listed.stderr
    assert flute.json("environment", "show", "T", "--account", account)["warnings"]


def test_an_address_can_be_suppressed_and_freed(flute: Flute, stack: Stack):
    tenant = stack.tenant("postmark")
    where = ("--account", tenant.account_id)
    assert "No address is suppressed" in flute("suppression", "list", *where).output
    added = flute("suppression", "add", "Ada@Example.com", "--text", "asked by phone", *where)
    assert added.output.startswith("ada@example.com is on the list since ")
    listed = flute("suppression", "list", *where).output
    assert "manual" in listed
    assert "asked by phone" in listed
    tenant.wait(tenant.send(), "suppressed")
    assert "is not on the list" in flute.refused("suppression", "remove", "bob@example.com", *where)
    assert flute("suppression", "remove", "ADA@example.com", *where).exit_code == 0
    assert flute.json("suppression", "list", *where) == []
    tenant.wait(tenant.send(), "sent")
    again = flute.json("suppression", "add", "ada@example.com", *where)
    assert flute("suppression", "remove", again["id"], *where).exit_code == 0
    assert "email" in flute.refused("suppression", "add", "nonsense", *where)


@pytest.fixture
def refused(stack: Stack) -> Tenant:
    """A tenant whose first provider does not take the credentials, which a mail has found out."""
    tenant = stack.tenant("sendgrid", "postmark")
    stack.sandbox.set_mode("sendgrid", "unauthorized")
    tenant.wait(tenant.send(), "sent")
    return tenant


def test_a_provider_account_says_how_it_fares_and_can_be_reset(flute: Flute, refused: Tenant):
    id_ = refused.provider_accounts["sendgrid"]
    shown = flute("provider-account", "show", id_).output
    assert "health: passed over: auth" in shown
    assert "waits for a person" in shown
    assert f"/v1/webhooks/sendgrid/{id_}" in shown
    assert "\n  1. In SendGrid, open Settings" in shown
    assert "SG.sandbox-key" not in shown
    assert "passed over" in flute("provider-account", "list", "--account", refused.account_id).output
    refused.stack.sandbox.set_mode("sendgrid", "ok")
    done = flute("provider-account", "reset", "sendgrid", "--account", refused.account_id)
    assert done.output == "reset provider account sendgrid: ok\n"
    assert flute.json("provider-account", "show", id_)["breaker_state"] == "closed"
    assert refused.inbox(refused.wait(refused.send(), "sent")["id"]) == ["sendgrid"]


def test_receiving_domains_where_it_fails_are_shown(flute: Flute, stack: Stack):
    tenant = stack.tenant("postmark", "smtp")
    stack.listen(tenant, "postmark")
    stack.sandbox.set_mode("postmark", "block", domains=["blocked.example"])
    which = ("provider-account", "show", "postmark", "--account", tenant.account_id)

    def failing() -> list[dict[str, Any]]:
        tenant.send(to=[{"email": "ada@blocked.example"}])
        return list(flute.json(*which).get("domains", []))

    (domain,) = until(failing, "the breaker of the domain opens")
    assert domain["domain"] == "blocked.example"
    shown = flute(*which).output
    assert "health: ok" in shown
    assert "receiving domains at which it fails" in shown
    assert "blocked.example" in shown
    listed = flute("provider-account", "list", "--account", tenant.account_id).output
    assert "ok; failing at 1 receiving domain" in listed
    assert flute.json("provider-account", "reset", *which[2:]).get("domains", []) == []


def test_alerts_wait_for_a_person(flute: Flute, refused: Tenant):
    where = ("--account", refused.account_id)
    (alert,) = flute.json("alert", "list", *where)
    assert alert["kind"] == "provider_account"
    shown = flute("alert", "list", *where).output
    assert "provider account " + refused.provider_accounts["sendgrid"] in shown
    assert f"id {alert['id']}" in shown
    assert flute("alert", "resolve", alert["id"]).exit_code == 0
    assert "Nothing waits for a person" in flute("alert", "list", *where).output
    assert "resolved" in flute("alert", "list", "--all", *where).output
    assert "there is no alert" in flute.refused("alert", "resolve", str(uuid.uuid4()))


def test_the_doctor_hints_at_webhook_endpoints_that_take_nothing(stack: Stack):
    tenant = stack.tenant()
    new = webhook_service_pb2.WebhookEndpoint(
        environment_id=tenant.environment_id, url="http://127.0.0.1:1/h"
    )
    request = webhook_service_pb2.CreateWebhookEndpointRequest(webhook_endpoint=new)
    made = stack.client.call(stack.client.webhooks.CreateWebhookEndpoint, request).webhook_endpoint
    doctor = Flute(stack, **{name: stack.env[name] for name in SERVER_SIDE})
    assert made.id not in doctor("doctor").output
    tenant.send()
    where = ("webhook", "show", made.id)
    until(lambda: "failing since" in Flute(stack)(*where).output, "the endpoint fails")
    examined = doctor("doctor").output
    assert "http://127.0.0.1:1/h of Test, Test: failing since 20" in examined
    assert f"-> see: flute webhook deliveries {made.id}" in examined
    assert Flute(stack)("webhook", "delete", made.id, "--yes").exit_code == 0


def test_the_doctor_hints_at_open_alerts(refused: Tenant):
    stack = refused.stack
    examined = Flute(stack, **{name: stack.env[name] for name in SERVER_SIDE})("doctor").output
    lines = examined.splitlines()
    mark = lines.index(
        next(line for line in lines if f"flute alert list --account {refused.account_id}" in line)
    )
    assert lines[mark - 1].split() == ["hint", "alerts", "1", "open", "at", "Test"]
    assert "hint" in lines[-1]


def test_a_mail_can_be_explained_in_sentences(flute: Flute, refused: Tenant):
    id_ = refused.wait(refused.send(), "sent")["id"]
    told = flute("email", id_, "--explain").output.splitlines()
    assert told[0].startswith("The mail to ada@example.com was taken by a provider")
    assert any("postmark took the mail" in line for line in told)
    as_json = flute.json("email", id_, "--explain")
    assert [as_json["summary"], *as_json["paragraphs"]] == told
    assert "timeline" in flute("email", id_).output
    assert "there is no email" in flute.refused("email", str(uuid.uuid4()), "--explain")


def test_a_key_can_be_revoked(flute: Flute, account: str):
    made = flute.json("environment", "create", "--account", account, "--name", "T", "--domain", "a.example")
    key = flute.json("key", "create", "--environment", made["id"], "--name", "app")
    assert flute("key", "revoke", key["api_key"]["id"]).exit_code == 0
    listed = flute("key", "list", "--environment", made["id"]).output
    assert "revoked" in listed
    assert key["access_token"] not in listed


def test_a_key_has_scopes_an_end_and_a_limit_and_can_be_replaced(flute: Flute, account: str):
    flute.json("environment", "create", "--account", account, "--name", "T", "--domain", "a.example")
    made = flute.json(
        "key", "create", "--account", account, "--name", "robot", "--test", "--scope", "send",
        "--scope", "manage", "--expires", "90d", "--rate", "10", "--burst", "20",
    )["api_key"]  # fmt: skip
    assert made["scopes"] == ["send", "manage"]
    assert made["rate_limit"] == {"per_second": 10, "burst": 20}
    table = flute("key", "list", "--account", account).output
    for words in ("robot", "test", "send manage", "10/s, 20 at once", "valid until 20"):
        assert words in table
    rotated = flute("key", "rotate", made["id"], "--overlap", "0s")
    assert rotated.stdout.startswith("flute_")
    states = [
        line for line in flute("key", "list", "--account", account).output.splitlines() if "robot" in line
    ]
    assert ["expired" in state for state in states] == [True, False]
    assert "--burst needs --rate" in flute.refused(
        "key", "create", "--account", account, "--name", "x", "--burst", "1"
    )


def test_an_environment_forgets_content_and_tracks_where_told(flute: Flute, account: str):
    made = flute.json(
        "environment", "create", "--account", account, "--name", "R", "--domain", "a.example",
        "--retention-days", "30", "--track-clicks",
    )  # fmt: skip
    shown = flute("environment", "show", made["id"]).output
    assert "removed after 30 days" in shown
    assert "tracking       clicks" in shown
    flute.json("environment", "update", made["id"], "--retention-days", "0", "--track-opens")
    shown = flute("environment", "show", made["id"]).output
    assert "content        kept" in shown
    assert "tracking       opens and clicks" in shown


def test_an_environment_has_limits_and_loses_them(flute: Flute, account: str):
    made = flute.json(
        "environment", "create", "--account", account, "--name", "T", "--domain", "a.example",
        "--rate", "50", "--monthly-quota", "10000", "--one-click-unsubscribe",
    )  # fmt: skip
    assert made["rate_limit"] == {"per_second": 50, "burst": 50}
    assert (made["monthly_quota"], made["one_click_unsubscribe"]) == (10000, True)
    shown = flute("environment", "show", made["id"]).output
    for words in ("50/s, 50 at once", "10,000 mails", "one-click link"):
        assert words in shown
    flute.json(
        "environment",
        "update",
        made["id"],
        "--rate",
        "0",
        "--monthly-quota",
        "0",
        "--no-one-click-unsubscribe",
    )
    assert flute("environment", "show", made["id"]).output.count("none") == 2


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
