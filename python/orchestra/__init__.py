"""orchestra: use many AI models as one.

import orchestra as oc

engine = oc.Engine()                                   # every known provider whose key is in the environment
reply = engine.chat("Summarise this.", model="openai/gpt-5-mini")
print(reply.text, reply.cost)
"""

from __future__ import annotations

import logging as _logging
from typing import TYPE_CHECKING as _TYPE_CHECKING

__version__ = "0.1.0"

from .config import Model, Provider, Retry, Timeout
from .engine import Engine
from .errors import (
    AuthenticationError,
    BudgetError,
    BudgetExceeded,
    Cancelled,
    ConfigError,
    ConnectError,
    ContentFiltered,
    ContextTooLong,
    DeadlineExceeded,
    Interrupted,
    InvalidRequest,
    NoEligibleModel,
    NotFound,
    OrchestraError,
    OutputError,
    Overloaded,
    PermissionDenied,
    ProtocolError,
    ProviderError,
    RateLimited,
    RequestError,
    RoutingError,
    SchemaMismatch,
    ServerError,
    TlsError,
    TransportError,
    Truncated,
    Unsupported,
)
from .reply import Attempt, Choice, Cost, Delta, Reply, ToolCall, Usage
from .secret import Secret

if _TYPE_CHECKING:
    from . import wire
    from .batch import Batch
    from .stream import AsyncStream, Stream

_logging.getLogger("orchestra").addHandler(_logging.NullHandler())

__all__ = [
    "AsyncStream",
    "Attempt",
    "AuthenticationError",
    "Batch",
    "BudgetError",
    "BudgetExceeded",
    "Cancelled",
    "Choice",
    "ConfigError",
    "ConnectError",
    "ContentFiltered",
    "ContextTooLong",
    "Cost",
    "DeadlineExceeded",
    "Delta",
    "Engine",
    "Interrupted",
    "InvalidRequest",
    "Model",
    "NoEligibleModel",
    "NotFound",
    "OrchestraError",
    "OutputError",
    "Overloaded",
    "PermissionDenied",
    "ProtocolError",
    "Provider",
    "ProviderError",
    "RateLimited",
    "Reply",
    "RequestError",
    "Retry",
    "RoutingError",
    "SchemaMismatch",
    "Secret",
    "ServerError",
    "Stream",
    "Timeout",
    "TlsError",
    "ToolCall",
    "TransportError",
    "Truncated",
    "Unsupported",
    "Usage",
    "wire",
]


# What a program may never use is imported when it does: a process answers its first call sooner.
_LATER = {"AsyncStream": "stream", "Batch": "batch", "Stream": "stream", "testing": "testing", "wire": "wire"}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'orchestra' has no attribute {name!r}")
    from importlib import import_module

    module = import_module("orchestra." + _LATER[name])
    value = globals()[name] = module if name == _LATER[name] else getattr(module, name)
    return value
