"""Nobody said no: greylisting, time-outs, broken connections, a receiver in trouble."""

from __future__ import annotations

from ..rule import Rule, any_of, temporary
from ..vocabulary import Cause

_CANNOT = r"(?:could not|couldn't|can(?:no|')t|unable to|failed to|wasn't able to|fail(?:ed|ure)? to)"

GREYLIST: tuple[Rule, ...] = (
    Rule(
        "greylisted",
        Cause.TRANSIENT,
        0.95,
        "Greylisting: the receiver wants the message to be tried again later.",
        permanent=False,
        words=any_of(r"gr[ae]y[- ]?list|postgrey|\bgr[ae]y\.|first[- ]time sender|gr[ae]ytrap"),
    ),
    Rule(
        "receiver-disk-full",
        Cause.TRANSIENT,
        0.85,
        "The receiving system has no disk space.",
        permanent=False,
        when=temporary,
        words=any_of(r"insufficient (?:system|disk)|not enough disk|no space left on device"),
    ),
)

# Tried before the mailbox rules, which would take "recipient" for the subject of these sentences.
TRANSIENT_NEAR_RECIPIENT: tuple[Rule, ...] = (
    Rule(
        "message-expired",
        Cause.TRANSIENT,
        0.8,
        "The message waited until its time in the queue was over.",
        permanent=False,
        words=any_of(
            r"(?:message|delivery|queue|retry|envelope)(?: time)?(?: has| was)? expired|retry timeout"
        ),
    ),
    Rule(
        "recipient-server-down",
        Cause.TRANSIENT,
        0.85,
        "The recipient's server is out of order.",
        permanent=False,
        words=any_of(
            r"(?:recipient'?s?|destination|remote)(?: mail| domain)? (?:server|host|system)s? .{0,30}"
            r"(?:unavailable|down|not respond|busy|unreachable|not available)",
        ),
    ),
)

TRANSIENT: tuple[Rule, ...] = (
    Rule(
        "network",
        Cause.TRANSIENT,
        0.85,
        "The receiving server could not be reached, or the connection broke.",
        permanent=False,
        words=any_of(
            r"timed? ?-?out|(?:lost|dropped|closed|broken|bad|no) connection",
            r"connection (?:was |is |has been )?(?:refused|reset|dropped|lost|closed|failed|died"
            r"|broken|aborted|terminated|unexpectedly|error|problem|failure)",
            _CANNOT + r" (?:be )?(?:connect|establish|reach|contact|open (?:a )?connection)",
            r"no route to host|network (?:is )?(?:unreachable|error|fail|down|problem)",
            r"host (?:is )?(?:down|unreachable)|not respond(?:ing)?|no (?:answer|response) from",
            r"did(?: not|n't) respond|did not accept our requests|error encountered while communicating",
            r"\bsocket|broken pipe|unreachable|remote host.{0,20}(?:clos|disconnect)|disconnected",
        ),
    ),
    Rule(
        "expired",
        Cause.TRANSIENT,
        0.8,
        "The message waited until its time in the queue was over.",
        permanent=False,
        words=any_of(
            r"expired|retry time|failing for a long time|queue (?:lifetime|too long|period)",
            r"(?:not|un)(?: been)? ?(?:delivered|collected|reachable) (?:within|for|after|in)\b",
            r"(?:within|for the last|after|for more than|for) \d+ (?:\w+ )?(?:seconds|minutes|hours|days"
            r"|tries|attempts)|\d+ (?:attempts|tries)\b|could not be delivered for",
            r"too long in (?:the )?queue|in the queue too long|(?:has been|was|is) delayed",
            r"will (?:be )?(?:continue |keep )?(?:to )?(?:be )?retr(?:y|ied)|still trying|gave up",
        ),
    ),
    Rule(
        "receiver-trouble",
        Cause.TRANSIENT,
        0.8,
        "The receiver has a fault of its own.",
        permanent=False,
        words=any_of(
            r"(?:internal|system|server|local|configuration|config|database|processing|software|i/o"
            r"|disk|unexpected|read|write|backend) (?:\w+ )?(?:error|failure|problem)",
            r"error in processing|encountered an error|misconfigur|interrupted system call",
            r"resources?.{0,20}(?:unavailable|temporarily|exhaust|insufficient|shortage|not available)",
            r"insufficient (?:system )?(?:resources|storage)|disk (?:is )?full|no space left|out of memory",
            r"(?:server|system|service|host|mail ?server)s? (?:is |are |currently |temporarily |too )*"
            r"(?:busy|overload|unavailable|down|not available|shutting)|too busy|overload|maintenance",
            r"system (?:is )?full|high load|load (?:average|too high)|could not load|no mdb|file write error",
            _CANNOT + r" (?:process|complete|queue|open|create|write|read)",
            r"(?:ldap|mysql|sql|mapping|table|milter|map|alias) (?:\w+ )?(?:error|fail|down|unavail)",
            r"temporary (?:failure|error|problem|local)|temporarily|please try (?:again|later)",
            r"erreur (?:interne|temporaire)|essayer plus tard|sp[aä]ter|int[eé]ntelo|m[aá]s tarde",
        ),
    ),
    Rule(
        "try-later",
        Cause.TRANSIENT,
        0.75,
        "The receiver asks to try again later and names no cause.",
        permanent=False,
        words=any_of(r"(?:try|retry|come back|resend).{0,20}(?:again|later)|temporar|deferr|delayed"),
    ),
)
