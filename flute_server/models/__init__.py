"""The tables, one file an aggregate."""

from flute_server.models.account import Account, Member, Role, User
from flute_server.models.base import AUTOCOMMIT, autocommit, db
from flute_server.models.email import Attachment, Attempt, Email, Event, Ledger, Recipient
from flute_server.models.environment import AmbiguityPolicy, ApiKey, Environment, Route
from flute_server.models.provider_account import Breaker, ProviderAccount

__all__ = [
    "AUTOCOMMIT",
    "Account",
    "AmbiguityPolicy",
    "ApiKey",
    "Attachment",
    "Attempt",
    "Breaker",
    "Email",
    "Environment",
    "Event",
    "Ledger",
    "Member",
    "ProviderAccount",
    "Recipient",
    "Role",
    "Route",
    "User",
    "autocommit",
    "db",
]
