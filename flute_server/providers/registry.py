"""Every provider that Flute can send through. A new one is one line here and one file beside this one
(with its webhook in `<slug>_events.py`, as both together would pass 400 lines)."""

from __future__ import annotations

from collections.abc import Mapping

from flute_server.providers.base import CredentialError, Network, Provider
from flute_server.providers.mailgun import Mailgun
from flute_server.providers.postmark import Postmark
from flute_server.providers.sendgrid import SendGrid
from flute_server.providers.simulator import Simulator
from flute_server.providers.smtp import Smtp
from flute_server.providers.sparkpost import SparkPost

PROVIDERS: Mapping[str, type[Provider]] = {
    "sendgrid": SendGrid,
    "postmark": Postmark,
    "sparkpost": SparkPost,
    "mailgun": Mailgun,
    "smtp": Smtp,
    "simulator": Simulator,
}


def provider_class(slug: str) -> type[Provider]:
    """Raises CredentialError for a provider that there is not."""
    try:
        return PROVIDERS[slug]
    except KeyError:
        choices = ", ".join(PROVIDERS)
        raise CredentialError("provider", f"there is no provider {slug!r}; choose {choices}") from None


def connect(slug: str, credentials: Mapping[str, str], network: Network) -> Provider:
    """A live connection to one provider account. Opens nothing yet. Raises CredentialError."""
    return provider_class(slug)(credentials, network)
