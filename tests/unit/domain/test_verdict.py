"""The verdict: whose fault a refusal is, told from words, codes and the provider's own classes."""

from __future__ import annotations

import json
import time

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from flute_server.cli.classify import classify as command
from flute_server.domain.verdict import Action, Cause, Diagnostic, Verdict, classify
from flute_server.domain.verdict.evidence import Stage, read
from flute_server.domain.verdict.provider_classes import PROVIDER_CLASSES
from flute_server.domain.verdict.rules import RULES

RESENDS = {Action.FAILOVER, Action.FAILOVER_IF_AUTHENTICATED}


def verdict(text: str, **known: str) -> Verdict:
    return classify(Diagnostic(text=text, **known))


# All texts here are invented; the addresses are from the documentation ranges.
PROVIDER = (
    "554 5.7.1 Client [192.0.2.9] is listed at rbl.mailwall.example",
    "550 5.7.25 [192.0.2.9] no PTR record for your mail server",
    "421 4.7.0 mx.example.net too many concurrent sessions from 192.0.2.9",
    "550 5.7.1 We couldn't take this: your network is on our block list (S3150)",
    "421 4.7.0 [TSS04] volume or complaints from 192.0.2.9 are unusual",
    "550 5.1.0 <news@example.org> sender rejected AUP#CDRBL",  # trap: a sender's code for an IP
    "550 5.1.1 Your host has sent more than 100 messages per hour, limit exceeded",  # trap: 5.1.1
    "550 5.7.1 poor reputation of the sending IP 192.0.2.9",
    "530 5.7.0 A STARTTLS command must come first",
    "535 5.7.8 your credentials are wrong: authentication failed",
    "554 Email address is not verified at this region",  # trap: the provider's own refusal
    "550 5.7.1 [RBL] Sender blocked: IP or domain",  # trap: the relay behind the provider
    "host mx.example.net[192.0.2.25] refused to talk to me: 554 Access denied",  # trap: stage
    "550 5.7.1 <bounce-7@email-bounces.amazonses.com>: Access denied, blocked here",  # trap
)
RECIPIENT = (
    "550 5.1.1 <ada@example.com>: User unknown",
    "550 sorry, there's no such user in this house",
    "552 5.2.2 Ada's mailbox is full",
    "552 Too much mail data",  # trap: 552 is also the code for large messages
    "550 5.2.1 That account has been suspended",
    "550 5.4.1 Recipient address rejected: Access denied",  # trap: Microsoft's recipient check
    "554 5.7.1 <ada@example.com>: Relay access denied",
    "554 5.4.14 Hop count exceeded, this looks like a loop",  # trap: looks like a network fault
    "450 4.2.1 The person you write to is receiving mail too quickly",  # trap: rate, other side
    "550 5.7.1 You don't have permission to post to this group",
    "550 Adresse du destinataire inconnue",
    "550 5.1.10 null MX, example.com takes no mail",
    "** Address not found ** The response was: 550 5.2.2 over quota",  # trap: reporter's guess
    "550-5.1.1 The address you wrote to 550 5.1.1 does not exist",  # trap: split over lines
    "550 unknown user 503 need RCPT command 554 no valid recipients",  # trap: echo noise
)
MESSAGE = (
    "552 5.3.4 Your message is too large for us",
    "554 5.6.0 virus found in the message",
    "550 5.7.1 This message was classified as spam",
    "550 refused: contains a blacklisted link",  # trap: "blacklisted" is not about an IP
    "550 we take no executable attachments",
    "550 5.7.1 [192.0.2.9] Messages without a valid Date: header are not accepted",  # trap: an IP
    "550 your mail was blocked by our spam filter, IP 192.0.2.9",  # trap: an IP
)
SENDER_DOMAIN = (
    "550 5.7.26 neither SPF nor DKIM passed for example.org",
    "550 5.7.1 refused because of the DMARC policy of example.org",
    "553 5.1.8 the domain of sender address news@example.org does not exist",  # trap: whose domain
    "550 example.org does not exist (in reply to MAIL FROM command)",  # trap: stage
    "550 5.7.1 your sending domain is listed in our reputation data",
)
TRANSIENT = (
    "450 4.2.0 greylisted, come back in five minutes",
    "451 4.7.1 blocked using grey.rbl.example, try later",  # trap: a greylist dressed as a block
    "connect to mx.example.net[192.0.2.25]:25: Connection timed out",
    "452 4.3.1 insufficient system storage",  # trap: not the mailbox
    "554 5.4.7 message expired (last transfail: 421 4.4.2 connection dropped)",
)
NOT_A_BOUNCE = (
    "This is an email abuse report for an email message received from 192.0.2.9",
    "I am out of the office until Monday",
    "250 2.0.0 Ok: queued as 4F2A",
)
UNKNOWN = ("554 Transaction failed", "550 5.7.1 Command rejected", "", "?")

