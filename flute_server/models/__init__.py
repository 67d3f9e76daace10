"""The tables, one file an aggregate."""

from flute_server.models.account import Account, Member, Role, User
from flute_server.models.base import AUTOCOMMIT, autocommit, db
from flute_server.models.email import Attachment, Attempt, Email, Event, Ledger, Recipient
from flute_server.models.environment import AmbiguityPolicy, ApiKey, DelayPolicy, Environment, Route
from flute_server.models.feedback import (
    Alert,
    AlertKind,
    Inbound,
    ProviderEvent,
    Suppression,
    SuppressionReason,
)
from flute_server.models.provider_account import Breaker, Delay, ProviderAccount

__all__ = [
    "AUTOCOMMIT",
    "Account",
    "Alert",
    "AlertKind",
    "AmbiguityPolicy",
    "ApiKey",
    "Attachment",
    "Attempt",
    "Breaker",
    "Delay",
    "DelayPolicy",
    "Email",
    "Environment",
    "Event",
    "Inbound",
    "Ledger",
    "Member",
    "ProviderAccount",
    "ProviderEvent",
    "Recipient",
    "Role",
    "Route",
    "Suppression",
    "SuppressionReason",
    "User",
    "autocommit",
    "db",
]
