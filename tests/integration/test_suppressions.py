"""The suppression list as its owner keeps it, and the audit log of that, through the running server."""

from __future__ import annotations

import csv
import io
import uuid
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flute.v1 import api_key_service_pb2 as keys
from flute.v1 import audit_service_pb2, email_service_pb2, route_service_pb2
from flute.v1 import provider_account_service_pb2 as accounts
from flute.v1 import suppression_service_pb2 as pb
from google.protobuf.field_mask_pb2 import FieldMask

from flute_server.cli import main
from flute_server.local.client import Client, RpcFailed
from tests.stack import Stack, Tenant


@pytest.fixture
def tenant(stack: Stack) -> Tenant:
    return stack.tenant("postmark")


@pytest.fixture
def app(stack: Stack, tenant: Tenant) -> Client:
    """An app of the tenant, with a key that may manage."""
    scopes = [keys.API_KEY_SCOPE_READ, keys.API_KEY_SCOPE_MANAGE]
    new = keys.CreateApiKeyRequest(environment_id=tenant.environment_id, name="crm", scopes=scopes)
    return Client(stack.grpc, stack.client.call(stack.client.api_keys.CreateApiKey, new).access_token)


def add(app: Client, email: str, **fields: Any) -> pb.Suppression:
    request = pb.CreateSuppressionRequest(suppression=pb.Suppression(email=email, **fields))
    return app.call(app.suppressions.CreateSuppression, request)


def listed(app: Client, **filters: Any) -> list[pb.Suppression]:
    request = pb.ListSuppressionsRequest(**filters)
    return list(app.pages(app.suppressions.ListSuppressions, request, "suppressions"))


def load(app: Client, text: str | bytes) -> pb.ImportSuppressionsResponse:
    data = text.encode() if isinstance(text, str) else text
    return app.call(app.suppressions.ImportSuppressions, pb.ImportSuppressionsRequest(csv=data), 60)


def exported(app: Client) -> bytes:
    request, found = pb.ExportSuppressionsRequest(), b""
    while True:
        piece = app.call(app.suppressions.ExportSuppressions, request)
        found += piece.csv
        request.page_token = piece.next_page_token
        if not request.page_token:
            return found


def audit(stack: Stack, tenant: Tenant) -> list[audit_service_pb2.AuditEntry]:
    """Newest first."""
    request = audit_service_pb2.ListAuditEntriesRequest(account_id=tenant.account_id)
    return list(stack.client.pages(stack.client.audit.ListAuditEntries, request, "audit_entries"))


def test_what_is_listed_gets_no_mail_until_it_is_taken_off(stack: Stack, tenant: Tenant, app: Client):
    row = add(app, " ADA@example.com", text="asked by phone")
    story = tenant.wait(tenant.send(), "suppressed")
    assert story["attempts"] == []
    assert "asked by phone" in story["timeline"][-1]["text"]
    app.call(app.suppressions.DeleteSuppression, pb.DeleteSuppressionRequest(id=row.id))
    tenant.wait(tenant.send(), "sent")
    deleted, created = audit(stack, tenant)[:2]
    assert (deleted.action, deleted.subject) == ("suppression.delete", "ada@example.com")
    assert "asked by phone" in deleted.text
    assert deleted.actor.startswith("key crm (flute_")
    assert deleted.request_id
    assert (created.action, created.subject) == ("suppression.create", "ada@example.com")


def test_an_address_is_found_by_id_by_itself_and_by_reason(app: Client):
    first = add(app, "ada@example.com")
    add(app, "bob@example.com", reason=pb.SUPPRESSION_REASON_COMPLAINT)
    assert first.reason == pb.SUPPRESSION_REASON_MANUAL
    assert app.call(app.suppressions.GetSuppression, pb.GetSuppressionRequest(id=first.id)) == first
    assert [row.email for row in listed(app)] == ["ada@example.com", "bob@example.com"]
    assert listed(app, email="Ada@Example.com ") == [first]
    assert [r.email for r in listed(app, reason=pb.SUPPRESSION_REASON_COMPLAINT)] == ["bob@example.com"]
    assert listed(app, email="nobody@example.com") == []
    with pytest.raises(RpcFailed, match="email"):
        listed(app, email="nobody\0@example.com")