CASES = [
    pytest.param(cause, text, id=text[:40] or "empty")
    for cause, texts in (
        (Cause.PROVIDER, PROVIDER),
        (Cause.RECIPIENT, RECIPIENT),
        (Cause.MESSAGE, MESSAGE),
        (Cause.SENDER_DOMAIN, SENDER_DOMAIN),
        (Cause.TRANSIENT, TRANSIENT),
        (Cause.NOT_A_BOUNCE, NOT_A_BOUNCE),
        (Cause.UNKNOWN, UNKNOWN),
    )
    for text in texts
]


@pytest.mark.parametrize(("cause", "text"), CASES)
def test_finds_whose_fault_it_is(cause: Cause, text: str):
    assert verdict(text).cause is cause


WRAPPERS = (
    "host mx.example.net[192.0.2.33] said: {}",
    "SMTP error from remote mail server after RCPT TO:<ada@example.com>: host mx.example [192.0.2.33]: {}",
    "192.0.2.33 does not like recipient. Remote host said: {} Giving up on 192.0.2.33.",
    "mx.example.net [192.0.2.33] did not like our RCPT TO:{}",
    "** Address not found ** The response was: {}",
    "ada@example.com Remote Server returned '550 5.0.350 Remote server returned an error -> {}'",
    "{0} {0}",
)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("text", [*RECIPIENT, *MESSAGE])
def test_takes_no_receivers_ip_for_the_senders(wrapper: str, text: str):
    found = verdict(wrapper.format(text))
    assert found.cause in (Cause.RECIPIENT, Cause.MESSAGE)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("text", [text for text in PROVIDER if not text.startswith("host ")])
def test_finds_the_providers_fault_in_any_wrapper(wrapper: str, text: str):
    assert verdict(wrapper.format(text)).cause is Cause.PROVIDER


@pytest.mark.parametrize("text", [*RECIPIENT, *MESSAGE])
def test_never_resends_what_recipient_or_message_caused(text: str):
    assert verdict(text).action not in RESENDS


@pytest.mark.parametrize(
    ("text", "action", "permanent"),
    [
        ("550 5.7.1 your IP is on our block list", Action.FAILOVER, True),
        ("421 4.7.0 rate limit for your IP", Action.RETRY, False),
        ("421 4.7.1 [TS03] 192.0.2.9 will be permanently deferred", Action.FAILOVER, True),
        ("550 5.7.1 too many invalid recipients from you", Action.STOP, True),
        ("550 5.1.1 user unknown", Action.SUPPRESS, True),
        ("450 4.1.1 user unknown, perhaps", Action.STOP, False),
        ("552 5.2.2 mailbox full", Action.STOP, True),
        ("552 message too large", Action.STOP, True),
        ("550 5.7.26 DMARC", Action.FAILOVER_IF_AUTHENTICATED, True),
        ("451 greylisted", Action.RETRY, False),
        ("450 hm", Action.RETRY, False),
        ("554 hm", Action.REVIEW, True),
        ("an email abuse report from a reader", Action.SUPPRESS, False),
        ("250 2.1.5 delivered", Action.NONE, False),
    ],
)
def test_says_what_to_do(text: str, action: Action, permanent: bool):
    found = verdict(text)
    assert (found.action, found.permanent) == (action, permanent)


