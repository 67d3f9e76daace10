"""Tokens of filter vendors and of the sending providers themselves."""

from __future__ import annotations

from ..rule import Rule, any_of, temporary
from ..vocabulary import Cause

FILTERS: tuple[Rule, ...] = (
    Rule(
        "cloudmark-listed",
        Cause.PROVIDER,
        0.95,
        "Cloudmark's sender list names the IP.",
        words=any_of(r"csi\.cloudmark|cloudmark (?:csi|sender intelligence|blocklist)"),
    ),
    Rule(
        "proofpoint-listed",
        Cause.PROVIDER,
        0.95,
        "Proofpoint's dynamic reputation blocks the IP.",
        words=any_of(
            r"(?:ipcheck|support)\.proofpoint",
            r"proofpoint.{0,40}dnsbl",
            r"proofpoint dynamic reputation",
        ),
    ),
    Rule(
        "mimecast-greylist",
        Cause.TRANSIENT,
        0.9,
        "Mimecast greylists unknown senders with these words.",
        words=any_of(r"internal resources? (?:is |are )?temporarily (?:un|not )available"),
    ),
    Rule(
        "mimecast-blocked-sender",
        Cause.PROVIDER,
        0.8,
        "Mimecast's list of blocked senders names the sending address or IP.",
        when=temporary,
        words=any_of(r"^sender address blocked"),
    ),
    Rule(
        "mimecast-managed-sender",
        Cause.RECIPIENT,
        0.85,
        "The recipient put this sender on a block list of their own.",
        words=any_of(r"envelope blocked"),
    ),
    Rule(
        "mimecast-ip-policy",
        Cause.PROVIDER,
        0.95,
        "Mimecast refuses the sending IP or network.",
        words=any_of(r"local ct ip policy|host network not allowed|rejected by ip policy"),
    ),
    Rule(
        "mimecast-signature",
        Cause.MESSAGE,
        0.95,
        "A spam or virus signature matched the content.",
        words=any_of(r"mcspamsignature|(?:spam|virus) (?:scanning )?signature|scanning signature"),
    ),
    Rule(
        "mailchannels-ip",
        Cause.PROVIDER,
        0.9,
        "MailChannels, behind the provider, refuses the IP or the provider's account.",
        words=any_of(r"\[(?:rbl|br|esa|bfd|s10)\]"),
    ),
    Rule(
        "mailchannels-recipient",
        Cause.RECIPIENT,
        0.9,
        "MailChannels knows this recipient to be unwilling or wrong.",
        words=any_of(r"\[(?:uns|rb)\]"),
    ),
    Rule(
        "mailchannels-spam",
        Cause.MESSAGE,
        0.9,
        "MailChannels judged the message to be spam.",
        words=any_of(r"\[ss\]"),
    ),
    Rule(
        "mailchannels-greylist",
        Cause.TRANSIENT,
        0.9,
        "MailChannels greylists.",
        words=any_of(r"\[s09\]"),
    ),
    Rule(
        "messagelabs-policy",
        Cause.PROVIDER,
        0.9,
        "Symantec's service refuses the sending host.",
        words=any_of(r"connection rejected by policy|not permitted to relay through this server|\[7\.7\]"),
    ),
    Rule(
        "trend-micro-reputation",
        Cause.PROVIDER,
        0.95,
        "Trend Micro's reputation service lists the IP.",
        words=any_of(r"\brbl\+|email reputation (?:service|database)"),
    ),
    Rule(
        "provider-bounce-domain",
        Cause.PROVIDER,
        0.85,
        "The receiver refuses the provider's own bounce address.",
        words=any_of(r"<provider-addr>.{0,60}(?:denied|rejected|refused|blocked|not allowed|blacklist)"),
    ),
    Rule(
        "provider-identity",
        Cause.PROVIDER,
        0.95,
        "The provider does not know this sender: its identity is not verified there.",
        words=any_of(
            r"e-?mail address is not verified|identities failed the check",
            r"sender identity|not subscribed to ses|not authorized to perform",
            r"unauthenticated senders",
        ),
    ),
    Rule(
        "provider-suppression",
        Cause.RECIPIENT,
        0.95,
        "The provider suppresses this address after earlier bounces or complaints.",
        words=any_of(
            r"suppression list|has suppressed sending|address suppressed|suppressed due to",
            r"previously bounced|recent history of bouncing|not delivering to previously",
        ),
    ),
)
