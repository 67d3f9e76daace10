"""The pages, one module a section. Importing a module adds its pages to the blueprint."""

from web.dashboard.pages import home, log_in

__all__ = ["home", "log_in"]
