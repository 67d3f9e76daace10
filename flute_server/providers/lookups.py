"""What the providers' look-ups share: one bounded question, and what its answer proves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flute_server.domain.event import ProviderEvent
from flute_server.domain.outcome import Reply
from flute_server.providers.base import LookUp, Trace
from flute_server.providers.http import HttpProvider, entries
from flute_server.providers.redaction import clip

SKEW = timedelta(minutes=5)  # between our clock and the provider's
SPAN = timedelta(hours=1)  # after which the first events of an attempt are surely older


def ask(
    provider: HttpProvider, path: str, query: dict[str, str], member: str
) -> list[dict[str, Any]] | LookUp:
    """The objects in one member of the answer; a LookUp that cannot tell when there are none to read."""
    answer = provider.ask(path, query)
    if isinstance(answer, Reply):
        return LookUp(None, f"{provider.name} could not be asked: {answer.text}")
    if answer.status in {401, 403}:
        said = clip(answer.text)
        return LookUp(
            None, f"{provider.name} lets these credentials send but not look up: {answer.status} {said}"
        )
    found = answer.data.get(member)
    if answer.status != 200 or not isinstance(found, list):
        return LookUp(None, f"{provider.name} answers a look-up with {answer.status}: {clip(answer.text)}")
    return entries(found)


def window(trace: Trace) -> tuple[datetime, datetime]:
    """From when to when the attempt's first events lie. The end is not in the future."""
    now = datetime.now(UTC)
    end = min(trace.start_time + SPAN, now) + timedelta(seconds=1)
    return (trace.start_time - SKEW).astimezone(UTC), end.astimezone(UTC)


def conclude(provider: HttpProvider, trace: Trace, events: list[ProviderEvent], full: int) -> LookUp:
    """Whether events of this attempt are among those found; `full` of them may not be all."""
    ours = tuple(event for event in events if event.attempt_id == trace.attempt_id)
    if ours:
        message_id = next((event.provider_message_id for event in ours if event.provider_message_id), "")
        return LookUp(True, f"{provider.name} has {len(ours)} events of the mail", message_id, ours)
    if not trace.recipients and not trace.provider_message_id:
        return LookUp(None, f"{provider.name} finds mails by recipient, and none is known")
    if len(events) >= full:
        return LookUp(None, f"{provider.name} has more events than were asked for, none of them of the mail")
    return not_found(provider, trace)


def not_found(provider: HttpProvider, trace: Trace) -> LookUp:
    """It does not have the mail, unless it was so long ago that it forgot."""
    if datetime.now(UTC) - trace.start_time > provider.look_up_keeps:
        return LookUp(None, f"{provider.name} may have forgotten a mail of {trace.start_time:%Y-%m-%d %H:%M}")
    return LookUp(False, f"{provider.name} knows nothing of the mail")
