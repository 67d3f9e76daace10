"""The sender's domain is at fault: authentication failed or the From address is refused."""

from __future__ import annotations

from ..evidence import Stage
from ..rule import Rule, any_of, at, both, lasting, without
from ..vocabulary import Cause

_SENDER = (
    r"(?:sender|from address|return[- ]path|mail ?from|envelope from|originator|from domain"
    r"|from: domain)"
)
_NO_SUCH_DOMAIN = (
    r"(?:not (?:exist|found|resolv|valid)|n't (?:exist|resolve|have)|unresolv|no mx"
    r"|no (?:valid )?(?:a|mx|dns)\b|must (?:exist|resolve)|non-?exist|unknown|invalid|bogus)"
)
_REFUSED = (
    r"(?:rejected|denied|refused|blocked|banned|disallowed|forbidden|unvalidated"
    r"|not (?:allowed|accepted|permitted|authori[sz]ed))"
)

SENDER: tuple[Rule, ...] = (
    Rule(
        "authentication-lookup-failed",
        Cause.TRANSIENT,
        0.85,
        "The receiver could not look the authentication records up just now.",
        permanent=False,
        words=any_of(
            r"temporary .{0,30}\b(?:spf|dkim|dmarc)\b",
            r"\b(?:spf|dkim|dmarc)\b.{0,30}(?:temp[- ]?(?:error|fail)|temporary|timed? ?out)",
        ),
    ),
    Rule(
        "authentication-failed",
        Cause.SENDER_DOMAIN,
        0.93,
        "SPF, DKIM or DMARC did not pass for the sender's domain.",
        words=any_of(
            r"\b(?:spf|dkim|dmarc|adsp|arc)\b",
            r"sender policy framework|domain ?keys|open-?spf",
            r"sender[ -]?id\b.{0,40}(?:fail|reject|not)|purported responsible",
            r"unauthenticated (?:e-?mail|message)|sender is unauthenticated",
            r"(?:message|mail|domain|sender).{0,40}(?:fail|not pass).{0,30}authenticat",
            r"authentication (?:checks?|results?|verification) (?:has |have )?fail",
            r"not (?:an? )?(?:authori[sz]ed|permitted|designated) (?:sender|mailer|to send)"
            r".{0,40}domain",
            r"(?:invalid|unauthori[sz]ed) ip for sending mail of domain",
        ),
    ),
    Rule(
        "sender-spoofed",
        Cause.SENDER_DOMAIN,
        0.9,
        "The receiver takes the sender address for forged.",
        words=any_of(
            r"spoof(?:ed|ing)?\b|forged|forgery|fake sender|impersonat",
            r"\b(?:from|sender)\b.{0,40}(?:mismatch|differ)",
            r"(?:sender|from (?:address|header)).{0,40}(?:not|n't) match",
            r"(?:claims? to be|pretend|you are not).{0,30}(?:our|this|local|my) (?:domain|user)",
        ),
    ),
    Rule(
        "sender-domain-listed",
        Cause.SENDER_DOMAIN,
        0.9,
        "A block list names the sender's domain or address, not the IP.",
        words=any_of(
            r"\brhsbl\b|dbl\.spamhaus|spamhaus dbl|/query/dbl|spamhaus\.org/dbl",
            r"mail ?from domain is listed|envelope sender is in my badmailfrom|badmailfrom",
            r"(?:sender(?:'s)?|sending|from|your|mail) domain.{0,40}"
            r"(?:listed|black|block|ban|reputation|reject|not (?:allowed|permitted))",
            r"(?:black|block)[- ]?listed (?:sender )?domain",
            r"domain (?:is |has been )?(?:black|block)[- ]?listed",
            r"reputation of (?:the |your |a )?(?:sender'?s? |sending )?domain",
            r"domain .{0,10}(?:poor|bad|low) reputation",
            r"(?:your|sender|from) (?:e-?mail |mail )?address .{0,20}(?:black|block|ban)",
            r"sender.{0,30}<addr>.{0,30}(?:is |in |on )(?:a |the |our )?(?:black|block|reject)",
            r"sending (?:to/)?from an address that",
        ),
    ),
    Rule(
        "sender-domain-unknown",
        Cause.SENDER_DOMAIN,
        0.92,
        "The sender's domain or address does not exist or cannot be checked.",
        words=any_of(
            _SENDER + r".{0,70}" + _NO_SUCH_DOMAIN,
            r"(?:invalid|unknown|bad|unresolvable|unrout(?:e)?able) (?:sender|mail from)",
            r"domain of sender|sender domain|mx records? (?:for|of) .{0,30}violate",
            r"verify (?:mail ?from|sender)",
            r"(?:can(?:no|')t|could not|unable to) (?:verify|resolve|validate|find) .{0,20}sender",
            r"sender(?: address)? (?:verify|verification|callout|validation)",
            r"verification failed for",
        ),
    ),
    Rule(
        "sender-refused",
        Cause.SENDER_DOMAIN,
        0.85,
        "The receiver refuses this sender address.",
        words=any_of(
            r"senders?(?: address| e-?mail)?(?: <addr>)?(?: is| was| has been| are)? ?:? ?" + _REFUSED,
            r"(?:reject|refus|den|block)(?:ed|ing|ies|y|s)? (?:the |this |mail from )?sender\b",
            r"(?:mail|message|e-?mail)s? from <addr> (?:is |are |was )?" + _REFUSED,
            r"mail from (?!.{0,6}<ip>).{0,20}" + _REFUSED,
            r"(?:not|n't) accept (?:mail|messages?|e-?mail) from"
            r" (?:<addr>|this (?:sender|address|domain)|your (?:domain|address))",
            r"(?:null|empty) (?:envelope )?senders?|third-party dsn|black mail address",
            r"host denies the sender|domain owner .{0,10}policy|not owned by (?:auth )?user",
            r"sender (?:\w+ )?(?:is )?not (?:pre-?approved|approved|in my|local)|this sender|from sender",
            r"(?:exp[eé]diteur|absender|remitente|remetente|mittente).{0,40}"
            r"(?:refus|rejet|abgelehnt|ung[uü]ltig|inv[aá]lid|rechaz|rifiut|non autoris)",
        ),
    ),
    Rule(
        "unknown-at-mail-from",
        Cause.SENDER_DOMAIN,
        0.85,
        "Refused at MAIL FROM, so the unknown address or domain is the sender's.",
        when=both(lasting, at(Stage.MAIL)),
        words=any_of(
            r"unknown|not (?:exist|found|valid|resolve)|does ?n.t|invalid|no such|unrout",
        ),
    ),
    Rule(
        "domain-unknown-after-data",
        Cause.SENDER_DOMAIN,
        0.8,
        "The recipient had been accepted already, so the unknown domain is the sender's.",
        when=both(lasting, at(Stage.DATA), without(r"user|recipient|mailbox|account|address|name service")),
        words=any_of(r"<host> does not exist|(?:host|domain) (?:does not exist|not found|unknown)"),
    ),
)
