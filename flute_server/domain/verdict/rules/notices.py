"""Texts that report no failure: complaints, automatic replies, success notices."""

from __future__ import annotations

from ..evidence import Evidence
from ..rule import Rule, any_of, uncoded
from ..vocabulary import Action, Cause


def _not_refused(evidence: Evidence) -> bool:
    return evidence.first_digit in ("", "2")


NOTICES: tuple[Rule, ...] = (
    Rule(
        "authentication-report",
        Cause.NOT_A_BOUNCE,
        0.95,
        "A receiver reports on authentication; no delivery failed.",
        words=any_of(
            r"auth(?:entication)?[ -]failure report",
            r"dmarc (?:aggregate|failure|forensic) report",
            r"feedback-type: auth-failure",
        ),
    ),
    Rule(
        "complaint",
        Cause.NOT_A_BOUNCE,
        0.95,
        "The recipient complained about the message: it was delivered, and not wanted.",
        action=Action.SUPPRESS,
        words=any_of(
            r"\b(?:abuse|fraud|spam|complaint|feedback|not-spam|opt-?out) (?:feedback )?report\b",
            r"\breport for an? (?:e-?mail )?message received from",
            r"feedback-type:",
            r"feedback loop",
            r"abuse complaint|complaint regarding",
            r"(?:marked|reported|flagged) .{0,40}(?:message|e-?mail) as (?:spam|junk|abuse)",
            r"(?:complained|complaint) about (?:this|your|an?) (?:message|e-?mail)",
        ),
    ),
    Rule(
        "automatic-reply",
        Cause.NOT_A_BOUNCE,
        0.9,
        "A person's automatic reply: the message was delivered.",
        when=uncoded,
        words=any_of(
            r"out of (?:the |my )?office",
            r"\bon (?:annual |sick |maternity |parental |paternity )?(?:leave|vacation|holidays?)\b",
            r"\bi(?:'m| am| will be| was) (?:currently |presently |now )?"
            r"(?:away|out|travell?ing|unavailable|absent)",
            r"auto(?:matic|mated)?[ -]?(?:reply|response|responder|generated response)",
            r"(?:will|shall) (?:be back|return|reply|respond|get back|read your)",
            r"no longer (?:in use|monitored|checked|with (?:us|the company))",
            r"no longer work(?:s|ing)? (?:for|at|here)",
            r"(?:has|have) left (?:the |our )?(?:company|organi[sz]ation|firm)",
            r"limited access to (?:my )?e-?mail",
            r"thank you for (?:your|contacting|the) ",
            r"absent du bureau|absence du bureau|r[eé]ponse automatique|en cong[eé]s",
            r"abwesenheit|nicht im (?:b[uü]ro|hause?)|automatische antwort",
            r"fuera de la oficina|respuesta autom[aá]tica|de vacaciones",
            r"fuori (?:sede|ufficio)|risposta automatica|fora do escrit[oó]rio|afwezig",
            r"不在|休暇|外出|自動(?:返信|応答|回答)|自动(?:回复|答复)",
        ),
    ),
    Rule(
        "delivered",
        Cause.NOT_A_BOUNCE,
        0.9,
        "A notice of success: the message was delivered or passed on.",
        when=_not_refused,
        words=any_of(
            r"(?:successfully|has been|have been|was|were) (?:delivered|relayed|sent|received)"
            r" (?:to|by|into|for|successfully|and)\b",
            r"(?<!not )(?<!be )successfully (?:delivered|relayed|sent|received)",
            r"(?:delivery|delivered) (?:was |has been |is )?(?:successful|complete|confirm)",
            r"delivery confirmation|return receipt|read receipt|disposition-notification",
            r"message was (?:read|displayed|opened) (?:on|by|at)",
            r"relayed to (?:a )?(?:non-dsn|mailer|system)",
            r"^(?:ok|sent|message sent|delivered)[.!]?$",
            r"^(?:sent|delivered) (?:to|\()|queued (?:as|for delivery)|accepted for delivery",
        ),
    ),
)
