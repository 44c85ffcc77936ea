"""What the benchmarks share: the upstream, processes on cores of their own, the certificate, a quiet machine."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ask import ask

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MOCK_CORE, CLIENT_CORE = 0, 1


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Upstream:
    """A mock that runs: its port, and what it has counted."""

    def __init__(self, port: int, ca_file: str) -> None:
        self.port = port
        self.ca_file = ca_file

    @property
    def environment(self) -> dict[str, str]:
        """What tells a client where to ask; SSL_CERT_FILE is what most TLS libraries look at by themselves."""
        found = {"MOCK_PORT": str(self.port)}
        return found | ({"MOCK_CA": self.ca_file, "SSL_CERT_FILE": self.ca_file} if self.ca_file else {})

    def ask(self, path: str) -> dict[str, Any]:
        return ask(self.port, path, self.ca_file)


class Bench:
    """What the options of one run have in common."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder  # of temporary files
        self.curl_poll = options.build / "bench_curl_poll"
        self.environment = os.environ | {"PYTHONPATH": str(options.package), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        self._certificate: tuple[str, str, str] | None = None

    def certificate(self) -> tuple[str, str, str]:
        """Files: a new authority, a P-256 certificate of it for 127.0.0.1, the key. Some clients refuse one that signs
        itself."""
        if self._certificate is None:
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            (folder / "names").write_text("basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n")
            new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
            authority = ["-subj", "/CN=bench authority", "-keyout", "ca.key", "-out", "ca.pem"]
            sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
            for command in (
                ["req", "-x509", *new, "-days", "7", *authority],
                ["req", *new, "-subj", "/CN=localhost", "-keyout", "key", "-out", "request"],
                ["x509", "-req", "-in", "request", "-days", "7", *sign, "-out", "certificate"],
            ):
                done = subprocess.run(["openssl", *command], cwd=folder, capture_output=True, text=True)
                if done.returncode:
                    raise SystemExit(f"bench: openssl {command[0]} failed: {done.stderr.strip()[-300:]}")
            self._certificate = (str(folder / "ca.pem"), str(folder / "certificate"), str(folder / "key"))
        return self._certificate

    @contextlib.contextmanager
    def upstream(self, *arguments: str, tls: bool = False) -> Iterator[Upstream]:
        """A fresh mock on its core."""
        command = [str(self.options.build / "bench_mock"), "--until-stdin-ends", *arguments]
        ca_file = ""
        if tls:
            ca_file, certificate, key = self.certificate()
            command += ["--certificate", certificate, "--key", key]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: pin(MOCK_CORE)
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            yield Upstream(int(process.stdout.readline()), ca_file)
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait()

    def client(
        self, command: list[str], more: dict[str, str] | None = None, seconds: float = 90, pinned: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """One process on the core of the clients, or where this one runs, to its end."""
        return subprocess.run(
            command,
            env=self.environment | (more or {}),
            capture_output=True,
            text=True,
            timeout=seconds,
            preexec_fn=(lambda: pin(CLIENT_CORE)) if pinned else None,
        )

    def result(self, command: list[str], more: dict[str, str] | None = None, seconds: float = 90) -> dict[str, Any]:
        """The JSON of a client's last line; {"errors": 1, "why"} when there is none."""
        try:
            done = self.client(command, more, seconds)
        except subprocess.TimeoutExpired:
            return {"errors": 1, "why": f"no result within {seconds:.0f} s"}
        lines = done.stdout.splitlines()
        if done.returncode or not lines:
            return {"errors": 1, "why": (done.stderr.strip().splitlines() or ["no output"])[-1][:200]}
        row: dict[str, Any] = json.loads(lines[-1])
        return row


def pin(core: int) -> None:
    """In a child, before it runs: only on this core, where there are enough."""
    if len(os.sched_getaffinity(0)) > max(MOCK_CORE, CLIENT_CORE):
        os.sched_setaffinity(0, {core})


def busy_share(seconds: float = 0.2) -> float:
    """The share of all cores in use now; the load average would count the cell before."""

    def read() -> tuple[int, int]:
        ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(ticks), ticks[3] + ticks[4]

    all_before, idle_before = read()
    time.sleep(seconds)
    all_after, idle_after = read()
    return 1 - (idle_after - idle_before) / max(1, all_after - all_before)


def wait_until_quiet(most_seconds: float = 5, most_busy: float = 0.1) -> float:
    until = time.monotonic() + most_seconds
    while (busy := busy_share()) > most_busy and time.monotonic() < until:
        pass
    return busy


def spread(values: list[float]) -> str:
    """median [least-most]"""
    digits = 2 if statistics.median(values) < 10 else 1 if statistics.median(values) < 100 else 0
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}-{max(values):.{digits}f}]"