def test_an_address_that_is_on_the_list_stays_as_it_is(stack: Stack, tenant: Tenant, app: Client):
    first = add(app, "ada@example.com", reason=pb.SUPPRESSION_REASON_BOUNCE, text="once")
    assert add(app, "ADA@example.com", text="again") == first
    actions = [entry.action for entry in audit(stack, tenant)]
    assert actions.count("suppression.create") == 1


@pytest.mark.parametrize("email", ["", "nonsense", "a\0b@example.com"])
def test_what_is_no_address_is_refused(app: Client, email: str):
    with pytest.raises(RpcFailed, match=r"suppression\.email"):
        add(app, email)


def test_a_list_is_imported_with_its_faults_told(stack: Stack, tenant: Tenant, app: Client):
    add(app, "known@example.com", text="stays")
    done = load(
        app,
        "Email,Reason,Text,Since\r\n"
        "ada@example.com,Bounce,no such user,2020\r\n"
        "KNOWN@example.com,complaint,x,2020\r\n"
        "nonsense,,,\r\n"
        "bob@example.com,boredom,,\r\n"
        "bob@example.com,,,\r\n"
        "ada@example.com,manual,twice,\r\n",
    )
    assert (done.added, done.known, done.refused) == (2, 2, 2)
    assert [problem.line for problem in done.problems] == [4, 5]
    assert "boredom" in done.problems[1].detail
    found = {row.email: (pb.SuppressionReason.Name(row.reason), row.text) for row in listed(app)}
    assert found == {
        "known@example.com": ("SUPPRESSION_REASON_MANUAL", "stays"),
        "ada@example.com": ("SUPPRESSION_REASON_BOUNCE", "no such user"),
        "bob@example.com": ("SUPPRESSION_REASON_MANUAL", "imported"),
    }
    entry = audit(stack, tenant)[0]
    assert (entry.action, entry.subject) == ("suppression.import", "2 addresses")


def test_many_bad_lines_are_counted_and_the_first_told(app: Client):
    done = load(app, "email\n" + "nonsense\n" * 300)
    assert (done.added, done.refused, len(done.problems)) == (0, 300, 100)


@pytest.mark.parametrize("data", [b"", b"a@b.example\n", "email\nä".encode("latin-1")])
def test_what_is_no_list_is_refused(app: Client, data: bytes):
    with pytest.raises(RpcFailed, match="csv"):
        load(app, data)


def test_a_list_survives_export_and_import(stack: Stack, app: Client):
    texts = ["=1+1", "'=x", "\ttab", 'a "quote", comma', "two\r\nlines", "550 5.1.1 nö", "-", "'plain"]
    words = ["bounce", "complaint", "unsubscribe", "manual"] * 2
    rows = [
        (f"=b{n}@example.com", word, text) for n, (word, text) in enumerate(zip(words, texts, strict=True))
    ]
    output = io.StringIO()
    csv.writer(output).writerows([("email", "reason", "text"), ("+a@example.com", "", ""), *rows])
    load(app, output.getvalue())
    data = exported(app)
    assert b"\r\n=" not in data
    assert b"\r\n+" not in data
    other = stack.tenant("postmark")
    request = pb.ImportSuppressionsRequest(account_id=other.account_id, csv=data)
    done = stack.client.call(stack.client.suppressions.ImportSuppressions, request)
    assert (done.added, done.refused) == (1 + len(texts), 0)
    copied = listed(stack.client, account_id=other.account_id)
    assert {(r.email, r.reason, r.text) for r in copied} == {(r.email, r.reason, r.text) for r in listed(app)}


def test_a_large_list_goes_in_and_comes_out_in_pieces(app: Client):
    count = 12_000
    data = "email\n" + "".join(f"user{number}@example.com\n" for number in range(count))
    assert load(app, data).added == count
    assert load(app, data).known == count
    lines = exported(app).decode().splitlines()
    assert len(lines) == len(set(lines)) == count + 1


def test_the_command_line_imports_and_exports(stack: Stack, tenant: Tenant, tmp_path: Path):
    env = {"FLUTE_GRPC_ADDRESS": stack.grpc, "FLUTE_SERVICE_TOKEN": stack.service_token}
    run = CliRunner(env=env).invoke
    file = tmp_path / "list.csv"
    file.write_text("email,text\nada@example.com,why\nnonsense,\n")
    done = run(main, ["suppression", "import", str(file), "--account", tenant.account_id])
    assert done.exit_code == 0, done.output
    assert "1 added, 0 were on the list, 1 lines refused" in done.output
    assert "line 3: 'nonsense'" in done.output
    out = run(main, ["suppression", "export", "--account", tenant.account_id])
    assert out.stdout.splitlines()[1].startswith("ada@example.com,manual,why,")
    told = run(main, ["audit", "--account", tenant.account_id])
    assert "suppression.import" in told.stdout


