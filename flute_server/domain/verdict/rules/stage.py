"""Texts without a cause: the SMTP stage tells what the refusal can have been about."""

from __future__ import annotations

from ..evidence import Evidence, Stage
from ..rule import Rule, any_of, at, both, lasting, temporary
from ..vocabulary import Cause

_NO = r"den(?:y|ied)|reject|refus|prohibit|polic|not (?:allow|accept|permit|authori)"


def _answered_5xx(evidence: Evidence) -> bool:
    return evidence.first_digit == "5"


BY_STAGE: tuple[Rule, ...] = (
    Rule(
        "recipient-refused",
        Cause.RECIPIENT,
        0.7,
        "The receiver refuses this recipient without saying why.",
        when=lasting,
        words=any_of(
            r"(?:recipient|address)(?:es)?(?: address)?(?: <addr>)?(?: is| was| has been)? ?:?"
            r"(?:rejected|refused|denied|not accepted)",
            r"(?:reject|refus)\w* (?:this |the |by )?recipient|rejected recipient|rcpt (?:is )?reject",
            r"recipients? was rejected",
        ),
    ),
    Rule(
        "policy-at-rcpt",
        Cause.UNKNOWN,
        0.6,
        "A policy refused it at RCPT TO: of the recipient's, the IP's or the sender's account.",
        when=both(lasting, at(Stage.RCPT)),
        words=any_of(r"\bpolic"),
    ),
    Rule(
        "refused-at-rcpt",
        Cause.RECIPIENT,
        0.6,
        "Refused in reply to RCPT TO, so it is most likely about the recipient.",
        when=both(lasting, at(Stage.RCPT)),
        words=any_of(_NO, r"unavailable|fail|invalid|unable"),
    ),
    Rule(
        "closed-at-connect",
        Cause.TRANSIENT,
        0.6,
        "The receiver was not ready to talk.",
        permanent=False,
        when=both(temporary, at(Stage.CONNECT)),
        words=any_of(r"."),
    ),
    Rule(
        "refused-at-connect",
        Cause.PROVIDER,
        0.7,
        "Refused before sender and recipient were named, so it is about the IP.",
        when=both(_answered_5xx, at(Stage.CONNECT)),
        words=any_of(r"."),
    ),
    Rule(
        "refused-at-mail-from",
        Cause.SENDER_DOMAIN,
        0.55,
        "Refused in reply to MAIL FROM, so it is most likely about the sender.",
        when=both(lasting, at(Stage.MAIL)),
        words=any_of(_NO),
    ),
    Rule(
        "message-refused",
        Cause.MESSAGE,
        0.55,
        "The message itself is said to be refused, without saying why.",
        when=both(lasting, at(Stage.DATA, Stage.UNKNOWN)),
        words=any_of(
            r"\b(?:message|data)(?: \w+)?(?: was| is| has been)? "
            r"(?:refused|rejected|denied|blocked|not (?:accepted|allowed))",
        ),
    ),
    Rule(
        "refused-at-data",
        Cause.MESSAGE,
        0.55,
        "Refused after the content was seen, so it is most likely about the content.",
        when=both(lasting, at(Stage.DATA)),
        words=any_of(_NO, r"block"),
    ),
)
