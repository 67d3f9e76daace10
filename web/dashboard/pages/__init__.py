"""The pages, one module a section. Importing a module adds its pages to the blueprint."""

from web.dashboard.pages import (
    environment_domain,
    environment_keys,
    environment_routes,
    environment_settings,
    environment_try,
    environments,
    home,
    log_in,
)

__all__ = [
    "environment_domain",
    "environment_keys",
    "environment_routes",
    "environment_settings",
    "environment_try",
    "environments",
    "home",
    "log_in",
]
