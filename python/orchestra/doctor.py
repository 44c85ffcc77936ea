"""`orchestra doctor`: what is here, what counts, and what is wrong. Sends nothing and shows no key."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from .cli import DONE, FAILED, config_path, print_text
from .errors import OrchestraError

if TYPE_CHECKING:
    from .engine import Engine

_PROXIES = ("https_proxy", "http_proxy", "all_proxy", "no_proxy")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE")
_FEW_FILES = 1024  # open files; a map with concurrency=1000 needs about so many


def run_doctor(*, given: str | None = None, as_json: bool = False) -> int:
    """Prints the findings; exit 1 when something is wrong.

    Args:
        given: The configuration file of the command line.
        as_json: One object on stdout.
    """
    found, problems, hints = examine(given)
    if as_json:
        import json

        print_text(json.dumps({"ok": not problems, "problems": problems, "hints": hints, **found}, ensure_ascii=False))
    else:
        for title, values in found.items():
            print_text(f"{title}")
            for name, value in values.items():
                print_text(f"  {name:22} {_shown(value)}")
        print_text("")
        for sentence in problems:
            print_text(f"problem: {sentence}")
        for sentence in hints:
            print_text(f"hint: {sentence}")
        if not problems:
            print_text("Everything that was looked at is in order.")
    return FAILED if problems else DONE


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def examine(given: str | None) -> tuple[dict[str, dict[str, Any]], list[str], list[str]]:
    """What was found, what is wrong, and what could be better."""
    problems: list[str] = []
    hints: list[str] = []
    keys = _keys()
    set_keys: dict[str, Any] = {variable: True for variable, present in keys.items() if present}
    connections: dict[str, Any] = {}
    found = {
        "versions": _versions(),
        "configuration": _configuration(given, keys, connections, problems, hints),
        "keys": set_keys or {"none": None},
        "proxies": _proxies(),
        "connections": connections or {"none": None},
        "certificates": _certificates(problems),
        "local model": _local_model(),
        "limits": _limits(hints),
    }
    return found, problems, hints


def _versions() -> dict[str, Any]:
    import platform

    from . import __version__
    from ._compiled import core

    versions: dict[str, Any] = {"orchestra": __version__}
    versions["core"] = core.version
    more = getattr(core, "versions", None)
    if callable(more):
        versions.update(more())
    versions["python"] = platform.python_version()
    versions["system"] = f"{platform.system()} {platform.release()} {platform.machine()}"
    versions["executable"] = sys.executable
    return versions


def _keys() -> dict[str, bool]:
    """The variable of each known provider, and whether it is set."""
    from .config import builtin_key_variables

    return {name: bool(os.environ.get(name)) for name in sorted({*builtin_key_variables().values(), ""} - {""})}


def _configuration(
    given: str | None, keys: dict[str, bool], connections: dict[str, Any], problems: list[str], hints: list[str]
) -> dict[str, Any]:
    from .engine import Engine

    path = config_path(given)
    if path is None:
        with Engine() as engine:
            connections.update(_connections(engine))
        if not any(keys.values()):
            hints.append("no key and no configuration: set a variable such as OPENAI_API_KEY, or write orchestra.toml")
        return {"file": None, "source": "the keys in the environment"}
    source = "--config" if given else "ORCHESTRA_CONFIG" if os.environ.get("ORCHESTRA_CONFIG") else "./orchestra.toml"
    found: dict[str, Any] = {"file": os.path.abspath(path), "source": source, "valid": False}
    try:
        engine = Engine.load(path)
        config = engine.config()
        connections.update(_connections(engine))
        engine.close(timeout=0)
    except (OrchestraError, OSError) as error:
        problems.append(str(error))
        return found
    found["valid"] = True
    for name in ("providers", "models", "routes"):
        if isinstance(config.get(name), list):
            found[name] = ", ".join(str(entry.get("name")) for entry in config[name]) or None
    return found


def _connections(engine: Engine) -> dict[str, str]:
    """How the requests of each provider travel."""
    return {
        name: f"{url} by {exchange}" + (f", through {proxy}" if proxy else "")
        for name, exchange, url, proxy in engine._core.connections()
    }


def _proxies() -> dict[str, Any]:
    found = {}
    for name in _PROXIES:
        for variable in (name, name.upper()):
            value = os.environ.get(variable)
            if value:
                found[variable] = _without_user(value)
    return found or {"none": None}


def _without_user(address: str) -> str:
    scheme, separator, rest = address.rpartition("://")
    return scheme + separator + ("***@" + rest.rpartition("@")[2] if "@" in rest else rest)


def _certificates(problems: list[str]) -> dict[str, Any]:
    from ._compiled import core
    from .certificates import certifi_file

    found: dict[str, Any] = {}
    for variable in _CERTIFICATES:
        path = os.environ.get(variable)
        if path:
            found[variable] = path
            if not os.path.exists(path):
                problems.append(f"{variable} names {path}, which does not exist")
    trusted, looked_at = core.ca_store(fallback=certifi_file())
    found["trusted"] = trusted
    if trusted is None:
        problems.append("no certificates to trust, so no call by https works; looked at: " + ", ".join(looked_at))
    return found


def _local_model() -> dict[str, Any]:
    try:
        from .testing.local_model import missing
    except ImportError as error:
        return {"ready": False, "how": str(error)}
    reason = missing()
    return {"ready": True} if reason is None else {"ready": False, "how": reason}


def _limits(hints: list[str]) -> dict[str, Any]:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FEW_FILES:
        hints.append(f"only {soft} files may be open; before a large map: ulimit -n 4096")
    infinite = resource.RLIM_INFINITY
    return {
        "open files": "unlimited" if soft == infinite else soft,
        "open files at most": "unlimited" if hard == infinite else hard,
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }
