"""All text rules, in the order in which they are tried: the first that applies decides.

Vendor tokens come first, since they mean one thing. Then the rules whose words the broader
ones behind them would misread: "mailbox over the limit" before "over the limit", "blacklisted
link" before "blacklisted", "unknown sender" before "unknown". Guesses from the stage come last.
"""

from __future__ import annotations

from ..evidence import Evidence
from ..rule import Rule
from ..vocabulary import Opinion
from .filters import FILTERS
from .mailbox import MAILBOX
from .mailbox_hosts import MAILBOX_HOSTS
from .message import MESSAGE, MESSAGE_PARTS
from .notices import NOTICES
from .recipient_domain import RECIPIENT_DOMAIN
from .restrictions import PLAINLY_RECIPIENT, RESTRICTIONS
from .sender import SENDER
from .sending_host import HOST_IDENTITY, SENDING_HOST
from .stage import BY_STAGE
from .transient import GREYLIST, TRANSIENT, TRANSIENT_NEAR_RECIPIENT

RULES: tuple[Rule, ...] = (
    *NOTICES,
    *MAILBOX_HOSTS,
    *FILTERS,
    *GREYLIST,
    *PLAINLY_RECIPIENT,
    *MESSAGE_PARTS,
    *RESTRICTIONS,
    *HOST_IDENTITY,
    *SENDER,
    *SENDING_HOST,
    *MESSAGE,
    *RECIPIENT_DOMAIN,
    *TRANSIENT_NEAR_RECIPIENT,
    *MAILBOX,
    *TRANSIENT,
    *BY_STAGE,
)


def text_opinion(evidence: Evidence) -> Opinion | None:
    """What the receiver's own words say; the reporter's words only when those say nothing."""
    for text in dict.fromkeys((evidence.inner, evidence.whole)):
        for rule in RULES:
            if rule.applies(text, evidence):
                return rule
    return None
