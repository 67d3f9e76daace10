"""Pages of the dashboard before a scripted server: what a browser would add nothing to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from flute.v1.alert_service_pb2 import Alert, ListAlertsResponse
from flute.v1.annotations_pb2 import ROLE_VIEWER
from flute.v1.email_pb2 import (
    DELIVERY_STATE_SENT,
    OUTCOME_ACCEPTED,
    Attempt,
    AttemptResult,
    Email,
    EmailSummary,
    Recipient,
)
from flute.v1.environment_service_pb2 import Environment, EnvironmentSummary, ListEnvironmentsResponse
from flute.v1.member_service_pb2 import ListMembersResponse, Member
from flute.v1.person_service_pb2 import SIGN_UP_MODE_CLOSED, SignUpPolicy
from flute.v1.provider_account_service_pb2 import ListProviderAccountsResponse, ProviderAccount
from flute.v1.statistics_service_pb2 import (
    ATTENTION_KIND_ALERT,
    STATISTICS_GROUP_UNSPECIFIED,
    AccountOverview,
    AccountProgress,
    Attention,
    GetStatisticsResponse,
    OverviewFigures,
    OverviewPart,
    StatisticsRow,
)

from tests.integration.board import PAGE, TOKEN, answers, somebody
from tests.integration.web_script import EMAIL_ID, Script, web_before

ENVIRONMENTS = ListEnvironmentsResponse(
    environments=[
        Environment(id="e1", name="Transactional", domain="acme.example"),
        Environment(id="e2", name="Marketing", domain="news.acme.example"),
    ]
)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def inside(script: Script) -> Iterator[FlaskClient]:
    """Of somebody who is logged in."""
    with web_before(script) as client:
        script.answer = answers(ListEnvironmentsRequest=ENVIRONMENTS)
        with client.session_transaction() as session:
            session["token"] = TOKEN
        yield client


@pytest.mark.parametrize(
    ("address", "role"),
    [
        ("/suppressions/import", "developer"),
        ("/webhooks/new", "developer"),
        ("/environments/new", "admin"),
        ("/environments/e1/keys/new", "developer"),
        ("/environments/e1/keys/k/rotate", "developer"),
        (f"/emails/{EMAIL_ID}/reschedule", "developer"),
    ],
)
def test_a_form_is_not_shown_to_whom_it_is_of_no_use(
    inside: FlaskClient, script: Script, address: str, role: str
):
    viewer = somebody()
    viewer.role = ROLE_VIEWER
    script.answer = answers(GetMeRequest=viewer, ListEnvironmentsRequest=ENVIRONMENTS)
    answer = inside.get(address, headers=PAGE)
    assert answer.status_code == 403
    assert f"This takes the role {role}; ask an owner or admin" in answer.text
    assert set(script.calls) == {"GetMe"}


def test_the_environment_that_was_looked_at_last_is_the_one_that_is_shown(
    inside: FlaskClient, script: Script
):
    assert "Every mail that Transactional accepted" in inside.get("/emails").text
    inside.get("/webhooks?environment=e2")
    assert "Every mail that Marketing accepted" in inside.get("/emails").text
    assert inside.get("/emails?environment=gone").status_code == 404
    script.answer = answers(
        ListEnvironmentsRequest=ListEnvironmentsResponse(environments=ENVIRONMENTS.environments[:1])
    )
    assert "Every mail that Transactional accepted" in inside.get("/emails").text


def test_an_alert_about_a_domain_leads_to_the_checks_of_that_domain(inside: FlaskClient, script: Script):
    item = Attention(kind=ATTENTION_KIND_ALERT, subject_id="a1", text="SPF fails", environment_id="e2")
    alert = Alert(id="a1", kind="sender_domain", subject="news.acme.example")
    script.answer = answers(
        GetAccountOverviewRequest=AccountOverview(
            attention=[item], total=OverviewFigures(delivered=1), environments=[OverviewPart(id="e2")]
        ),
        ListAlertsRequest=ListAlertsResponse(alerts=[alert]),
    )
    assert 'href="/environments/e2/domain"' in inside.get("/overview").text


@pytest.mark.parametrize(("mail", "said"), [(True, False), (False, True)])
def test_not_confirmed_is_no_fault_where_nobody_can_confirm(
    inside: FlaskClient, script: Script, mail: bool, said: bool
):
    script.answer = answers(
        ListMembersRequest=ListMembersResponse(members=[Member(user_id="u2", email="bob@acme.example")]),
        GetSignUpPolicyRequest=SignUpPolicy(mode=SIGN_UP_MODE_CLOSED, mail_configured=mail),
    )
    shown = inside.get("/team").text
    assert ('class="pill neutral">Not confirmed' in shown) is said
    assert ("Nobody can confirm an address" in shown) is said


def test_the_team_says_before_that_an_invitation_takes_a_login(inside: FlaskClient, script: Script):
    said = "Only who has a login can join"
    assert said not in inside.get("/team").text
    script.answer = answers(GetSignUpPolicyRequest=SignUpPolicy(mode=SIGN_UP_MODE_CLOSED))
    assert said in inside.get("/team").text


def test_ones_own_role_alone_is_asked_for_twice(inside: FlaskClient, script: Script):
    for user_id, asked in (("u", True), ("u2", False)):  # the first is who is logged in
        members = ListMembersResponse(members=[Member(user_id=user_id, email="ada@acme.example")])
        script.answer = answers(ListMembersRequest=members)
        shown = inside.get("/team").text
        assert ("Change your own role?" in shown) is asked
        assert (re.search("<noscript>.*required.*</noscript>", shown, re.DOTALL) is not None) is asked


def test_graphs_of_statistics_are_told_apart_like_their_table(inside: FlaskClient, script: Script):
    day = int(datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp())
    usual = answers(ListEnvironmentsRequest=ENVIRONMENTS)

    def answer(request: Any, context: Any) -> Any:
        if type(request).__name__ != "GetStatisticsRequest":
            return usual(request, context)
        names = [""] if request.group_by == STATISTICS_GROUP_UNSPECIFIED else ["SendGrid", "Postmark"]
        rows = [StatisticsRow(group=name, counts={"sent": 3, "delivered": 2}) for name in names]
        for row in rows:
            row.start_time.seconds = day
        return GetStatisticsResponse(rows=rows)

    script.answer = answer
    grouped = inside.get("/statistics?group=provider").text
    assert "Delivered by provider" in grouped
    assert "Bounced by provider" not in grouped
    assert '"name": "SendGrid"' in grouped
    whole = inside.get("/statistics").text
    assert "Outcomes" in whole
    assert f'<time datetime="{datetime.fromtimestamp(day, UTC):%Y-%m-%d}" data-show=day' in whole


@pytest.mark.parametrize(
    ("come", "shown"),
    [
        (AccountProgress(last_email=EmailSummary(id=EMAIL_ID), delivered=True), False),
        (AccountProgress(last_email=EmailSummary(id=EMAIL_ID), handed_over=True), False),
        (AccountProgress(last_email=EmailSummary(id=EMAIL_ID)), True),
    ],
)
def test_the_guide_stays_away_after_a_quiet_day(
    inside: FlaskClient, script: Script, come: AccountProgress, shown: bool
):
    both = ListEnvironmentsResponse(
        environments=ENVIRONMENTS.environments,
        # The older one is hardly used.
        summaries=[EnvironmentSummary(environment_id="e1"), EnvironmentSummary(key_count=1)],
    )
    script.answer = answers(ListEnvironmentsRequest=both, GetAccountProgressRequest=come)
    assert ("Go on where you were" in inside.get("/overview").text) is shown
    assert script.calls.count("GetAccountProgress") == 1
    assert len(script.calls) <= 5


@pytest.mark.parametrize(
    ("webhook_path", "test", "told"),
    [
        ("/v1/webhooks/postmark/p1", False, 'href="/providers/p1/events"'),
        ("", False, "Own took your first mail"),
        ("", True, "The provider took it"),  # its events are played
    ],
)
def test_what_the_guide_says_of_a_mail_that_was_taken(
    inside: FlaskClient, script: Script, webhook_path: str, test: bool, told: str
):
    taken = Attempt(provider_account="Own", results=[AttemptResult(outcome=OUTCOME_ACCEPTED)])
    sent = Email(id=EMAIL_ID, state=DELIVERY_STATE_SENT, attempts=[taken], test=test)
    sent.recipients.append(Recipient(state=DELIVERY_STATE_SENT))
    account = ProviderAccount(id="p1", name="Own", webhook_path=webhook_path)
    script.answer = answers(
        GetEmailRequest=sent,
        ListProviderAccountsRequest=ListProviderAccountsResponse(provider_accounts=[account]),
    )
    page = inside.get(f"/start/mail/{EMAIL_ID}").text
    assert told in page
    assert ("hx-get" in page) is bool(webhook_path or test)
