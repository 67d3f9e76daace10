"""How a provider account fares, in the words and tones of the pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flute.v1.provider_account_service_pb2 import (
    BREAKER_STATE_CLOSED,
    BREAKER_STATE_HALF_OPEN,
    PROVIDER_ACCOUNT_STATE_CHECK_FAILED,
    PROVIDER_ACCOUNT_STATE_CREDENTIALS_REFUSED,
    PROVIDER_ACCOUNT_STATE_FAILING,
    PROVIDER_ACCOUNT_STATE_HEALTHY,
    PROVIDER_ACCOUNT_STATE_NOT_TRIED,
    PROVIDER_ACCOUNT_STATE_PAUSED,
    PROVIDER_ACCOUNT_STATE_RECOVERING,
    PROVIDER_ACCOUNT_STATE_SLOWED_DOWN,
    DomainHealth,
    Provider,
    ProviderAccount,
    ProviderField,
)

from web.dashboard.show import plural
from web.dashboard.words import sentence


@dataclass(frozen=True, slots=True)
class Mark:
    """A state. label: for its pill; tone: as in the kit; text: what it means and why."""

    label: str
    tone: str
    text: str


_WELL = {PROVIDER_ACCOUNT_STATE_HEALTHY, PROVIDER_ACCOUNT_STATE_NOT_TRIED}
_DOUBTED = {PROVIDER_ACCOUNT_STATE_CREDENTIALS_REFUSED, PROVIDER_ACCOUNT_STATE_CHECK_FAILED}
# The state -> the label and tone of its pill, in lists and on pages alike.
_PILLS: Mapping[int, tuple[str, str]] = {
    PROVIDER_ACCOUNT_STATE_HEALTHY: ("Healthy", "good"),
    PROVIDER_ACCOUNT_STATE_NOT_TRIED: ("Not tried yet", "neutral"),
    PROVIDER_ACCOUNT_STATE_CREDENTIALS_REFUSED: ("Credentials refused", "bad"),
    PROVIDER_ACCOUNT_STATE_CHECK_FAILED: ("Check failed", "warn"),
    PROVIDER_ACCOUNT_STATE_SLOWED_DOWN: ("Slowed down", "warn"),
    PROVIDER_ACCOUNT_STATE_FAILING: ("Failing", "bad"),
    PROVIDER_ACCOUNT_STATE_RECOVERING: ("Recovering", "warn"),
    PROVIDER_ACCOUNT_STATE_PAUSED: ("Paused", "neutral"),
}


def pill(state: int) -> tuple[str, str]:
    """Label and tone of a ProviderAccountState."""
    return _PILLS.get(state, ("Unknown", "neutral"))


def is_ill(state: int) -> bool:
    """Whether somebody should look at it."""
    return pill(state)[1] in {"bad", "warn"}


def health(account: ProviderAccount) -> Mark:
    """Whether it gets mail now, and what speaks against it."""
    label, tone = pill(account.state)
    domains = _failing(account.domains)
    if account.state not in _WELL or not domains:
        return Mark(label, tone, _why(account))
    where = ", ".join(domains[:3]) + (f" and {len(domains) - 3} more" if len(domains) > 3 else "")
    text = f"Its mail does not get to {where}, and goes there through other providers."
    return Mark(f"Failing at {plural(len(domains), 'domain')}", "warn", text)


def _why(account: ProviderAccount) -> str:
    """What its state means."""
    if account.state == PROVIDER_ACCOUNT_STATE_PAUSED:
        return "Somebody has paused it: it gets no mail in any environment."
    if account.state == PROVIDER_ACCOUNT_STATE_NOT_TRIED:
        return "Nobody has tested its credentials yet, and no mail was given to it."
    if doubted(account):
        return sentence(account.last_check.text)
    return _breaker(account).text


def doubted(account: ProviderAccount) -> bool:
    """Whether the last check speaks against it, and no mail has decided since."""
    return account.state in _DOUBTED


def domain_health(domain: DomainHealth) -> Mark:
    """The same for one receiving domain."""
    return _breaker(domain)


def _failing(domains: Sequence[DomainHealth]) -> list[str]:
    return [one.domain for one in domains if one.breaker_state != BREAKER_STATE_CLOSED]


def _breaker(told: ProviderAccount | DomainHealth) -> Mark:
    reason = sentence(told.breaker_reason)
    if told.breaker_state == BREAKER_STATE_CLOSED:
        if told.HasField("retry_time"):
            return Mark("Slowed down", "warn", reason or "It asked to slow down.")
        return Mark("Healthy", "good", "")
    if told.breaker_state == BREAKER_STATE_HALF_OPEN:
        return Mark("Recovering", "warn", f"One mail is finding out whether it works again. {reason}".strip())
    return Mark("Failing", "bad", reason or "It is passed over.")


def events(account: ProviderAccount, kind: Provider) -> Mark:
    """Whether what it tells of its mail gets here."""
    if missing := missing_secrets(account, kind):
        return Mark(
            "Not set up",
            "warn",
            f"Without the {missing[0].label[:1].lower()}{missing[0].label[1:]} nobody could tell its events "
            "from forged ones, so none are taken in. Give it below.",
        )
    if _refused_last(account):
        text = f"The last call was refused: {account.last_rejected_event.reason}"
        return Mark("Refused", "bad", sentence(text))
    if account.HasField("last_event_time"):
        return Mark("Arriving", "good", "What it tells of its mail gets here.")
    text = "Nothing has come yet. Follow the steps below, then send a mail through it."
    return Mark("Waiting for the first", "neutral", text)


def missing_secrets(account: ProviderAccount, kind: Provider) -> list[ProviderField]:
    """What its webhook needs, and nobody has given yet."""
    known = {name for name, value in account.credentials.items() if value} | set(account.known_secrets)
    needed = [field for field in kind.fields if field.webhook and not field.default_value]
    return [field for field in needed if field.name not in known]


def _refused_last(account: ProviderAccount) -> bool:
    if not account.HasField("last_rejected_event"):
        return False
    refused = account.last_rejected_event.time.ToMicroseconds()
    return not account.HasField("last_event_time") or refused > account.last_event_time.ToMicroseconds()


def steps(account: ProviderAccount, kind: Provider) -> Iterator[str]:
    """How to set its webhook up, with what the fields are called on the page."""
    labels: Mapping[str, str] = {field.name: field.label for field in kind.fields}
    for step in account.webhook_help:
        text = step
        for name, label in labels.items():
            quoted = f"\N{LEFT DOUBLE QUOTATION MARK}{label}\N{RIGHT DOUBLE QUOTATION MARK}"
            text = text.replace(f"{name} of this account", f"{quoted} below").replace(name, quoted)
        yield text
