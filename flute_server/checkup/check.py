"""What a look at one part of the installation found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# Asks the database, and gives all rows.
Ask = Callable[[str], Sequence[Sequence[Any]]]

# Further apart, two clocks put events into a wrong order.
LARGEST_SKEW_S = 2.0


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # it works, but somebody should look at it
    FAILING = "failing"  # mail waits, or may be lost


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a report. name: stable, for programs; title: for people; text: what was found; fix: what to
    do, empty where all is well."""

    name: str
    title: str
    status: Status
    text: str
    fix: str = ""


def judged(
    name: str, title: str, text: str, fix: str, *, bad: bool, status: Status = Status.FAILING
) -> Check:
    """Well, unless it is bad: then with its fix. status: how bad that would be."""
    return Check(name, title, status, text, fix) if bad else Check(name, title, Status.OK, text)


def guarded(name: str, title: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """One look, which must not hide the others: what goes wrong with it is itself a finding."""
    try:
        yield from look()
    except Exception as error:
        text = f"could not be examined ({type(error).__name__})"
        yield Check(name, title, Status.FAILING, text, "read the log of flute_server, and report this")


def clock(name: str, title: str, theirs: float) -> Check:
    """theirs: what a part says it is, in seconds since 1970."""
    skew = abs(time.time() - theirs)
    bad = skew >= LARGEST_SKEW_S
    text = f"differs by {skew:.0f} s from this machine's" if bad else "agrees with this machine's"
    return judged(name, title, text, "synchronize both with NTP", bad=bad)


def size(octets: float) -> str:
    """A size as a person would say it."""
    for step, unit in ((1024**3, "GB"), (1024**2, "MB")):
        if octets >= step:
            return f"{octets / step:.1f} {unit}"
    return f"{octets / 1024:.0f} kB"