class TestCodes:
    def test_decide_when_the_words_say_nothing(self):
        assert verdict("nope", status="5.1.1").cause is Cause.RECIPIENT
        assert verdict("nope", status="5.7.708").cause is Cause.PROVIDER
        assert verdict("nope", status="5.7.133").cause is Cause.RECIPIENT
        assert verdict("nope", reply="535").cause is Cause.PROVIDER

    def test_yield_to_clear_words(self):
        found = verdict("blocked using rbl.example", status="5.1.1", reply="550")
        assert found.cause is Cause.PROVIDER

    def test_of_a_security_decision_do_not_mean_the_mailbox(self):
        assert verdict("nope", status="5.7.1", reply="550").cause is Cause.UNKNOWN

    def test_are_read_from_the_text(self):
        evidence = read(Diagnostic(text="smtp; 550-5.7.25 no name\n550 5.7.25 for you"))
        assert (evidence.statuses, evidence.replies) == (("5.7.25",), ("550",))

    def test_inside_the_receivers_words_count_before_the_reporters(self):
        text = "host mx.example.net[192.0.2.1] refused to talk to me: 554 5.7.1 no"
        evidence = read(Diagnostic(text=text, status="4.0.0"))
        assert evidence.first_digit == "5"
        assert evidence.statuses == ("5.7.1", "4.0.0")

    @pytest.mark.parametrize(
        "text",
        [
            "blocked 5.1.1.10 here",
            "host [4.2.2.1] said no",
            "from 45.2.2.3:25",
            "5.4.3.2",
            "version 15.1.1",
            "mx 2a00:550:5:1::1",
        ],
    )
    def test_are_not_read_from_ip_addresses_or_versions(self, text: str):
        evidence = read(Diagnostic(text=text))
        assert (evidence.statuses, evidence.replies) == ((), ())


class TestReading:
    @pytest.mark.parametrize(
        ("text", "stage"),
        [
            ("host x said: 554 no (in reply to MAIL FROM command)", Stage.MAIL),
            ("SMTP error from remote mail server after RCPT TO:<a@b.example>: 550 no", Stage.RCPT),
            ("192.0.2.1 failed after I sent the message.", Stage.DATA),
            ("host x refused to talk to me: 421 no", Stage.CONNECT),
            ("550 no", Stage.UNKNOWN),
        ],
    )
    def test_finds_the_smtp_stage(self, text: str, stage: Stage):
        assert read(Diagnostic(text=text)).stage is stage

    def test_hides_addresses_hosts_and_links_but_keeps_telling_ones(self):
        text = "userunknown@spam.example https://x.example/blocked/ see https://www.spamhaus.org/query/ip/192.0.2.9"
        assert read(Diagnostic(text=text)).whole == "<addr> <url> see https://www.spamhaus.org/query/ip/<ip>"

    def test_knows_the_recipients_domain_from_the_senders(self):
        text = "example.com does not exist (in reply to end of DATA command)"
        assert verdict(text, destination="example.com").cause is Cause.RECIPIENT
        assert verdict(text, destination="example.net").cause is Cause.SENDER_DOMAIN

    def test_words_in_addresses_and_links_decide_nothing(self):
        text = "userunknown@spam.example https://x.example/blocked-by-rbl/virus"
        assert verdict(text).cause is Cause.UNKNOWN


class TestProviderClasses:
    @pytest.mark.parametrize(
        ("provider", "word", "detail", "cause"),
        [
            ("sendgrid", "Recipient List over Package Quota", "", Cause.PROVIDER),
            ("sendgrid", "Bounced Address", "", Cause.RECIPIENT),
            ("sendgrid", "blocked", "Reputation", Cause.PROVIDER),
            ("sendgrid", "blocked", " frequency or volume too high ", Cause.PROVIDER),
            ("sendgrid", "blocked", "Content", Cause.MESSAGE),
            ("postmark", "Blocked", "", Cause.PROVIDER),
            ("postmark", "HardBounce", "", Cause.RECIPIENT),
            ("postmark", "DMARCPolicy", "", Cause.SENDER_DOMAIN),
            ("postmark", "AutoResponder", "", Cause.NOT_A_BOUNCE),
            ("sparkpost", "51", "", Cause.PROVIDER),
            ("sparkpost", "52", "", Cause.MESSAGE),
            ("sparkpost", "10", "", Cause.RECIPIENT),
            ("mailgun", "espblock", "permanent", Cause.PROVIDER),
            ("mailgun", "suppress-bounce", "permanent", Cause.RECIPIENT),
            ("mailgun", "greylisted", "temporary", Cause.TRANSIENT),
        ],
    )
    def test_decide_without_a_text(self, provider: str, word: str, detail: str, cause: Cause):
        found = verdict("", provider=provider, provider_class=word, provider_detail=detail)
        assert found.cause is cause

    def test_of_suppression_beat_any_text(self):
        text = "550 blocked using rbl.example"
        found = verdict(text, provider="mailgun", provider_class="suppress-complaint")
        assert (found.cause, found.action) == (Cause.RECIPIENT, Action.SUPPRESS)

    def test_yield_to_clear_words_of_the_receiver(self):
        found = verdict("550 5.1.1 no such user", provider="sparkpost", provider_class="50")
        assert found.cause is Cause.RECIPIENT

    def test_know_mailguns_own_reply_codes(self):
        assert verdict("", provider="mailgun", reply="605").action is Action.SUPPRESS
        assert verdict("", provider="sendgrid", reply="605").cause is Cause.UNKNOWN

    def test_tell_a_deferral_from_an_end(self):
        known = {"provider": "mailgun", "provider_class": "espblock"}
        assert verdict("", **known, provider_detail="temporary").action is Action.RETRY
        assert verdict("", **known, provider_detail="permanent").action is Action.FAILOVER

    def test_too_vague_for_a_resend_are_left_to_a_person(self):
        assert verdict("", provider="sendgrid", provider_class="blocked").action is Action.REVIEW

    def test_keys_are_as_they_are_looked_up(self):
        assert all(key == key.strip().lower() for table in PROVIDER_CLASSES.values() for key in table)


