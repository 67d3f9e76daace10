"""A mail's story in plain words."""

from __future__ import annotations

from flute_server.domain.state import State
from flute_server.sending.story import Moment, Story

_SUMMARIES = {
    State.SCHEDULED: "waits for the time at which it is to be sent",
    State.QUEUED: "waits to be sent",
    State.SENDING: "is being handed to a provider, or is held until it is known whether one took it",
    State.SENT: "was taken by a provider, which has not told yet whether it arrived",
    State.DEFERRED: "is with a provider that goes on trying",
    State.DELIVERED: "has arrived",
    State.BOUNCED: "was refused for the recipient's own cause",
    State.FAILED: "has failed for good",
    State.SUPPRESSED: "was not sent, for the address is on the suppression list",
    State.CANCELED: "was taken back before it was sent",
}


def summary(story: Story) -> str:
    """One sentence: where the mail stands, for whom, and what comes next."""
    parts = []
    for state in dict.fromkeys(story.states.values()):
        who = [row.address for row in story.recipients if story.states[row.id] is state]
        parts.append(f"the mail to {_some(who)} {_SUMMARIES[state]}")
    text = "; ".join(parts)
    if story.email.test:
        text += "; all of it is simulated, for the mail was sent with a test key"
    if story.email.due_time:
        text += f"; it is looked at again by {story.email.due_time:%Y-%m-%d %H:%M:%S} UTC"
    return text[0].upper() + text[1:] + "."


def paragraphs(story: Story) -> list[str]:
    """Every moment of the timeline as a sentence."""
    names = {row.id: row.address for row in story.recipients}
    return [_sentence(moment, names) for moment in story.timeline]


def _sentence(moment: Moment, names: dict[int, str]) -> str:
    whom = f" for {names[moment.recipient_id]}" if moment.recipient_id in names else ""
    return f"{moment.time:%Y-%m-%d %H:%M:%S.%f} UTC{whom}: {moment.text}."


def _some(addresses: list[str]) -> str:
    shown = ", ".join(addresses[:3])
    return shown if len(addresses) <= 3 else f"{shown} and {len(addresses) - 3} more"
