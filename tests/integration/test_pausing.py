"""A provider account that a person pauses, and whether its events arrive, over the running system."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from flute.v1 import audit_service_pb2, environment_service_pb2
from flute.v1 import provider_account_service_pb2 as pb

from flute_server.cli import main
from flute_server.local.client import RpcFailed
from tests.stack import Stack, Tenant, until


def pause(tenant: Tenant, slug: str) -> pb.ProviderAccount:
    client = tenant.stack.client
    request = pb.PauseProviderAccountRequest(id=tenant.provider_accounts[slug])
    return client.call(client.provider_accounts.PauseProviderAccount, request)


def resume(tenant: Tenant, slug: str) -> pb.ProviderAccount:
    client = tenant.stack.client
    request = pb.ResumeProviderAccountRequest(id=tenant.provider_accounts[slug])
    return client.call(client.provider_accounts.ResumeProviderAccount, request)


def get(tenant: Tenant, slug: str) -> pb.ProviderAccount:
    client = tenant.stack.client
    request = pb.GetProviderAccountRequest(id=tenant.provider_accounts[slug])
    return client.call(client.provider_accounts.GetProviderAccount, request)


def flute(stack: Stack, *arguments: str) -> str:
    env = {"FLUTE_GRPC_ADDRESS": stack.grpc, "FLUTE_SERVICE_TOKEN": stack.service_token}
    done = CliRunner(env=env).invoke(main, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout


def texts(story: dict[str, Any]) -> str:
    return "\n".join(moment["text"] for moment in story["timeline"])


def test_a_paused_account_is_passed_over_with_the_reason_told(stack: Stack):
    tenant = stack.tenant("sendgrid", "postmark")
    row = pause(tenant, "sendgrid")
    assert row.paused
    assert datetime.now(UTC) - row.pause_time.ToDatetime(UTC) < timedelta(minutes=1)
    planned = tenant.post(dry_run=True).json()
    assert "paused by a person" in str(planned)
    id_ = tenant.send()
    story = tenant.wait(id_, "sent")
    assert "passing over sendgrid: paused by a person" in texts(story)
    assert tenant.inbox(id_) == ["postmark"]
    assert not resume(tenant, "sendgrid").paused
    again = tenant.send()
    tenant.wait(again, "sent")
    assert tenant.inbox(again) == ["sendgrid"]


def test_mail_that_waits_for_a_paused_account_leaves_when_it_is_resumed(stack: Stack):
    tenant = stack.tenant("postmark")
    pause(tenant, "postmark")
    id_ = tenant.send()
    until(lambda: "paused by a person" in texts(tenant.get(id_)), "the wait is told")
    resume(tenant, "postmark")
    tenant.wait(id_, "sent")


def test_a_pause_is_on_record_once_and_survives_new_credentials(stack: Stack):
    tenant = stack.tenant("postmark")
    first, second = pause(tenant, "postmark"), pause(tenant, "postmark")
    assert first.pause_time == second.pause_time
    client = stack.client
    change = pb.ProviderAccount(id=first.id, name="renamed")
    assert client.call(
        client.provider_accounts.UpdateProviderAccount,
        pb.UpdateProviderAccountRequest(provider_account=change),
    ).paused
    resume(tenant, "postmark")
    resume(tenant, "postmark")
    listed = client.call(
        client.audit.ListAuditEntries, audit_service_pb2.ListAuditEntriesRequest(account_id=tenant.account_id)
    )
    actions = [entry.action for entry in listed.audit_entries]
    assert actions.count("provider_account.pause") == actions.count("provider_account.resume") == 1


def test_an_environment_whose_only_route_is_paused_warns(stack: Stack):
    tenant = stack.tenant("postmark")
    pause(tenant, "postmark")
    client = stack.client
    request = environment_service_pb2.GetEnvironmentRequest(id=tenant.environment_id)
    warnings = client.call(client.environments.GetEnvironment, request).warnings
    assert any("no route in use" in warning for warning in warnings)


def test_no_such_account_is_told(stack: Stack):
    client = stack.client
    for call, request in (
        (client.provider_accounts.PauseProviderAccount, pb.PauseProviderAccountRequest(id="none")),
        (client.provider_accounts.ResumeProviderAccount, pb.ResumeProviderAccountRequest(id="none")),
    ):
        with pytest.raises(RpcFailed, match="no provider account"):
            client.call(call, request)


def test_people_can_check_that_events_arrive(stack: Stack):
    tenant = stack.tenant("postmark")
    row = get(tenant, "postmark")
    assert not row.HasField("last_event_time")
    assert not row.HasField("last_rejected_event")
    assert "none came yet" in flute(stack, "provider-account", "show", row.id)
    stack.listen(tenant, "postmark")
    refused = requests.post(stack.web_address + row.webhook_path, json={"RecordType": "Delivery"}, timeout=60)
    assert refused.status_code == 401
    row = get(tenant, "postmark")
    assert not row.HasField("last_event_time")
    assert "password" in row.last_rejected_event.reason
    first = row.last_rejected_event.time.ToDatetime(UTC)
    assert datetime.now(UTC) - first < timedelta(minutes=1)
    requests.post(stack.web_address + row.webhook_path, json={}, timeout=60)
    assert get(tenant, "postmark").last_rejected_event.time.ToDatetime(UTC) == first  # at most once a minute
    tenant.wait(tenant.send(), "delivered")
    row = get(tenant, "postmark")
    assert datetime.now(UTC) - row.last_event_time.ToDatetime(UTC) < timedelta(minutes=1)
    told = flute(stack, "provider-account", "show", row.id)
    assert "events: the last came at" in told
    assert "one was refused at" in told


def test_the_commands_pause_and_resume(stack: Stack):
    tenant = stack.tenant("postmark")
    which = tenant.provider_accounts["postmark"]
    assert "paused provider account postmark" in flute(stack, "provider-account", "pause", which)
    assert "paused since" in flute(stack, "provider-account", "list", "--account", tenant.account_id)
    assert f"flute provider-account resume {which}" in flute(stack, "provider-account", "show", which)
    resumed = flute(stack, "provider-account", "resume", which)
    assert "resumed provider account postmark: not tried yet" in resumed
