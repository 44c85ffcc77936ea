"""orchestra: use many AI models as one.

import orchestra as oc

engine = oc.Engine()                                   # every known provider whose key is in the environment
reply = engine.chat("Summarise this.", model="openai/gpt-5-mini")
print(reply.text, reply.cost)
"""

from __future__ import annotations

import logging as _logging

__version__ = "0.1.0"

from . import wire
from .batch import Batch
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


def __getattr__(name: str) -> object:
    if name == "testing":  # import orchestra; orchestra.testing.FakeProviders(...)
        import importlib

        return importlib.import_module("orchestra.testing")
    raise AttributeError(f"module 'orchestra' has no attribute {name!r}")
