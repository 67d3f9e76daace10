"""What is told of provider accounts and of the kinds of provider, for those who set them up."""

from __future__ import annotations

from flute.v1 import provider_account_service_pb2 as pb
from flute.v1 import route_service_pb2

from tests.stack import Stack


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
