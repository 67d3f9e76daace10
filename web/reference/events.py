"""The types of events, as feed, webhooks and filters name them."""

from __future__ import annotations

EVENTS = {
    "accepted": "The mail is stored, durably.",
    "scheduled": "The mail got a time to be sent at, or another one.",
    "sent": "A provider took responsibility for the mail.",
    "deferred": "It was tried and will be tried again.",
    "delivered": "The receiver took the mail.",
    "bounced": "The mail was refused for the recipient's own cause.",
    "failover": "A provider failed, and the mail moved on to the next one.",
    "failed": "The mail was given up, or refused for its own cause.",
    "suppressed": "The mail was not sent: the address is on the suppression list.",
    "canceled": "The mail was taken back.",
    "opened": "The mail was opened.",
    "clicked": "A link in the mail was followed.",
    "complained": "The recipient called the mail spam.",
    "unsubscribed": "The recipient wants no more mail.",
}
# A call to try an endpoint out has this type.
TEST = "test"