class TestAnyInput:
    texts = st.text(max_size=300) | st.lists(
        st.sampled_from(
            [
                "550",
                "5.1.1",
                "4.7.0",
                "user unknown",
                "said:",
                "blocked",
                "<a@b.example>",
                "192.0.2.1",
                "-> ",
                "\n",
            ]
        ),
        max_size=30,
    ).map(" ".join)

    diagnostics = st.builds(
        Diagnostic,
        texts,
        texts,
        texts,
        texts,
        texts,
        st.sampled_from([*PROVIDER_CLASSES, "smtp"]),
        texts,
        texts,
    )

    @given(diagnostics)
    def test_gives_a_verdict_and_always_the_same(self, diagnostic: Diagnostic):
        found = classify(diagnostic)
        assert found == classify(diagnostic)
        assert 0 <= found.confidence <= 1
        assert found.reason.endswith(".")

    @given(texts, st.sampled_from(["5.7.1", "4.4.1", "5.1.1", ""]))
    def test_doubt_never_resends_at_once(self, text: str, status: str):
        found = verdict(text, status=status)
        assert found.action not in RESENDS or found.confidence >= 0.5

    @pytest.mark.parametrize(
        "piece",
        [
            "a",
            "a.",
            "1.",
            "550-",
            "a@",
            "from ",
            "not ",
            "0:",
            "said: ",
            "<ip> ",
            "http://",
            "\ufdfa",
            "unknown local ",
        ],
    )
    def test_hostile_length_costs_bounded_time(self, piece: str):
        started = time.process_time()
        verdict(piece * 200_000)
        assert time.process_time() - started < 3


class TestRules:
    def test_have_a_name_of_their_own_and_a_sentence_of_reason(self):
        assert len({rule.rule for rule in RULES}) == len(RULES)
        assert all(rule.reason.endswith(".") and rule.reason[0].isupper() for rule in RULES)

    def test_match_no_empty_text(self):
        assert [rule.rule for rule in RULES if rule.words.search("")] == []


class TestCommand:
    def run(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        result = CliRunner().invoke(command, arguments, input=stdin)
        return result.exit_code, result.stdout, result.stderr

    def test_explains_one_bounce(self):
        code, out, _ = self.run("550 nope", "--status", "5.1.1")
        assert code == 0
        assert "cause:       recipient" in out
        assert "action:      suppress" in out

    def test_answers_json_lines_with_as_many(self):
        lines = '{"text": "451 greylisted", "status": null, "id": 7}\n{"reply": "535"}\n'
        code, out, _ = self.run("--json", stdin=lines)
        assert code == 0
        assert [json.loads(line)["cause"] for line in out.splitlines()] == ["transient", "provider"]

    @pytest.mark.parametrize("bad", ["{", "[]", '{"text": 5}', ""])
    def test_keeps_answers_aligned_when_a_line_is_bad(self, bad: str):
        code, out, err = self.run("--json", stdin=f'{bad}\n{{"text": "550 user unknown"}}\n')
        answers = [json.loads(line) for line in out.splitlines()]
        assert code == 1
        assert "error" in answers[0]
        assert answers[1]["cause"] == "recipient"
        assert err.startswith("line 1: ")

    def test_asks_for_something_to_judge(self):
        assert self.run()[0] == 2
        assert self.run("--json", "550 no")[0] == 2
