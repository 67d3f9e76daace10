"""The pages, one module a section. Importing a module adds its pages to the blueprint."""

from web.dashboard.pages import (
    account,
    audit,
    home,
    invitations,
    log_in,
    passwords,
    sessions,
    settings,
    sign_up,
    team,
    two_factor,
)

__all__ = [
    "account",
    "audit",
    "home",
    "invitations",
    "log_in",
    "passwords",
    "sessions",
    "settings",
    "sign_up",
    "team",
    "two_factor",
]
