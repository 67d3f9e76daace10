"""What becomes of an accepted mail: one table from modes to histories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from flute_server.sandbox.events import Event, Happening, Letter
from flute_server.sandbox.modes import Mode
from flute_server.sandbox.wordings import usual_text


class Step(NamedTuple):
    """Something that happens, at once or after the mode's seconds; and whether and when it is told."""

    kind: Happening
    later: bool = False
    told: bool = True
    told_later: bool = False


class Told(NamedTuple):
    """An event, and after how many seconds the provider reports it."""

    event: Event
    delay: float


_TAKEN = Step(Happening.ACCEPTED)
NORMAL = (_TAKEN, Step(Happening.DELIVERED))
HISTORIES: Mapping[str, tuple[Step, ...]] = {
    "block": (_TAKEN, Step(Happening.BLOCKED, later=True)),
    "bounce": (_TAKEN, Step(Happening.BOUNCED, later=True)),
    "defer": (_TAKEN, Step(Happening.DEFERRED), Step(Happening.DELIVERED, later=True)),
    "silent": (Step(Happening.ACCEPTED, told=False),),
    "late": (Step(Happening.ACCEPTED, told_later=True), Step(Happening.DELIVERED, later=True)),
    "complain": (_TAKEN, Step(Happening.DELIVERED), Step(Happening.COMPLAINED, later=True)),
    "suppress": (Step(Happening.SUPPRESSED, later=True),),
}
# The mode's own words are for what went wrong.
_WORDED = frozenset(Happening) - {Happening.ACCEPTED, Happening.DELIVERED}


def steps(mode: Mode, recipient: str) -> tuple[Step, ...]:
    """What happens to a mail for this address that was accepted in this mode."""
    return HISTORIES.get(mode.name, NORMAL) if mode.concerns(recipient) else NORMAL


def outcome(mode: Mode, recipient: str) -> str:
    """In one word: `silent`, or the last thing that happens."""
    last = steps(mode, recipient)[-1].kind
    return "silent" if last is Happening.ACCEPTED else last.value


def history(mode: Mode, letter: Letter, accepted_at: float) -> list[Event]:
    """All that happens to the letter in its order, now and later; what the provider's own records show."""
    return [
        _event(step, number, mode, letter, accepted_at)
        for number, step in enumerate(steps(mode, letter.recipient))
    ]


def reports(mode: Mode, letter: Letter, accepted_at: float) -> Iterable[Told]:
    """What of it is told through webhooks or by mail, and when."""
    for number, step in enumerate(steps(mode, letter.recipient)):
        if step.told:
            event = _event(step, number, mode, letter, accepted_at)
            yield Told(event, mode.seconds if step.later or step.told_later else 0)


def _event(step: Step, number: int, mode: Mode, letter: Letter, accepted_at: float) -> Event:
    worded = step.kind in _WORDED
    return Event(
        kind=step.kind,
        letter=letter,
        at=accepted_at + mode.seconds if step.later else accepted_at,
        number=number,
        text=(mode.text if worded else "") or usual_text(step.kind, letter),
        klass=mode.klass if worded else "",
    )
