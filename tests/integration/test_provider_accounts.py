"""What is told of provider accounts and of the kinds of provider, for those who set them up."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flute.v1 import environment_service_pb2, route_service_pb2
from flute.v1 import provider_account_service_pb2 as pb
from google.protobuf.field_mask_pb2 import FieldMask
from sqlalchemy import event

from flute_server.admin import environments
from flute_server.domain.outcome import Outcome
from flute_server.local.client import RpcFailed
from flute_server.local.embedded import Services
from flute_server.models import Attempt, Breaker, Ledger, ProviderAccount, db
from flute_server.sending import account_states
from tests.integration.places import Place, fresh_app
from tests.stack import Stack, Tenant


def test_where_an_account_is_used_and_which_secrets_are_known(running_stack: Stack):
    stack, client = running_stack, running_stack.client
    tenant = stack.tenant("postmark")
    request = pb.ListProviderAccountsRequest(account_id=tenant.account_id)

    def told() -> pb.ProviderAccount:
        [row] = client.call(client.provider_accounts.ListProviderAccounts, request).provider_accounts
        one = pb.GetProviderAccountRequest(id=row.id)
        assert client.call(client.provider_accounts.GetProviderAccount, one) == row
        return row

    row = told()
    assert [(use.id, use.name, use.route_disabled) for use in row.environments] == [
        (tenant.environment_id, "Test", False)
    ]
    assert list(row.known_secrets) == ["server_token"]
    changed = pb.ProviderAccount(id=row.id, credentials={"webhook_password": "a-webhook-password"})
    update = pb.UpdateProviderAccountRequest(provider_account=changed)
    client.call(client.provider_accounts.UpdateProviderAccount, update)
    routes = route_service_pb2.ListRoutesRequest(environment_id=tenant.environment_id)
    [route] = client.call(client.routes.ListRoutes, routes).routes
    client.call(client.routes.DeleteRoute, route_service_pb2.DeleteRouteRequest(id=route.id))
    row = told()
    assert list(row.known_secrets) == ["server_token", "webhook_password"]
    assert "a-webhook-password" not in str(row)
    assert not row.environments


def test_each_kind_says_what_it_is_and_what_only_its_webhook_needs(running_stack: Stack):
    client = running_stack.client
    told = client.call(client.provider_accounts.ListProviders, pb.ListProvidersRequest()).providers
    kinds = {kind.slug: kind for kind in told}
    assert all(kind.about for kind in told)
    assert "nobody" in kinds["simulator"].about
    fields = {field.name: field.webhook for field in kinds["postmark"].fields}
    assert fields["webhook_password"]
    assert not fields["server_token"]


def updated(stack: Stack, id_: str, *paths: str, name: str = "", **credentials: str) -> pb.ProviderAccount:
    wanted = pb.ProviderAccount(id=id_, name=name, credentials=credentials)
    mask = FieldMask(paths=paths) if paths else None
    request = pb.UpdateProviderAccountRequest(provider_account=wanted, update_mask=mask)
    return stack.client.call(stack.client.provider_accounts.UpdateProviderAccount, request)


def seen(tenant: Tenant, slug: str) -> pb.ProviderAccount:
    client = tenant.stack.client
    request = pb.GetProviderAccountRequest(id=tenant.provider_accounts[slug])
    return client.call(client.provider_accounts.GetProviderAccount, request)


def verify(tenant: Tenant, slug: str) -> pb.VerifyProviderAccountResponse:
    client = tenant.stack.client
    request = pb.VerifyProviderAccountRequest(id=tenant.provider_accounts[slug])
    return client.call(client.provider_accounts.VerifyProviderAccount, request)


def in_the_list_of_environments(tenant: Tenant) -> int:
    client = tenant.stack.client
    request = environment_service_pb2.ListEnvironmentsRequest(account_id=tenant.account_id)
    [summary] = client.call(client.environments.ListEnvironments, request).summaries
    return summary.routes[0].provider_account_state


def test_the_last_check_is_kept_and_mail_decides_over_it(stack: Stack):
    tenant = stack.tenant("postmark")
    new = seen(tenant, "postmark")
    assert new.state == pb.PROVIDER_ACCOUNT_STATE_NOT_TRIED
    assert not new.HasField("last_check")

    right = stack.credentials("postmark")["server_token"]
    updated(stack, new.id, server_token="00000000-wrong")
    told = verify(tenant, "postmark")
    refused = seen(tenant, "postmark")
    assert refused.state == pb.PROVIDER_ACCOUNT_STATE_CREDENTIALS_REFUSED
    assert in_the_list_of_environments(tenant) == refused.state
    assert (refused.last_check.ok, refused.last_check.refused) == (False, True)
    assert (refused.last_check.text, refused.last_check.advice) == (told.text, told.advice)
    assert "00000000-wrong" not in str(refused)
    # The breaker decides alone: it is closed.
    assert refused.breaker_state == pb.BREAKER_STATE_CLOSED

    assert not updated(stack, new.id, server_token=right).HasField("last_check")
    stack.sandbox.set_mode("postmark", "down")
    verify(tenant, "postmark")
    unknown = seen(tenant, "postmark")
    assert unknown.state == pb.PROVIDER_ACCOUNT_STATE_CHECK_FAILED
    assert not unknown.last_check.refused
    # What only proves its events leaves the check as it is.
    assert updated(stack, new.id, webhook_password="a-webhook-password").last_check == unknown.last_check

    stack.sandbox.set_mode("postmark", "ok")
    tenant.wait(tenant.send(), "sent")
    taken = seen(tenant, "postmark")
    assert taken.state == pb.PROVIDER_ACCOUNT_STATE_HEALTHY
    assert not taken.last_check.ok
    verify(tenant, "postmark")
    assert seen(tenant, "postmark").last_check.ok


def test_optional_credentials_can_be_removed_and_required_ones_cannot(running_stack: Stack):
    stack, tenant = running_stack, running_stack.tenant("postmark")
    id_ = tenant.provider_accounts["postmark"]
    set_ = updated(stack, id_, webhook_password="a-webhook-password", webhook_username="us")
    assert list(set_.known_secrets) == ["server_token", "webhook_password"]
    # Without a mask, what is empty stays.
    assert updated(stack, id_, webhook_password="") == set_
    gone = updated(
        stack, id_, "credentials.webhook_password", "name", name="Mine", webhook_username="ignored"
    )
    assert list(gone.known_secrets) == ["server_token"]
    assert (gone.name, gone.credentials["webhook_username"]) == ("Mine", "us")
    # What has a default gets that again.
    assert updated(stack, id_, "credentials.webhook_username").credentials["webhook_username"] == "flute"
    for path, words in (
        (
            "credentials.server_token",
            "provider_account.credentials.server_token: Postmark needs server_token",
        ),
        ("credentials.colour", "provider_account.credentials.colour: Postmark has no field colour"),
        ("credentials", "update_mask: has to name what to change"),
        ("name", "provider_account.name: "),
    ):
        with pytest.raises(RpcFailed, match=words):
            updated(stack, id_, path)
    assert seen(tenant, "postmark") == updated(stack, id_, "credentials.server_token", **stack_token(stack))


def stack_token(stack: Stack) -> dict[str, str]:
    return {"server_token": stack.credentials("postmark")["server_token"]}


@pytest.fixture(scope="module")
def module_app(services: Services) -> Iterator[Flask]:
    with fresh_app(services, "provider_accounts_test") as app:
        yield app


@pytest.fixture
def place(module_app: Flask) -> Iterator[Place]:
    with module_app.app_context():
        yield Place.create(3)


NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def attempt(place: Place, number: int, ago: timedelta, outcome: Outcome, *, simulated: bool = False) -> None:
    """One call to an account, with one recipient."""
    place.mail("ada@example.com", NOW, age=ago)
    made = db.session.query(Attempt).order_by(Attempt.start_time.desc(), Attempt.id).all()
    row = next(
        one for one in made if one.start_time == NOW - ago and one.provider_account_id == place.accounts[0]
    )
    row.provider_account_id, row.simulated = place.accounts[number], simulated
    db.session.query(Ledger).filter_by(attempt_id=row.id).update({"outcome": outcome})
    db.session.commit()


def states(place: Place) -> list[str]:
    rows = [db.session.get_one(ProviderAccount, id_) for id_ in place.accounts]
    standings = account_states.read(rows)
    return [standings[row.id].state for row in rows]


def test_only_mail_that_was_taken_since_the_check_decides(place: Place):
    for number in range(3):
        row = db.session.get_one(ProviderAccount, place.accounts[number])
        row.check_time, row.check_refused = NOW - timedelta(hours=1), True
    db.session.commit()
    assert states(place) == ["credentials_refused"] * 3
    attempt(place, 0, timedelta(hours=2), Outcome.ACCEPTED)  # before
    attempt(place, 1, timedelta(minutes=3), Outcome.ACCEPTED, simulated=True)  # of a test key
    attempt(place, 2, timedelta(minutes=2), Outcome.NOT_SENT)
    assert states(place) == ["credentials_refused"] * 3
    attempt(place, 2, timedelta(minutes=1), Outcome.ACCEPTED)
    assert states(place) == ["credentials_refused", "credentials_refused", "healthy"]


@pytest.mark.parametrize(("ends_in", "state"), [(HOUR, "slowed_down"), (-HOUR, "healthy")])
def test_who_asked_for_a_pause_is_slowed_down_until_it_is_over(place: Place, ends_in: timedelta, state: str):
    row = db.session.get_one(ProviderAccount, place.accounts[0])
    row.check_time, row.check_ok = NOW, True
    breaker = Breaker(
        provider_account_id=row.id, domain="", state="closed", failures=0, opened=1, reason="429"
    )
    breaker.retry_at = datetime.now(UTC) + ends_in
    db.session.add(breaker)
    db.session.commit()
    assert states(place)[0] == state


def test_lists_ask_once_for_all(place: Place):
    db.session.add(
        Breaker(
            provider_account_id=place.accounts[1], domain="", state="open", failures=1, opened=1, reason="x"
        )
    )
    db.session.commit()
    asked: list[str] = []

    def note(*arguments: object) -> None:
        asked.append(str(arguments[2]))

    rows = [db.session.get_one(ProviderAccount, id_) for id_ in place.accounts]
    event.listen(db.engine, "before_cursor_execute", note)
    try:
        found = account_states.read(rows)
        remarks = environments.remarks([place.environment_id, empty := uuid.uuid4()])
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    assert [found[row.id].state for row in rows] == ["not_tried", "failing", "not_tried"]
    assert remarks[place.environment_id].warnings == []
    assert "no route in use" in remarks[empty].warnings[0]
    assert len(asked) == 3, asked
