"""What the pages of emails make of the server's answers, without a server."""

from __future__ import annotations

import csv
from datetime import UTC, datetime

import pytest
from flute.v1 import email_pb2 as pb
from flute.v1.email_service_pb2 import ListEmailsRequest, ListEmailsResponse, Verdict

from web.dashboard.pages import emails_export
from web.dashboard.pages.email_filters import Filters
from web.dashboard.pages.email_timeline import timeline


def summary(subject: str) -> pb.EmailSummary:
    to = pb.Recipient(email="ada@example.com", kind=pb.RECIPIENT_KIND_TO)
    return pb.EmailSummary(id="1", state=pb.DELIVERY_STATE_SENT, subject=subject, recipients=[to])


def exported(*subjects: str) -> list[list[str]]:
    told = ListEmailsResponse(emails=[summary(subject) for subject in subjects])
    return list(csv.reader(emails_export._lines(ListEmailsRequest(), told)))


def test_an_export_that_is_cut_off_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(emails_export, "MOST", 2)
    assert len(exported("a", "b")) == 3
    *lines, last = exported("a", "b", "c")
    assert len(lines) == 3
    assert last == ["Only the newest 2 mails are in this file. Narrow the filters for the others."]


@pytest.mark.parametrize("subject", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1"])
def test_no_cell_is_a_formula(subject: str):
    assert exported(subject)[1][8] == f"'{subject}"


@pytest.mark.parametrize("subject", ["Hello", "a=b", "it's", ""])
def test_other_cells_are_as_they_were(subject: str):
    assert exported(subject)[1][8] == subject


def test_a_search_is_for_what_it_looks_like():
    def asked(text: str) -> ListEmailsRequest:
        return Filters.of({"q": text}, "env").request()

    assert asked("ada@example.com").recipient == "ada@example.com"
    assert asked("your receipt").subject == "your receipt"
    assert asked("mail to ada@example.com").subject == "mail to ada@example.com"
    id_ = "71fea4e9-e980-4eca-acd2-4e5a7a9684e2"
    assert Filters.of({"q": id_.upper()}, "env").email_id == id_


def test_wrong_filters_are_told_at_their_fields():
    filters = Filters.of({"status": "lost", "metadata": "order", "from": "yesterday"}, "env")
    filters.request()
    assert set(filters.form.errors) == {"status", "metadata", "from"}


def test_a_time_with_a_zone_is_that_moment_and_one_without_is_in_utc():
    filters = Filters.of({"from": "2026-11-30T17:00+02:00", "to": "2026-11-30T17:00"}, "env")
    asked = filters.request()
    assert asked.start_time.ToDatetime(UTC) == datetime(2026, 11, 30, 15, tzinfo=UTC)
    assert asked.end_time.ToDatetime(UTC) == datetime(2026, 11, 30, 17, tzinfo=UTC)


def test_a_period_does_not_move_from_page_to_page():
    given = {"period": "24h", "start": "2026-11-30T12:00:00+00:00"}
    start = Filters.of(given, "env").request().start_time
    assert start.ToDatetime(UTC) == datetime(2026, 11, 30, 12, tzinfo=UTC)


def test_what_happened_to_several_at_once_is_one_line():
    sent_to = [f"{number}@example.com" for number in range(5)]
    refusal = "no [cause: recipient, for x (rule y)]; the end"
    events = [
        pb.Event(type="accepted", text="accepted and stored", id="a"),
        *(pb.Event(type="sent", text="p took it", recipient=address, id=address) for address in sent_to),
        pb.Event(type="bounced", text=refusal, recipient=sent_to[0], id="b"),
    ]
    people = [pb.Recipient(email=address) for address in sent_to]
    verdict = Verdict(event_id="b", cause="recipient", rule="y", reason="X.", confidence_percent=90)
    accepted, sent, bounced = timeline(pb.Email(events=events, recipients=people), [verdict])
    assert accepted.whom == ""
    assert sent.whom == "0@example.com, 1@example.com, 2@example.com and 2 more"
    assert bounced.text == "No; the end."
    assert bounced.judgement
    assert bounced.judgement.title == "The recipient's cause, 90 % sure"


def test_an_event_of_a_newer_server_is_shown_all_the_same():
    [moment] = timeline(pb.Email(events=[pb.Event(type="teleported", text="gone")]), [])
    assert (moment.title, moment.text) == ("Teleported", "Gone.")
