"""The pages, one module a section. Each adds its pages to the blueprint when it is imported, here."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
