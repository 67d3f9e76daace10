"""Addresses: of pages in other sections, and of the API."""

from __future__ import annotations

from typing import Any

from flask import current_app, request, url_for


def address_of(page: str, **values: Any) -> str:  # noqa: ANN401 (as url_for)
    """Where a page is, for example "email"; empty where this installation has none."""
    endpoint = f"dashboard.{page}"
    return url_for(endpoint, **values) if endpoint in current_app.view_functions else ""


def base_url() -> str:
    """Where apps reach the API: where the operator says, or where we were reached just now."""
    known: str = current_app.config["FLUTE_PUBLIC_URL"]
    return known or request.host_url.rstrip("/")
