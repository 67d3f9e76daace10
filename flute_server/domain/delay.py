"""How long an account usually takes from accepted to delivered at a receiving domain, and what is overdue.

The mean and the deviation are smoothed as TCP smooths its round-trip times (RFC 6298).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

# Nothing is overdue before this, however quick the account usually is.
FLOOR_S = 300.0
DEVIATIONS = 4.0
LONGEST_S = 86400.0
# Every delivery teaches until the band is known, then one in so many.
LEARN_ALL = 20
SAMPLE = 10
# So many overdue mails, and so large a share of those that are old enough, are no accident.
OVERDUE_TO_OPEN = 3
OVERDUE_SHARE = 0.5

_MEAN_GAIN = 1 / 8
_DEVIATION_GAIN = 1 / 4


@dataclass(frozen=True, slots=True)
class Band:
    """deliveries: how many it was learned from."""

    deliveries: int = 0
    mean_s: float = 0.0
    deviation_s: float = 0.0

    @property
    def edge_s(self) -> float:
        """Beyond this age a mail is overdue."""
        return max(FLOOR_S, self.mean_s + DEVIATIONS * self.deviation_s)


def learned(band: Band, took_s: float) -> Band:
    """The band after one more delivery.

    One beyond the band moves it no further than one at its edge, lest an outage teach that hours are usual.
    """
    took = min(max(took_s, 0.0), LONGEST_S)
    if not band.deliveries:
        return Band(1, took, took / 2)
    took = min(took, band.edge_s)
    error = took - band.mean_s
    deviation = band.deviation_s + _DEVIATION_GAIN * (abs(error) - band.deviation_s)
    return Band(band.deliveries + 1, band.mean_s + _MEAN_GAIN * error, deviation)


def teaches(band: Band, draw: float) -> bool:
    """Whether this delivery is one to learn from. draw: 0 <= draw < 1."""
    return band.deliveries < LEARN_ALL or draw < 1 / SAMPLE


def too_many(overdue: int, judged: int) -> bool:
    """True when so many of the mails that are old enough to be judged are no accident any more."""
    return overdue >= OVERDUE_TO_OPEN and overdue >= OVERDUE_SHARE * judged


def silence(overdue: int, judged: int, domain: str, edge_s: float) -> str:
    """The reason in words."""
    edge = timedelta(seconds=round(edge_s))
    return f"accepted but silent: {overdue} of {judged} mails to {domain} for more than {edge}"
