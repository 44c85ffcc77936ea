"""Where the certificates come from that TLS trusts, when the system has none."""

from __future__ import annotations

from ._compiled import core


def fallback_ca_file() -> str:
    """The file of the package certifi, if it is needed and there; else ""."""
    found, _ = core.ca_store()
    return certifi_file() if found is None else ""


def certifi_file() -> str:
    """The file of the package certifi; "" when it is not installed."""
    try:
        from importlib import import_module

        return str(import_module("certifi").where())
    except ImportError:
        return ""
