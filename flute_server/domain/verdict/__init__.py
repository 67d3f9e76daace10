"""Whose fault is a failed delivery, and what is to be done? One pure function answers.

Three kinds of evidence each give at most one opinion: the receiver's words (``rules``),
the SMTP codes (``codes``) and the provider's own bounce class (``provider_classes``). The most
confident opinion wins; on a tie words beat codes, since codes are misused more often.

Harm is not symmetric: resending what the recipient or the message caused spoils a second
provider's reputation, a missed resend loses one mail of which the caller is told. So whoever
is not sure does not resend.
"""

from __future__ import annotations

from .codes import code_opinion
from .evidence import Evidence, read
from .provider_classes import provider_opinion, provider_retries
from .rules import text_opinion
from .vocabulary import Action, Cause, Diagnostic, Opinion, Verdict

__all__ = ["Action", "Cause", "Diagnostic", "Verdict", "classify"]

# Below this a resend through another provider is left to a person.
MIN_RESEND_CONFIDENCE = 0.5

_RESENDS = frozenset({Action.FAILOVER, Action.FAILOVER_IF_AUTHENTICATED})

_ACTIONS: dict[Cause, tuple[Action, Action]] = {  # (when permanent, when temporary)
    Cause.PROVIDER: (Action.FAILOVER, Action.RETRY),
    Cause.RECIPIENT: (Action.STOP, Action.STOP),
    Cause.MESSAGE: (Action.STOP, Action.STOP),
    Cause.SENDER_DOMAIN: (Action.FAILOVER_IF_AUTHENTICATED, Action.FAILOVER_IF_AUTHENTICATED),
    Cause.TRANSIENT: (Action.RETRY, Action.RETRY),
    Cause.NOT_A_BOUNCE: (Action.NONE, Action.NONE),
    Cause.UNKNOWN: (Action.REVIEW, Action.RETRY),
}

_NO_CAUSE = Opinion("no-cause-named", Cause.UNKNOWN, 0.3, "The answer names no known cause.")
_DEFERRED = Opinion(
    "deferred-without-cause",
    Cause.TRANSIENT,
    0.4,
    "The receiver answered 4xx and names no cause.",
    permanent=False,
)


def classify(diagnostic: Diagnostic) -> Verdict:
    """The verdict on one failure. Total and deterministic: any strings, always an answer."""
    evidence = read(diagnostic)
    opinions = (
        text_opinion(evidence),
        code_opinion(evidence),
        provider_opinion(diagnostic),
        _DEFERRED if evidence.first_digit == "4" else _NO_CAUSE,
    )
    # max() keeps the first of equals, hence the order above.
    best = max((o for o in opinions if o is not None), key=lambda o: o.confidence)
    permanent = _permanent(best, evidence, diagnostic)
    return Verdict(
        cause=best.cause,
        permanent=permanent,
        action=_action(best, permanent),
        rule=best.rule,
        reason=best.reason,
        confidence=best.confidence,
    )


def _permanent(opinion: Opinion, evidence: Evidence, diagnostic: Diagnostic) -> bool:
    """The opinion's own word, else the provider's, else the first digit; in doubt, yes."""
    if opinion.permanent is not None:
        return opinion.permanent
    if opinion.cause in (Cause.NOT_A_BOUNCE, Cause.TRANSIENT):
        return False
    return not (provider_retries(diagnostic) or evidence.first_digit == "4")


def _action(opinion: Opinion, permanent: bool) -> Action:
    if opinion.action is Action.SUPPRESS and not permanent and opinion.cause is Cause.RECIPIENT:
        return Action.STOP  # it may come back
    action = opinion.action or _ACTIONS[opinion.cause][0 if permanent else 1]
    if action in _RESENDS and opinion.confidence < MIN_RESEND_CONFIDENCE:
        return Action.REVIEW
    return action
