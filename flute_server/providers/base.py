"""The contract that every provider fulfils."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

from flute_server.domain.capability import Capabilities, objections
from flute_server.domain.event import ProviderEvent
from flute_server.domain.message import Handoff
from flute_server.domain.outcome import SendResult
from flute_server.providers.authentication import is_label

# Longer than any mail is of interest, and short enough to be added to a time.
NEVER = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class Field:
    """One thing a person must know to connect this provider; `secret` ones are never shown again."""

    name: str
    label: str
    secret: bool = False
    required: bool = True
    default: str = ""
    help: str = ""
    choices: tuple[str, ...] = ()

    @property
    def webhook(self) -> bool:
        """Whether it only proves that events come from the provider, and is not needed to send."""
        return self.name.startswith("webhook_")


# What DNS is asked about the account, in fields that are no secrets.
_LABELS = frozenset({"dkim_selector", "return_path"})


def dkim_field(example: str) -> Field:
    """Where the key is with which the provider signs for the FROM domain, if only it knows."""
    help_ = f"Only for the check of the domain's records: what stands before ._domainkey, such as {example}."
    return Field("dkim_selector", "DKIM selector", required=False, help=help_)


def return_path_field(example: str) -> Field:
    """The host below the FROM domain that bounces return to, if only the provider knows."""
    help_ = f"Only for the check of the domain's records: what stands before the domain, such as {example}."
    return Field("return_path", "Return path", required=False, help=help_)


@dataclass(frozen=True, slots=True)
class Network:
    """How an outgoing call may behave. Times in seconds.

    read_timeout_s bounds the wait for an answer once the mail has left; keep it above the slowest honest
    answer, for what times out here is ambiguous. allow_private lets tenants name private addresses;
    ca_file names certificate authorities to trust besides the usual ones. Both are the operator's choice,
    never a tenant's. bounce_secret signs return paths (domain/verp.py); empty: none are made.
    """

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    allow_private: bool = False
    max_connections: int = 32
    ca_file: str = ""
    bounce_secret: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class CredentialCheck:
    """The answer of a harmless call with these credentials: usable or not, why, and what to do about it.

    refused: it is the credentials that the provider does not take. Otherwise it could not be asked, or takes
    no mail for another reason.
    """

    ok: bool
    text: str
    advice: str = ""
    refused: bool = False


class CredentialError(ValueError):
    """A credential field is missing, unknown or malformed; `field` names it."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """What a provider posted to us, untouched: its signature covers the raw body.

    headers: with lower-case names.
    """

    headers: Mapping[str, str]
    body: bytes


class WebhookRefused(Exception):
    """Nothing proves that this came from the provider. The text says what is wrong and where to set it
    right; it never holds a secret."""


class WebhookMalformed(Exception):
    """The body is not what this provider posts."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What we know about a call whose answer was lost.

    recipients: the addresses that matter; provider_message_id: empty unless some part of the answer came.
    """

    attempt_id: str
    email_id: str
    recipients: tuple[str, ...]
    subject: str
    start_time: datetime
    provider_message_id: str = ""


@dataclass(frozen=True, slots=True)
class LookUp:
    """Whether the provider has the mail: found None means that it cannot tell. The text says how we know.

    A `found=False` holds from Provider.look_up_settles after the attempt on; earlier its index may lag.
    events: what the provider told about the mail besides, as its webhook would have.
    """

    found: bool | None
    text: str
    provider_message_id: str = ""
    events: tuple[ProviderEvent, ...] = ()


class Provider(ABC):
    """A live connection to one provider account; safe to use from several threads at once."""

    slug: ClassVar[str]
    name: ClassVar[str]
    about: ClassVar[str]  # what it is, in one sentence for those who choose
    fields: ClassVar[tuple[Field, ...]]
    capabilities: ClassVar[Capabilities]
    simulated: ClassVar[bool] = False  # nothing leaves: what becomes of its mail is played
    webhooks: ClassVar[bool] = False
    webhook_help: ClassVar[tuple[str, ...]] = ()  # the steps to set it up, one a line
    look_up_settles: ClassVar[timedelta] = NEVER

    def __init__(self, credentials: Mapping[str, str], network: Network) -> None:
        self.credentials = self.validate(credentials)
        self.network = network

    @classmethod
    def validate(cls, credentials: Mapping[str, str]) -> dict[str, str]:
        """The credentials with defaults filled in. Raises CredentialError; never repeats a secret."""
        known = {field.name for field in cls.fields}
        for name in credentials:
            if name not in known:
                known_names = ", ".join(sorted(known))
                raise CredentialError(name, f"{cls.name} has no field {name}; it has {known_names}")
        return {field.name: _value(field, credentials.get(field.name, ""), cls.name) for field in cls.fields}

    def objections(self, handoff: Handoff) -> tuple[str, ...]:
        """Why this account cannot carry this mail faithfully; a provider adds its own quirks."""
        return objections(self.capabilities, handoff)

    @abstractmethod
    def send(self, handoff: Handoff) -> SendResult:
        """Hand the mail over once. Whatever network or provider do is a SendResult, never an exception."""

    @abstractmethod
    def check(self) -> CredentialCheck:
        """Try the credentials with a call that sends nothing."""

    def authenticate(self, request: WebhookRequest, now: datetime) -> None:
        """Raises WebhookRefused unless the request proves to come from the provider."""
        raise WebhookRefused(f"{self.name} posts no events")

    def read_events(self, body: bytes) -> list[ProviderEvent]:
        """The events of one call, in its order. An unknown one is kept as OTHER, a ping reads as none.

        Raises WebhookMalformed, and nothing else, for whatever is not this provider's form.
        """
        raise WebhookMalformed(f"{self.name} posts no events")

    def webhook_token(self, body: bytes) -> str:
        """What a genuine call uses for one event only, where the signature does not cover the body.

        The same token with another event's key is a forgery. Empty where all is covered, or nothing.
        """
        return ""

    def look_up(self, trace: Trace) -> LookUp:
        """Ask the provider whether it took this mail. What goes wrong is `found=None`, never an exception."""
        return LookUp(None, f"{self.name} offers no way to look up a mail")

    @abstractmethod
    def close(self) -> None:
        """Drop kept-alive connections."""


def _value(field: Field, given: str, provider: str) -> str:
    value = given.strip() or field.default
    if field.required and not value:
        raise CredentialError(field.name, f"{provider} needs {field.name} ({field.label})")
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in value):
        raise CredentialError(field.name, f"{field.name} holds a control character")
    if field.name in _LABELS and value and not is_label(value):
        raise CredentialError(field.name, f"{field.name} is the part of a host name before the domain")
    if field.choices and value not in field.choices:
        raise CredentialError(field.name, f"{field.name} is one of {', '.join(field.choices)}")
    return value
