"""Figures of an environment, from the mail to the answer: over gRPC, and by the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from flute.v1 import statistics_service_pb2 as pb

from flute_server.cli import main
from flute_server.local.client import RpcFailed
from tests.stack import Stack, Tenant, until

TAG = pb.STATISTICS_GROUP_TAG
DOMAIN = pb.STATISTICS_GROUP_DOMAIN
PROVIDER_ACCOUNT = pb.STATISTICS_GROUP_PROVIDER_ACCOUNT
TOTAL = pb.STATISTICS_INTERVAL_TOTAL


def ask(tenant: Tenant, **fields: Any) -> list[pb.StatisticsRow]:
    client = tenant.stack.client
    request = pb.GetStatisticsRequest(environment_id=tenant.environment_id, **fields)
    return list(client.call(client.statistics.GetStatistics, request).rows)


def by_group(tenant: Tenant, group_by: pb.StatisticsGroup.ValueType) -> dict[str, dict[str, int]]:
    return {row.group: dict(row.counts) for row in ask(tenant, interval=TOTAL, group_by=group_by)}


@pytest.fixture(scope="module")
def rescued(running_stack: Stack) -> Tenant:
    """A tenant whose mail to two recipients went out through its second provider."""
    running_stack.sandbox.reset()
    running_stack.sandbox.set_mode("sendgrid", "down")
    tenant = running_stack.tenant("sendgrid", "postmark")
    to = [{"email": "ada@example.com"}, {"email": "bob@Example.org"}]
    tenant.wait(tenant.send(to=to, tags=["welcome", "eu"]), "sent")
    running_stack.sandbox.reset()

    def counted() -> bool:
        rows = ask(tenant, interval=TOTAL)
        return bool(rows) and rows[0].counts.get("sent") == 2

    until(counted, "the figures follow")
    return tenant


def test_figures_follow_mail_within_seconds_and_tell_how_long_it_took(rescued: Tenant):
    [row] = ask(rescued, interval=TOTAL)
    assert dict(row.counts) == {"accepted": 2, "emails": 1, "failover": 2, "sent": 2, "rescued": 2}
    assert row.time_to_send.count == 2
    assert timedelta(0) < row.time_to_send.p50.ToTimedelta() <= row.time_to_send.p99.ToTimedelta()
    assert row.time_to_send.p99.ToTimedelta() < timedelta(seconds=20)
    assert not row.HasField("time_to_deliver")


def test_figures_by_provider_account_tag_and_domain(rescued: Tenant):
    assert by_group(rescued, PROVIDER_ACCOUNT) == {
        "sendgrid": {"failover": 2},
        "postmark": {"sent": 2, "rescued": 2},
    }
    each = {"accepted": 1, "emails": 1, "failover": 1, "sent": 1, "rescued": 1}
    assert by_group(rescued, DOMAIN) == {"example.com": each, "example.org": each}
    assert set(by_group(rescued, TAG)) == {"welcome", "eu"}


def test_the_default_is_days_of_the_last_week(rescued: Tenant):
    [row] = ask(rescued)
    start = row.start_time.ToDatetime(UTC)
    assert start == start.replace(hour=0, minute=0, second=0, microsecond=0)
    assert timedelta(0) < datetime.now(UTC) - start < timedelta(days=1, minutes=1)
    earlier = pb.GetStatisticsRequest()
    earlier.end_time.FromDatetime(start - timedelta(days=2))
    assert ask(rescued, end_time=earlier.end_time) == []


def test_what_cannot_be_told_names_the_field(rescued: Tenant):
    long_ago = pb.GetStatisticsRequest()
    long_ago.start_time.FromDatetime(datetime.now(UTC) - timedelta(days=20))
    for fields, text in (
        ({"interval": 99}, "interval: "),
        ({"group_by": 99}, "group_by: "),
        ({"interval": pb.STATISTICS_INTERVAL_HOUR, "start_time": long_ago.start_time}, "interval: "),
        ({"end_time": long_ago.start_time, "start_time": {"seconds": 10**17}}, "start_time: "),
        ({"end_time": {"seconds": 10**17}}, "end_time: "),
    ):
        with pytest.raises(RpcFailed, match=text):
            ask(rescued, **fields)


def test_nobody_else_sees_them(rescued: Tenant, stack: Stack):
    other = stack.tenant("postmark")
    assert ask(other, interval=TOTAL) == []


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ((), "DAY (UTC)"),
        (("--by", "provider"), "postmark"),
        (("--by", "tag"), "welcome"),
        (("--by", "domain"), "example.org"),
    ],
)
def test_the_command_tells_them_in_a_table(rescued: Tenant, by: tuple[str, ...], words: str):
    stack = rescued.stack
    env = {"FLUTE_GRPC_ADDRESS": stack.grpc, "FLUTE_SERVICE_TOKEN": stack.service_token}
    done = CliRunner(env=env).invoke(main, ["statistics", "--environment", rescued.environment_id, *by])
    assert done.exit_code == 0, done.output
    assert words in done.stdout
    head, *lines = done.stdout.splitlines()
    assert "RESCUED" in head
    assert len(lines) == (2 if by else 1)
    assert any(" ms / " in line or " s / " in line for line in lines)
