"""The tables, one file an aggregate."""

from flute_server.models.account import Account, Invitation, Member, Role, Session, User
from flute_server.models.audit import AuditEntry
from flute_server.models.base import AUTOCOMMIT, autocommit, db
from flute_server.models.drill import Diversion, Drill
from flute_server.models.email import (
    Attachment,
    Attempt,
    ContentKept,
    Email,
    Event,
    IdempotencyKey,
    Ledger,
    Recipient,
)
from flute_server.models.environment import (
    AmbiguityPolicy,
    ApiKey,
    DelayPolicy,
    Environment,
    KeyKind,
    Route,
    Scope,
)
from flute_server.models.feedback import (
    Alert,
    AlertKind,
    Inbound,
    ProviderEvent,
    Suppression,
    SuppressionReason,
)
from flute_server.models.person import RecoveryCode, SignUp, SystemMail, TokenKind, UserToken
from flute_server.models.provider_account import Breaker, BreakerChange, Delay, ProviderAccount
from flute_server.models.statistics import Dimension, DomainTally, Follower, Grain, Measure, Tally, Timing
from flute_server.models.webhook import WebhookDelivery, WebhookDeliveryState, WebhookEndpoint, WebhookTry

__all__ = [
    "AUTOCOMMIT",
    "Account",
    "Alert",
    "AlertKind",
    "AmbiguityPolicy",
    "ApiKey",
    "Attachment",
    "Attempt",
    "AuditEntry",
    "Breaker",
    "BreakerChange",
    "ContentKept",
    "Delay",
    "DelayPolicy",
    "Dimension",
    "Diversion",
    "DomainTally",
    "Drill",
    "Email",
    "Environment",
    "Event",
    "Follower",
    "Grain",
    "IdempotencyKey",
    "Inbound",
    "Invitation",
    "KeyKind",
    "Ledger",
    "Measure",
    "Member",
    "ProviderAccount",
    "ProviderEvent",
    "Recipient",
    "RecoveryCode",
    "Role",
    "Route",
    "Scope",
    "Session",
    "SignUp",
    "Suppression",
    "SuppressionReason",
    "SystemMail",
    "Tally",
    "Timing",
    "TokenKind",
    "User",
    "UserToken",
    "WebhookDelivery",
    "WebhookDeliveryState",
    "WebhookEndpoint",
    "WebhookTry",
    "autocommit",
    "db",
]
