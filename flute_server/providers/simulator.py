"""A provider that delivers to nobody: to see everything work before a real account is connected."""

from __future__ import annotations

from flute_server.domain.capability import Capabilities
from flute_server.domain.message import Handoff
from flute_server.domain.outcome import Reply, SendResult
from flute_server.providers.base import CredentialCheck, Provider


class Simulator(Provider):
    """Takes every mail. What becomes of it is played as for a test key: see sending/simulate.py."""

    slug = "simulator"
    name = "Simulator (delivers to nobody)"
    about = "Delivers to nobody, to try things out."
    fields = ()
    capabilities = Capabilities(
        max_bytes=50 * 1024 * 1024,
        max_recipients=500,
        internationalized_sender=True,
        internationalized_recipient=True,
        separates_envelope=True,
        names_copies=True,
    )
    simulated = True

    def send(self, handoff: Handoff) -> SendResult:
        return SendResult(Reply(None, provider_message_id=f"simulated-{handoff.attempt_id}"))

    def check(self) -> CredentialCheck:
        return CredentialCheck(
            True, "Always there. Its mail reaches nobody: connect a real provider for that."
        )

    def close(self) -> None:
        """There is nothing to close."""
