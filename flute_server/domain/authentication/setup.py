"""What a provider needs in DNS so that its mail counts as the FROM domain's own."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class DnsSetup:
    """One provider's records. Those below the FROM domain, or below `domain` where it sends for that one.

    include: the host that its SPF include names; include_needed: whether receivers look there, since the mail
    returns to that very domain. selectors: of its DKIM keys; every_selector: all are needed, else one is
    enough. key_target: the end of what a selector's CNAME leads to, empty where the key itself is the record;
    key_value: that record, with <...> for what only the provider knows. return_label: of the host to which
    bounces go, empty if it is not known; return_target, return_value: as for the key. bounce_domain: where
    bounces go that Flute itself receives. where, return_where: how to find the key's record, and the
    host that bounces return to.
    """

    domain: str = ""
    include: str = ""
    include_needed: bool = False
    selectors: tuple[str, ...] = ()
    every_selector: bool = False
    key_target: str = ""
    key_value: str = ""
    return_label: str = ""
    return_target: str = ""
    return_value: str = ""
    bounce_domain: str = ""
    where: str = ""
    return_where: str = ""

    @property
    def signs(self) -> bool:
        """Whether its mail can be signed as far as is known."""
        return bool(self.key_value)


@dataclass(frozen=True, slots=True)
class Carrier:
    """A provider account through which mail of the domain goes.

    provider: what the kind is called; authenticated: the route says that it signs for the domain.
    """

    account: UUID
    name: str
    provider: str
    setup: DnsSetup
    authenticated: bool = False
