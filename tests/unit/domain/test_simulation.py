"""The parts that addresses of the simulator play."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flute_server.domain.event import ProviderEventKind as Kind
from flute_server.domain.outcome import ErrorKind
from flute_server.domain.simulation import DOMAIN, NAMES, fault, part
from flute_server.domain.verdict import Action, Cause, classify


def kinds(email: str, attempts: int = 0) -> list[Kind]:
    return [sequel.kind for sequel in part(email, attempts).sequels]


@pytest.mark.parametrize(
    ("name", "first", "later"),
    [
        ("delivered", [Kind.DELIVERED], [Kind.DELIVERED]),
        ("bounced", [Kind.BOUNCED], [Kind.BOUNCED]),
        ("deferred", [Kind.DEFERRED, Kind.DELIVERED], [Kind.DEFERRED, Kind.DELIVERED]),
        ("complained", [Kind.DELIVERED, Kind.COMPLAINED], [Kind.DELIVERED, Kind.COMPLAINED]),
        ("blocked", [Kind.BOUNCED], [Kind.DELIVERED]),
        ("unavailable", [], [Kind.DELIVERED]),
        ("refused", [], []),
        ("suppressed", [], []),
        ("whoever", [Kind.DELIVERED], [Kind.DELIVERED]),
    ],
)
def test_each_part_is_played_whatever_the_case_and_the_sub_address(
    name: str, first: list[Kind], later: list[Kind]
) -> None:
    for email in (f"{name}@{DOMAIN}", f"{name.upper()}+order17@{DOMAIN.upper()}", f"{name}+a+b@{DOMAIN}"):
        assert kinds(email) == first
        assert kinds(email, attempts=1) == later


@pytest.mark.parametrize("name", NAMES)
def test_elsewhere_everybody_is_delivered_to(name: str) -> None:
    assert kinds(f"{name}@example.com") == [Kind.DELIVERED]
    assert part(f"{name}@example.com", 0).refusal is None


@pytest.mark.parametrize(
    ("name", "cause", "action"),
    [("bounced", Cause.RECIPIENT, Action.SUPPRESS), ("blocked", Cause.PROVIDER, Action.FAILOVER)],
)
def test_the_classifier_finds_the_cause_that_a_part_plays(name: str, cause: Cause, action: Action) -> None:
    diagnostic = part(f"{name}@{DOMAIN}", 0).sequels[0].diagnostic
    verdict = classify(replace(diagnostic, destination=DOMAIN))
    assert (verdict.cause, verdict.action) == (cause, action)


def test_refusals_are_of_the_recipient_or_of_the_provider() -> None:
    refusals = {name: part(f"{name}@{DOMAIN}", 0).refusal for name in NAMES}
    assert {name: kind for name, kind in refusals.items() if kind} == {
        "refused": ErrorKind.RECIPIENT,
        "suppressed": ErrorKind.SUPPRESSED,
        "unavailable": ErrorKind.UNREACHABLE,
    }


@pytest.mark.parametrize("name", NAMES)
def test_only_test_mail_can_ask_for_a_part(name: str) -> None:
    for email in (f"{name}@{DOMAIN}", f"{name.upper()}+order17@{DOMAIN.upper()}"):
        assert fault(email, test=True) == ""
        assert "use a key of the kind test" in fault(email, test=False)


def test_a_part_that_nobody_plays_is_refused_with_those_that_are_played() -> None:
    told = fault(f"bounce@{DOMAIN}", test=True)
    assert all(name in told for name in NAMES)
    for email in ("whoever@example.com", f"bounce@sub.{DOMAIN}", f"bounce@{DOMAIN}.example.com"):
        assert fault(email, test=True) == fault(email, test=False) == ""
