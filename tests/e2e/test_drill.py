"""A failover drill in the running system, from the command line: its report against the sandbox's inbox."""

from __future__ import annotations

from collections import Counter
from typing import Any

import psycopg

from tests.integration.test_cli import Flute
from tests.integration.test_suppressions import audit
from tests.stack import Stack, Tenant, until

MAILS = 20


def started(flute: Flute, tenant: Tenant, *options: str) -> dict[str, Any]:
    made: dict[str, Any] = flute.json("drill", "start", tenant.provider_accounts["sendgrid"], *options)
    return made


def through(tenant: Tenant, ids: list[str]) -> Counter[str]:
    """How many of these mails came in through which provider."""
    inbox = tenant.stack.sandbox.inbox()
    return Counter(mail["provider"] for mail in inbox if mail["metadata"].get("flute_email") in ids)


def test_the_report_equals_what_came_in(stack: Stack) -> None:
    flute, tenant = Flute(stack), stack.tenant("sendgrid", "postmark", "sparkpost")
    drill = started(flute, tenant, "--share", "50", "--for", "10m")
    assert (drill["share"], drill["running"], drill["provider_account"]) == (50, True, "sendgrid")
    ids = [tenant.send() for _ in range(MAILS)]
    for id_ in ids:
        tenant.wait(id_, "sent")
    came_in = through(tenant, ids)
    moved = came_in["postmark"]
    assert came_in == {"sendgrid": MAILS - moved, "postmark": moved}
    assert 0 < moved < MAILS

    report = flute.json("drill", "show", drill["id"])["report"]
    assert int(report["recipients"]) == int(report["moved"]) == moved
    [destination] = report["destinations"]
    assert (destination["provider_account"], int(destination["recipients"])) == ("postmark", moved)
    assert int(report["duplicates"]) == 0
    assert report["moved_latency_s"]
    assert report["usual_latency_s"]
    text = flute("drill", "show", drill["id"]).output
    assert f"moved            {moved} (postmark {moved})" in text
    assert "50 of 100 mails passes over sendgrid" in text

    told = flute("drill", "end", drill["id"])
    assert "ended (UTC)" in told.output
    assert flute("drill", "end", drill["id"]).exit_code == 0  # as it was
    assert [row.action for row in audit(stack, tenant)][:2] == ["drill.end", "drill.create"]
    listed = flute("drill", "list", "--provider-account", tenant.provider_accounts["sendgrid"]).output
    assert "ended early, of 10m" in listed
    id_ = tenant.send()
    tenant.wait(id_, "sent")
    assert tenant.inbox(id_) == ["sendgrid"]


def test_a_lost_answer_at_the_standby_is_a_duplicate_in_the_report(stack: Stack) -> None:
    flute, tenant = Flute(stack), stack.tenant("sendgrid", "postmark", "sparkpost")
    stack.sandbox.set_mode("postmark", "drop_answer")
    drill = started(flute, tenant)
    id_ = tenant.send()
    tenant.wait(id_, "sent")
    # Told before, the mail would not go on to another provider.
    stack.listen(tenant, "postmark")
    stack.sandbox.send_event("postmark", "delivered", flute_email=id_)
    tenant.wait(id_, "delivered")

    def told() -> bool:
        return "duplicates       1" in flute("drill", "show", drill["id"]).output

    assert sorted(tenant.inbox(id_)) == ["postmark", "sparkpost"]
    until(told, "the duplicate is in the report")
    flute("drill", "end", drill["id"])


def test_what_nobody_could_take_over_is_refused_unless_forced(stack: Stack) -> None:
    flute, tenant = Flute(stack), stack.tenant("sendgrid")
    told = flute.refused("drill", "start", tenant.provider_accounts["sendgrid"])
    assert "nobody could take over the mail of Test (it has no other route)" in told
    drill = started(flute, tenant, "--force", "--environment", tenant.environment_id)
    assert drill["environment_id"] == tenant.environment_id
    id_ = tenant.send()
    until(lambda: "deferred" in str(tenant.get(id_)["timeline"]), "the mail waits")
    assert "failover drill until" in str(tenant.get(id_)["timeline"])
    assert "still waiting    1" in flute("drill", "show", drill["id"]).output
    # Its end comes, and nobody does anything.
    with psycopg.connect(stack.services.database_url, autocommit=True) as database:
        database.execute("UPDATE drill SET end_time = now() WHERE id = %s", [drill["id"]])
        database.execute("UPDATE email SET due_time = now() WHERE id = %s AND due_time > now()", [id_])
    tenant.wait(id_, "sent")
    assert "waited for it    1" in flute("drill", "show", drill["id"]).output
