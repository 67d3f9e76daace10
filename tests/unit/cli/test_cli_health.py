"""How a provider account fares, in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flute.v1 import provider_account_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from flute_server.cli import health

ID = "a237943d-e1ff-4d82-8ef0-5ce0b6ae31f5"


def at(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


SOON = at(datetime.now(UTC) + timedelta(hours=1))
LONG_AGO = at(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def account(**fields: object) -> pb.ProviderAccount:
    well = {"id": ID, "provider": "postmark", "name": "Mine", "breaker_state": pb.BREAKER_STATE_CLOSED}
    return pb.ProviderAccount(**{**well, **fields})  # type: ignore[arg-type]  # typed by name above


def test_well_is_one_word():
    assert health.in_a_line(account()) == "ok"
    assert health.in_a_line(account(retry_time=LONG_AGO)) == "ok"


def test_what_is_passed_over_says_why_and_when_it_is_tried_again():
    ill = account(breaker_state=pb.BREAKER_STATE_OPEN, breaker_reason="no answer", retry_time=LONG_AGO)
    assert health.in_a_line(ill) == "passed over: no answer; tried again at 2026-01-02 03:04:05 UTC"


def test_what_needs_a_person_says_so():
    ill = account(breaker_state=pb.BREAKER_STATE_OPEN, breaker_reason="auth: wrong key")
    assert health.in_a_line(ill) == "passed over: auth: wrong key; waits for a person"


def test_a_probe_under_way_is_told():
    ill = account(breaker_state=pb.BREAKER_STATE_HALF_OPEN, breaker_reason="no answer", retry_time=LONG_AGO)
    assert health.in_a_line(ill) == "passed over: no answer; one mail is trying it now"


def test_what_the_last_check_speaks_against_is_told():
    check = pb.CredentialsCheck(time=LONG_AGO, refused=True, text="401 no", advice="Copy it anew.")
    ill = account(state=pb.PROVIDER_ACCOUNT_STATE_CREDENTIALS_REFUSED, last_check=check)
    assert health.in_a_line(ill) == "credentials refused: 401 no"
    ill.state = pb.PROVIDER_ACCOUNT_STATE_CHECK_FAILED
    assert health.in_a_line(ill) == "check failed: 401 no"
    assert health.in_a_line(account(state=pb.PROVIDER_ACCOUNT_STATE_NOT_TRIED)) == "not tried yet"
    ill.paused = True
    assert health.in_a_line(ill).startswith("paused since ")


def test_one_that_asked_to_slow_down_is_not_called_ill():
    paused = account(breaker_reason="rate", retry_time=SOON)
    assert health.in_a_line(paused).startswith("slowed down: rate; tried again at ")


@pytest.mark.parametrize(("count", "words"), [(1, "1 receiving domain"), (2, "2 receiving domains")])
def test_failing_domains_are_counted_in_the_list(count: int, words: str):
    domains = [pb.DomainHealth(domain=f"{n}.example") for n in range(count)]
    assert health.in_a_line(account(domains=domains)) == f"ok; failing at {words}"


def test_show_tells_of_domains_webhook_and_bounces(capsys: pytest.CaptureFixture[str]):
    domain = pb.DomainHealth(
        domain="outlook.com",
        breaker_state=pb.BREAKER_STATE_OPEN,
        breaker_reason="5.7.1 blocked\x1b[2J",
        retry_time=LONG_AGO,
    )
    health.show(
        account(domains=[domain], webhook_path=f"/v1/webhooks/postmark/{ID}", webhook_help=["Do it."])
    )
    out = capsys.readouterr().out
    assert "outlook.com  5.7.1 blocked [2J  tried again at 2026-01-02 03:04:05 UTC" in out
    assert f"/v1/webhooks/postmark/{ID}\n  1. Do it.\n" in out
    assert "\x1b" not in out
    assert "reset" not in out


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("bounces.a.example", "the MX of bounces.a.example must lead to `flute bounces`"),
        ("", "set bounce_domain"),
    ],
)
def test_show_tells_where_bounces_go(domain: str, words: str, capsys: pytest.CaptureFixture[str]):
    health.show(account(provider="smtp", credentials={"bounce_domain": domain}))
    assert words in capsys.readouterr().out


def test_show_says_how_to_use_it_again(capsys: pytest.CaptureFixture[str]):
    health.show(account(breaker_state=pb.BREAKER_STATE_OPEN, breaker_reason="auth"))
    assert f"flute provider-account reset {ID}" in capsys.readouterr().out
