"""EmailService.ExplainEmail."""

from __future__ import annotations

from collections.abc import Iterator

from flute.v1.email_service_pb2 import Evidence, ExplainEmailResponse, Verdict

from flute_server.sending.explain import paragraphs, summary
from flute_server.sending.story import Moment, Story


def explanation(story: Story) -> ExplainEmailResponse:
    """The story in words, and what was thought of every refusal in it."""
    return ExplainEmailResponse(
        summary=summary(story), paragraphs=paragraphs(story), verdicts=_verdicts(story.timeline)
    )


def _verdicts(timeline: list[Moment]) -> Iterator[Verdict]:
    for moment in timeline:
        if "verdict" in moment.detail:
            yield _verdict(moment)


def _verdict(moment: Moment) -> Verdict:
    stored, known = moment.detail["verdict"], moment.detail.get("diagnostic", {})
    return Verdict(
        event_id=f"evt_{moment.id}",
        cause=stored["cause"],
        permanent=stored["permanent"],
        action=stored["action"],
        rule=stored["rule"],
        reason=stored["reason"],
        confidence_percent=round(100 * stored["confidence"]),
        evidence=Evidence(
            text=known.get("text", ""),
            reply=known.get("reply", ""),
            code=known.get("status", ""),
            host=known.get("rhost", ""),
            destination=known.get("destination", ""),
            provider_class=known.get("provider_class", ""),
            provider_detail=known.get("provider_detail", ""),
        ),
    )
