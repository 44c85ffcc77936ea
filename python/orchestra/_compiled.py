"""The only module that imports the compiled one; checks where it may live, and that both are of the same version."""

from __future__ import annotations

import sys

import orchestra

try:
    if sys.version_info >= (3, 13):
        import _interpreters as interpreters
    else:
        import _xxsubinterpreters as interpreters  # type: ignore[import-not-found]
except ImportError:  # a Python that was built without them
    pass
else:
    if interpreters.get_current() != interpreters.get_main():  # the compiled module would wait for ever
        raise ImportError("orchestra works in the main interpreter only, not in a sub-interpreter")

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