def test_what_people_set_up_is_noted(stack: Stack, tenant: Tenant):
    client, id_ = stack.client, tenant.provider_accounts["postmark"]
    row = accounts.ProviderAccount(id=id_, name="Renamed", credentials={"server_token": "n3w-s3cret"})
    request = accounts.UpdateProviderAccountRequest(provider_account=row)
    client.call(client.provider_accounts.UpdateProviderAccount, request)
    wanted = route_service_pb2.ListRoutesRequest(environment_id=tenant.environment_id)
    [route] = client.call(client.routes.ListRoutes, wanted).routes
    route.weight = 7
    changed = route_service_pb2.UpdateRouteRequest(route=route, update_mask=FieldMask(paths=["weight"]))
    client.call(client.routes.UpdateRoute, changed)
    client.call(client.routes.DeleteRoute, route_service_pb2.DeleteRouteRequest(id=route.id))
    client.call(client.provider_accounts.DeleteProviderAccount, accounts.DeleteProviderAccountRequest(id=id_))
    entries = audit(stack, tenant)
    assert [(entry.action, entry.subject) for entry in entries[:4]] == [
        ("provider_account.delete", "Renamed"),
        ("route.delete", "Renamed in Test"),
        ("route.update", "Renamed in Test"),
        ("provider_account.update", "Renamed"),
    ]
    assert [entry.text for entry in entries[2:4]] == [
        "weight: 7",
        "was named postmark; credentials: server_token",
    ]
    assert {"account.create", "provider_account.create", "route.create"} <= {e.action for e in entries}
    assert {entry.actor for entry in entries} == {"service"}
    assert "s3cret" not in str(entries)


def test_the_audit_log_comes_in_pages_newest_first(stack: Stack, tenant: Tenant, app: Client):
    for number in range(5):
        add(app, f"a{number}@example.com")
    whole = [entry.id for entry in audit(stack, tenant)]
    request = audit_service_pb2.ListAuditEntriesRequest(account_id=tenant.account_id, page_size=2)
    found = []
    while True:
        answer = stack.client.call(stack.client.audit.ListAuditEntries, request)
        found += [entry.id for entry in answer.audit_entries]
        request.page_token = answer.next_page_token
        if not request.page_token:
            break
    assert found == whole
    assert len(found) >= 5


def test_a_list_of_mails_tells_what_each_mail_tells(stack: Stack, tenant: Tenant, app: Client):
    tenant.add_route("sendgrid", {})
    stack.sandbox.set_mode("postmark", "down")
    id_ = tenant.send(tags=["t"], cc=[{"email": "bob@example.com", "name": "Bob"}])
    story = tenant.wait(id_, "sent")
    request = email_service_pb2.ListEmailsRequest(recipient="BOB@example.com", tag="t")
    [line] = app.call(app.emails.ListEmails, request).emails
    mail = app.call(app.emails.GetEmail, email_service_pb2.GetEmailRequest(id=id_))
    assert (line.id, line.state, line.create_time) == (mail.id, mail.state, mail.create_time)
    assert list(line.recipients) == list(mail.recipients)
    assert list(line.provider_accounts) == [attempt["provider_account"] for attempt in story["attempts"]]
    assert (line.subject, list(line.tags)) == (mail.content.subject, ["t"])
    assert getattr(line, "from") == getattr(mail.content, "from")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("page_size", -1),
        ("page_size", 201),
        ("page_token", "x"),
        ("state", 99),
        ("recipient", "a\0@example.com"),
        ("tag", "x" * 129),
        ("subject", "!?"),
        ("metadata", {"a\0": "b"}),
        ("provider_account", str(uuid.UUID(int=7))),
        ("start_time", {"seconds": 10**15}),
        ("end_time", {"nanos": -5}),
    ],
)
def test_a_filter_that_makes_no_sense_is_named(app: Client, field: str, value: Any):
    with pytest.raises(RpcFailed, match=field):
        app.call(app.emails.ListEmails, email_service_pb2.ListEmailsRequest(**{field: value}))
