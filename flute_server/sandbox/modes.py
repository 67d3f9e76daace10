"""How a provider can be told to behave: one table; each provider supplies its own wording per mode."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

MAX_TEXT = 900


class Effect(Enum):
    """Where in a call a mode takes hold."""

    NONE = "none"
    CONNECTION = "connection"  # before the first octet is read
    ANY_CALL = "any call"  # every call, also the credential check
    SEND = "send"  # a well-formed send is refused in the provider's words
    ACCEPTED = "accepted"  # the mail is taken into the inbox; what differs is the answer
    AFTER = "after"  # the mail is taken and answered as usual; what differs is what is told of it later


# Every mode takes these: each event comes twice; events come in disorder, some before the send's own answer.
EVENT_SETTINGS = frozenset({"duplicate_events", "shuffle_events"})


@dataclass(frozen=True, slots=True)
class Kind:
    """What a mode means, where it acts, which settings it takes; `seconds` is the default of that setting."""

    effect: Effect
    meaning: str
    settings: frozenset[str] = frozenset()
    seconds: float = 5.0

    @property
    def taken(self) -> frozenset[str]:
        return self.settings | EVENT_SETTINGS


_SOME = frozenset({"share", "domains"})
_TIMED = _SOME | {"seconds"}
_WORDED = _TIMED | {"text", "class"}

KINDS: Mapping[str, Kind] = {
    "ok": Kind(Effect.NONE, "accepts mail and answers at once"),
    "down": Kind(Effect.CONNECTION, "does not listen: connections are refused, open ones dropped"),
    "reset": Kind(Effect.CONNECTION, "resets connections before reading anything", frozenset({"share"})),
    "error": Kind(Effect.ANY_CALL, "internal error (HTTP 5xx, SMTP 4xx)", _SOME | {"status", "retry_after"}),
    "slow": Kind(Effect.ACCEPTED, "takes the mail, answers OK after some seconds", _TIMED),
    "rate_limited": Kind(Effect.ANY_CALL, "too many calls (429, SMTP 421)", _SOME | {"retry_after"}),
    "unauthorized": Kind(Effect.ANY_CALL, "the credentials are not accepted", _SOME),
    "quota": Kind(Effect.SEND, "plan, credits or sending limit used up", _SOME),
    "sender_unverified": Kind(Effect.SEND, "the From address or domain is not verified here", _SOME),
    "reject_message": Kind(Effect.SEND, "the message itself is refused", _SOME),
    "reject_recipient": Kind(Effect.SEND, "an address is refused by name", _SOME),
    "drop_answer": Kind(Effect.ACCEPTED, "takes the mail, then hangs up without an answer", _SOME),
    "hang": Kind(Effect.ACCEPTED, "takes the mail, never answers", _SOME),
    "block": Kind(Effect.AFTER, "then bounces by the provider's own fault (its IP is blocked)", _WORDED, 0),
    "bounce": Kind(Effect.AFTER, "then bounces by the recipient's fault (no such user)", _WORDED, 0),
    "defer": Kind(Effect.AFTER, "defers at first, delivers after some seconds", _WORDED),
    "silent": Kind(Effect.AFTER, "never tells what became of the mail", _SOME),
    "late": Kind(Effect.AFTER, "delivers after some seconds, and tells nothing before", _TIMED),
    "complain": Kind(Effect.AFTER, "delivers, then the recipient complains", _WORDED, 0),
    "suppress": Kind(Effect.AFTER, "does not send: the address is on its own suppression list", _WORDED, 0),
}


class ModeError(ValueError):
    """The wanted mode or one of its settings is not known or malformed."""


@dataclass(slots=True)
class Mode:
    """A provider's present behaviour.

    seconds: delay of `slow`; retry_after: seconds for the Retry-After header, none without;
    share: part of the calls that are affected; domains: receiving domains it applies to, empty for all;
    status: the HTTP status or SMTP code of `error`; text: what the receiving server said, and klass: the
    provider's own class for it, where the usual ones are not wanted.
    """

    name: str = "ok"
    seconds: float = 5.0
    retry_after: float | None = None
    share: float = 1.0
    domains: frozenset[str] = frozenset()
    status: int | None = None
    text: str = ""
    klass: str = ""
    duplicate_events: bool = False
    shuffle_events: bool = False
    # Seeded: a run can be repeated. Drawn at random all the same, so that no caller falls into step with it.
    _random: random.Random = field(default_factory=lambda: random.Random(1), repr=False)  # noqa: S311 - a toss

    @property
    def effect(self) -> Effect:
        return KINDS[self.name].effect

    def draw(self) -> bool:
        """Is this call one of the share that is affected?"""
        return self.share >= 1 or self._random.random() < self.share

    def otherwise(self) -> Mode:
        """The behaviour towards calls outside the share."""
        if self.duplicate_events or self.shuffle_events:
            return Mode(
                duplicate_events=self.duplicate_events,
                shuffle_events=self.shuffle_events,
                _random=self._random,
            )
        return OK

    def toss(self) -> bool:
        """Heads or tails."""
        return self._random.random() < 0.5

    def concerns(self, recipient: str) -> bool:
        """Does it apply to mail for this address?"""
        return not self.domains or recipient.rpartition("@")[2].lower() in self.domains

    def concerned(self, recipients: Collection[str]) -> list[str]:
        """The addresses it applies to."""
        return [address for address in recipients if self.concerns(address)]

    def describe(self) -> dict[str, object]:
        """As the control API shows it: the name, and the settings that the mode takes."""
        values: dict[str, object] = {
            "seconds": self.seconds,
            "retry_after": self.retry_after,
            "share": self.share,
            "domains": sorted(self.domains),
            "status": self.status,
            "text": self.text,
            "class": self.klass,
        }
        taken = KINDS[self.name].settings
        shown = {"mode": self.name} | {name: value for name, value in values.items() if name in taken}
        return shown | {name: True for name in sorted(EVENT_SETTINGS) if getattr(self, name)}


OK = Mode()


def parse(body: bytes) -> Mode:
    """The mode named by a request body: JSON {"mode": ..., settings} or just the word. Raises ModeError."""
    text = body.decode("utf-8", "replace").strip()
    if not text.startswith(("{", '"')):
        return build({"mode": text})
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ModeError(f"the body is neither JSON nor the name of a mode: {error}") from error
    return build(data if isinstance(data, dict) else {"mode": data})


def build(data: Mapping[str, Any]) -> Mode:
    """A mode out of its settings. Raises ModeError naming what is wrong and what could be chosen."""
    settings = dict(data)
    name = settings.pop("mode", None)
    if not isinstance(name, str) or name not in KINDS:
        raise ModeError(f"unknown mode {name!r}; choose one of {', '.join(KINDS)}")
    taken = KINDS[name].taken
    for setting in settings:
        if setting not in taken:
            choices = ", ".join(sorted(taken)) or "no settings"
            raise ModeError(f"mode {name} does not take {setting!r}; it takes {choices}")
    checked: dict[str, Any] = {"seconds": KINDS[name].seconds}
    for setting, value in settings.items():
        checked["klass" if setting == "class" else setting] = _CHECKS[setting](value)
    return Mode(name, **checked)


def _number(name: str, low: float, high: float, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ModeError(f"{name} must be a number from {low:g} to {high:g}, not {value!r}")
    return value


def _status(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 400 <= value <= 599:
        raise ModeError(f"status must be a whole number from 400 to 599, not {value!r}")
    return value


def _domains(value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ModeError(f"domains must be a list of domain names, not {value!r}")
    return frozenset(item.lower() for item in value)


def _line(name: str, value: object) -> str:
    """Words of a receiving server, on one line."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not text.isprintable() or len(text) > MAX_TEXT:
        raise ModeError(f"{name} must be one printable line of at most {MAX_TEXT} characters, not {value!r}")
    return text


def _switch(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ModeError(f"{name} must be true or false, not {value!r}")
    return value


_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "seconds": lambda value: _number("seconds", 0, 3600, value),
    "retry_after": lambda value: None if value is None else _number("retry_after", 0, 86400, value),
    "share": lambda value: _number("share", 0, 1, value),
    "domains": _domains,
    "status": lambda value: None if value is None else _status(value),
    "text": lambda value: _line("text", value),
    "class": lambda value: _line("class", value),
    "duplicate_events": lambda value: _switch("duplicate_events", value),
    "shuffle_events": lambda value: _switch("shuffle_events", value),
}
