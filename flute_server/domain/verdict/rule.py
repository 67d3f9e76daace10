"""One text rule: the words it looks for, when they count, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from .evidence import Evidence, Stage
from .vocabulary import Opinion

Condition = Callable[[Evidence], bool]


def always(evidence: Evidence) -> bool:
    """The words alone are enough."""
    return True


def uncoded(evidence: Evidence) -> bool:
    """No SMTP code came with the words: a person or a robot wrote them, not a mail server."""
    return not (evidence.statuses or evidence.replies)


def temporary(evidence: Evidence) -> bool:
    """The receiver answered 4xx."""
    return evidence.first_digit == "4"


def lasting(evidence: Evidence) -> bool:
    """The receiver answered 5xx, or no code is known."""
    return evidence.first_digit != "4"


def at(*stages: Stage) -> Condition:
    """The refusal answered one of these SMTP commands."""
    return lambda evidence: evidence.stage in stages


def without(*words: str) -> Condition:
    """None of these words is there: they would turn the meaning round."""
    pattern = any_of(*words)
    return lambda evidence: pattern.search(evidence.inner) is None


def both(*conditions: Condition) -> Condition:
    """All conditions hold."""
    return lambda evidence: all(condition(evidence) for condition in conditions)


def any_of(*alternatives: str) -> re.Pattern[str]:
    """One pattern from several, each a regular expression over cleaned lower-case text."""
    return re.compile("|".join(alternatives))


@dataclass(frozen=True, slots=True)
class Rule(Opinion):
    """An opinion, and the words that lead to it."""

    words: re.Pattern[str] = field(kw_only=True)
    when: Condition = field(default=always, kw_only=True)

    def applies(self, text: str, evidence: Evidence) -> bool:
        """Cheap test first: most rules fail on their words."""
        return self.words.search(text) is not None and self.when(evidence)
