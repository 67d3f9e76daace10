"""Events as the real providers send them: late, twice, in any order, again until somebody takes them."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from flute_server.sandbox import Sandbox, SandboxError
from flute_server.sandbox.examples import body, send
from flute_server.sandbox.receiver import Post, Receiver
from tests.stack import until


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as started:
        yield started


def deliver(sandbox: Sandbox, provider: str, *to: str) -> None:
    send(provider, sandbox.address(provider), body(provider, to or ("ada@example.com",)))


def events(posts: list[Post]) -> list[dict[str, Any]]:
    """Everything that SendGrid posted."""
    return [event for post in posts for event in json.loads(post.body)]


def kinds(posts: list[Post]) -> list[str]:
    return [event["event"] for event in events(posts)]


def test_sends_each_event_twice_in_different_batches(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("sendgrid", receiver.url)
    sandbox.set_mode("sendgrid", "ok", duplicate_events=True)
    deliver(sandbox, "sendgrid")
    posts = receiver.wait(lambda posts: len(events(posts)) == 4)
    assert Counter(event["sg_event_id"] for event in events(posts)).most_common()[-1][1] == 2
    assert len(posts) > 1
    assert Counter(item["duplicate"] for item in sandbox.events()) == {True: 2, False: 2}


def test_mailgun_signs_a_duplicate_with_another_token(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("mailgun", receiver.url)
    sandbox.set_mode("mailgun", "ok", duplicate_events=True)
    deliver(sandbox, "mailgun")
    posted = [json.loads(post.body) for post in receiver.wait(lambda posts: len(posts) == 4)]
    assert len({data["event-data"]["id"] for data in posted}) == 2
    assert len({data["signature"]["token"] for data in posted}) == 4


def test_shuffled_events_come_in_any_order(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("sendgrid", receiver.url)
    sandbox.set_mode("sendgrid", "complain", shuffle_events=True)
    for number in range(12):
        deliver(sandbox, "sendgrid", f"u{number}@example.com")
    posts = receiver.wait(lambda posts: len(events(posts)) == 36)
    order: dict[str, list[str]] = {}
    for event in events(posts):
        order.setdefault(event["email"], []).append(event["event"])
    assert len({tuple(names) for names in order.values()}) > 1


@pytest.mark.parametrize("provider", ["sendgrid", "postmark", "sparkpost", "mailgun"])
def test_a_shuffled_event_can_overtake_the_answer_to_the_send(
    sandbox: Sandbox, receiver: Receiver, provider: str
) -> None:
    sandbox.set_webhook(provider, receiver.url)
    sandbox.set_mode(provider, "complain", seconds=0.5, shuffle_events=True)
    overtaken = []
    for number in range(4):
        to = f"u{number}@example.com"
        deliver(sandbox, provider, to)
        # No event comes before half a second, so an answer that came later has waited for one.
        overtaken.append(any(to.encode() in post.body for post in receiver.posts))
    assert {True, False} == set(overtaken)


def test_disorder_also_comes_outside_the_share(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("sendgrid", receiver.url)
    shown = sandbox.set_mode("sendgrid", "block", share=0, duplicate_events=True)
    assert shown["duplicate_events"] is True
    deliver(sandbox, "sendgrid")
    posts = receiver.wait(lambda posts: len(events(posts)) == 4)
    assert Counter(kinds(posts)) == {"processed": 2, "delivered": 2}


def test_late_events_come_after_the_seconds(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("sendgrid", receiver.url)
    sandbox.set_mode("sendgrid", "late", seconds=0.5)
    started = time.monotonic()
    deliver(sandbox, "sendgrid")
    receiver.wait(lambda posts: len(events(posts)) == 2)
    assert time.monotonic() - started >= 0.5


def test_silence_tells_nothing(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("sendgrid", receiver.url)
    sandbox.set_mode("sendgrid", "silent")
    deliver(sandbox, "sendgrid")
    assert sandbox.events() == []
    assert sandbox.inbox()[0]["outcomes"] == {"ada@example.com": "silent"}


def test_a_deferred_mail_is_delivered_later(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("sendgrid", receiver.url)
    sandbox.set_mode("sendgrid", "defer", seconds=0.3)
    deliver(sandbox, "sendgrid")
    posts = receiver.wait(lambda posts: len(events(posts)) == 3)
    assert kinds(posts) == ["processed", "deferred", "delivered"]
    assert events(posts)[2]["timestamp"] >= events(posts)[1]["timestamp"]


def test_tries_again_until_the_receiver_takes_it(sandbox: Sandbox) -> None:
    with Receiver(answers=[500, 302, 0]) as receiver:
        sandbox.set_webhook("postmark", receiver.url)
        deliver(sandbox, "postmark")
        posts = receiver.wait(lambda posts: len(posts) == 4)
        assert len({post.body for post in posts}) == 1
        (event,) = sandbox.wait_for_events(1)
    assert (event["tries"], event["status"], event["url"]) == (4, "200", receiver.url)


@pytest.mark.parametrize("provider", ["postmark", "sparkpost", "mailgun"])
def test_takes_nothing_but_200_for_an_answer(sandbox: Sandbox, provider: str) -> None:
    """The fact sheet: all but SendGrid want exactly that."""
    with Receiver(answers=[200, 204] if provider == "sparkpost" else [204]) as receiver:
        sandbox.set_webhook(provider, receiver.url)
        deliver(sandbox, provider)
        taken = sandbox.wait_for_events(1 if provider == "postmark" else 2)
        assert max(event["tries"] for event in taken) == 2


def test_sendgrid_takes_any_2xx(sandbox: Sandbox) -> None:
    with Receiver(answers=[204]) as receiver:
        sandbox.set_webhook("sendgrid", receiver.url)
        deliver(sandbox, "sendgrid")
        assert {event["tries"] for event in sandbox.wait_for_events(2)} == {1}


@pytest.mark.parametrize(("provider", "status"), [("postmark", 403), ("mailgun", 406)])
def test_gives_up_where_the_real_one_does(sandbox: Sandbox, provider: str, status: int) -> None:
    with Receiver(answers=[status] * 2) as receiver:
        sandbox.set_webhook(provider, receiver.url)
        deliver(sandbox, provider)
        given_up = {"state": "given up", "status": str(status), "tries": 1}
        sandbox.wait_for_events(1, state="given up")
        assert all(given_up.items() <= event.items() for event in sandbox.events(state="given up"))


@pytest.mark.parametrize("provider", ["sendgrid", "postmark", "sparkpost", "mailgun"])
def test_loses_nothing_when_the_receiver_dies_and_comes_back(
    sandbox: Sandbox, receiver: Receiver, provider: str
) -> None:
    sandbox.set_webhook(provider, receiver.url)
    for number in range(40):
        if number == 10:
            receiver.down()
        deliver(sandbox, provider, f"u{number}@example.com")
    until(
        lambda: any(event["tries"] for event in sandbox.events(state="pending")), "a post that found nobody"
    )
    receiver.up()
    taken = sandbox.wait_for_events(40, kind="delivered", timeout_s=30)
    assert len({event["recipient"] for event in taken}) == 40
    assert max(event["tries"] for event in taken) > 1


def test_a_repeated_batch_has_the_same_number_at_sparkpost(sandbox: Sandbox) -> None:
    with Receiver(answers=[200, 500]) as receiver:
        sandbox.set_webhook("sparkpost", receiver.url)
        deliver(sandbox, "sparkpost")
        _, first, again = receiver.wait(lambda posts: len(posts) == 3)
        assert first.headers["X-MessageSystems-Batch-ID"] == again.headers["X-MessageSystems-Batch-ID"]


def test_sparkpost_tries_the_address_when_it_is_set(sandbox: Sandbox) -> None:
    with Receiver(answers=[401]) as receiver, pytest.raises(SandboxError, match="answered with 401"):
        sandbox.set_webhook("sparkpost", receiver.url)
    assert sandbox.webhook("sparkpost") == {"url": None}


def test_mails_of_one_moment_share_batches(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.set_webhook("sendgrid", receiver.url)
    call = body("sendgrid")
    call["personalizations"] *= 200
    send("sendgrid", sandbox.address("sendgrid"), call)
    posts = receiver.wait(lambda posts: len(events(posts)) == 400)
    assert len(posts) <= 8
    assert max(len(json.loads(post.body)) for post in posts) <= 100
