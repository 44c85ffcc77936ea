"""The only module that imports the compiled one; checks that both are of the same version."""

from __future__ import annotations

import orchestra

try:
    from . import _core as core
except ImportError as error:  # pragma: no cover - needs a broken installation
    raise ImportError(
        f"orchestra's compiled module cannot be loaded ({error}); "
        "reinstall orchestra-core, or run ./dev run in a checkout"
    ) from error

if core.version != orchestra.__version__:
    raise ImportError(
        f"orchestra {orchestra.__version__} found a compiled module of version {core.version}; reinstall orchestra-core"
    )

__all__ = ["core"]
