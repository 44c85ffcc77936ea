"""The command line: chat, map, models, demo, doctor.

Results go to stdout, progress and `error: ...` to stderr. Exit codes: 0 done; 1 a call or rows failed; 2 usage, an
empty prompt, and every ConfigError or InvalidRequest before anything was sent; 130 Ctrl-C. The configuration is
`--config`, else ORCHESTRA_CONFIG, else ./orchestra.toml, else the keys in the environment.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import Cancelled, ConfigError, InvalidRequest, OrchestraError
from .progress import is_terminal

if TYPE_CHECKING:
    from .engine import Engine
    from .reply import Reply

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class UsageError(Exception):
    """What was asked for makes no sense; the sentence goes to stderr, exit 2."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and gives its exit code."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else USAGE
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except UsageError as error:
        say_error(str(error))
        return USAGE
    except OrchestraError as error:
        say_error(str(error))
        before_sending = isinstance(error, ConfigError | InvalidRequest) and error.status is None and not error.attempts
        return USAGE if before_sending else FAILED
    except BrokenPipeError:
        # The reader of stdout has left. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="orchestra", description="Use many AI models as one.", epilog="orchestra COMMAND --help tells more."
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")

    chat = commands.add_parser("chat", help="ask one question", description="Asks one question and prints the answer.")
    chat.add_argument("prompt", nargs="?", metavar="PROMPT", help="the question; without it stdin is read")
    _add_target(chat)
    chat.add_argument("--system", metavar="TEXT", help="the system message")
    chat.add_argument("--stream", action="store_true", help="print the answer as it comes")
    chat.add_argument("--json", action="store_true", help="print one object: text model finish_reason usage cost")
    chat.set_defaults(run=_chat)

    rows = commands.add_parser(
        "map",
        help="ask many questions",
        description='Reads JSON lines of row dicts, {"messages": ..., any keyword of a call}, and prints one JSON'
        " object a row, in order: text model finish_reason usage cost, or error.",
    )
    rows.add_argument("file", metavar="FILE", help="JSON lines; - is stdin")
    _add_target(rows)
    rows.add_argument("--system", metavar="TEXT", help="the system message of every row")
    rows.add_argument("--concurrency", type=_positive, default=64, metavar="N", help="rows in flight at once (64)")
    rows.add_argument(
        "--resume", metavar="PATH", help="keep finished rows there, and ask only for those that are missing"
    )
    rows.add_argument("--json", action="store_true", help="JSON lines, which is what map prints anyway")
    rows.set_defaults(run=_map)

    models = commands.add_parser(
        "models", help="list the known models", description="Lists the models of the shipped catalog."
    )
    models.add_argument("names", nargs="*", metavar="NAME", help="only models whose name contains this")
    models.add_argument("--json", action="store_true", help="one object a line")
    models.set_defaults(run=_models)

    demo = commands.add_parser(
        "demo",
        help="see it work, without any key",
        description="Sends 200 prompts to two faulty providers on this machine, then asks a small real model, and"
        " reports what went wrong and how each call was survived. Needs neither key nor network.",
    )
    demo.add_argument(
        "--prompts", metavar="FILE", help="a prompt a line, or .jsonl of row dicts, or .csv with `prompt`"
    )
    demo.add_argument("--seed", type=int, default=0, metavar="N", help="decides texts, delays and faults (0)")
    demo.add_argument("--json", action="store_true", help="print one object and nothing else")
    demo.set_defaults(run=_demo)

    doctor = commands.add_parser(
        "doctor",
        help="check this installation",
        description="Shows what orchestra finds here: versions, configuration, keys (present or not, never their"
        " value), proxies, certificates, limits. Sends nothing.",
    )
    doctor.add_argument("--config", metavar="FILE", help="the configuration file")
    doctor.add_argument("--json", action="store_true", help="print one object")
    doctor.set_defaults(run=_doctor)
    return parser


class _Version(argparse.Action):
    """Imports the package only when it is asked for."""

    def __init__(self, option_strings: list[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *unused: object) -> None:
        from . import __version__

        print(f"orchestra {__version__}")
        parser.exit(DONE)


def _add_target(parser: argparse.ArgumentParser) -> None:
    target = parser.add_mutually_exclusive_group()
    target.add_argument(
        "--model", action="append", metavar="NAME", help="provider/model; given again, the next is asked when one fails"
    )
    target.add_argument("--route", metavar="NAME", help="a route of the configuration")
    parser.add_argument("--config", metavar="FILE", help="the configuration file")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def say_error(sentence: str) -> None:
    """One line on stderr."""
    _print(sys.stderr, "error: " + " ".join(sentence.split()) + "\n")


def _print(stream: Any, text: str) -> None:
    """Writes; to a terminal without the characters that could steer it."""
    if is_terminal(stream):
        text = "".join(c for c in text if c in "\n\t" or not (ord(c) < 32 or 127 <= ord(c) < 160))
    stream.write(text)


def config_path(given: str | None) -> str | None:
    """The configuration file that counts, None for the environment's keys."""
    found = given or os.environ.get("ORCHESTRA_CONFIG")
    if found:
        return found
    return "orchestra.toml" if Path("orchestra.toml").exists() else None


def open_engine(given: str | None) -> Engine:
    from .engine import Engine

    path = config_path(given)
    if path is None:
        return Engine()
    try:
        return Engine.load(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None


def _call(options: argparse.Namespace) -> dict[str, Any]:
    """The keywords of the call that the options name."""
    call: dict[str, Any] = {}
    if options.model:
        call["model"] = options.model[0] if len(options.model) == 1 else options.model
    for name in ("route", "system"):
        if getattr(options, name) is not None:
            call[name] = getattr(options, name)
    return call


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: not UTF-8 at byte {error.start}") from None


def _chat(options: argparse.Namespace) -> int:
    prompt: str | None = options.prompt
    if prompt is None:
        if is_terminal(sys.stdin):
            raise UsageError("no prompt: give PROMPT, or pipe it in")
        prompt = _decoded(sys.stdin.buffer.read(), "stdin") if sys.stdin is not None else ""
    if not prompt.strip():
        raise UsageError("the prompt is empty")
    call = _call(options)
    with open_engine(options.config) as engine:
        if options.json:
            _print_json(_reply_row(engine.chat(prompt, **call)))
        elif options.stream:
            _print_stream(engine, prompt, call)
        else:
            print_text(engine.chat(prompt, **call).text)
    return DONE


def print_text(text: str, end: str = "\n") -> None:
    """Writes to stdout; a text that ends its line already is left so."""
    _print(sys.stdout, text if end and text.endswith(end) else text + end)


def _print_stream(engine: Engine, prompt: str, call: dict[str, Any]) -> None:
    last = ""
    with engine.stream(prompt, **call) as stream:
        try:
            for delta in stream:
                if delta.text:
                    _print(sys.stdout, delta.text)
                    sys.stdout.flush()
                    last = delta.text
        finally:
            if last and not last.endswith("\n"):
                _print(sys.stdout, "\n")


def _print_json(value: Any) -> None:
    import json

    sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")


def _reply_row(reply: Reply) -> dict[str, Any]:
    row: dict[str, Any] = {
        "text": reply.text,
        "model": reply.model,
        "finish_reason": reply.finish_reason,
        "usage": _usage_row(reply.usage),
        "cost": _cost_row(reply.cost),
    }
    if reply.tool_calls:
        row["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": call.arguments, "arguments_json": call.arguments_json}
            for call in reply.tool_calls
        ]
    return row


def _usage_row(usage: Any) -> dict[str, int | None] | None:
    if usage is None:
        return None
    names = ("input_tokens", "output_tokens", "total_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
    return {name: getattr(usage, name, None) for name in names}


def _cost_row(cost: Any) -> dict[str, Any] | None:
    if cost is None:
        return None
    return {"usd": cost.usd, "nano_usd": cost.nano_usd, "known": cost.known, "estimated": cost.estimated}


def _error_row(error: OrchestraError) -> dict[str, Any]:
    return {
        "error": {
            "type": type(error).__name__,
            "message": str(error),
            "status": error.status,
            "model": error.model,
            "attempts": len(error.attempts),
        }
    }


def _map(options: argparse.Namespace) -> int:
    rows = _read_rows(options.file)
    call = _call(options)
    if options.resume is not None:
        call["resume"] = options.resume
    with open_engine(options.config) as engine:
        batch = engine.map(rows, concurrency=options.concurrency, **call)
    for result in batch:
        _print_json(_error_row(result) if isinstance(result, OrchestraError) else _reply_row(result))
    failed = batch.errors
    if not batch.complete and any(isinstance(error, Cancelled) for _, error in failed):
        return INTERRUPTED
    if failed:
        say_error(f"{len(failed)} of {len(batch)} rows failed; row {failed[0][0] + 1}: {failed[0][1]}")
        return FAILED
    return DONE


def _read_rows(file: str) -> list[dict[str, Any]]:
    """All rows, read before the first is sent, so that a bad line costs nothing."""
    import json

    name = "stdin" if file == "-" else file
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
    rows = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(_decoded(line, f"{name}:{number}"))
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{name}:{number}: no JSON: {error}") from None
        if not isinstance(row, dict):
            raise UsageError(f'{name}:{number}: a row is an object such as {{"messages": "Hello"}}')
        rows.append(row)
    return rows


def _models(options: argparse.Namespace) -> int:
    rows = [row for row in catalog_rows() if not options.names or any(n in row["name"] for n in options.names)]
    if options.json:
        for row in rows:
            _print_json(row)
    else:
        _print_table(rows)
    if options.names and not rows:
        say_error(f"no model of the catalog has a name with {' or '.join(options.names)} in it")
        return FAILED
    return DONE


def catalog_rows() -> list[dict[str, Any]]:
    """The shipped models, each with its `name` first, sorted by it."""
    import json

    shipped = json.loads((Path(__file__).parent / "data" / "models.json").read_text(encoding="utf-8"))
    models = shipped.get("models", []) if isinstance(shipped, dict) else shipped
    if isinstance(models, dict):
        models = [{"name": name, **model} for name, model in models.items()]
    rows = [{"name": model.get("name") or model.get("id"), **model} for model in models]
    return sorted(rows, key=lambda row: str(row["name"]))


def _print_table(rows: list[dict[str, Any]]) -> None:
    def figure(row: dict[str, Any], name: str) -> str:
        sheets = row.get("prices")
        sheet = sheets[-1] if isinstance(sheets, list) and sheets else {}
        value = row.get(name, sheet.get(name.removesuffix("_price")))
        if value is None:
            return "unknown"
        return f"{value:,}" if isinstance(value, int) else str(value)

    def abilities(row: dict[str, Any]) -> str:
        known = row.get("capabilities") or {}
        names = [name for name, has in known.items() if has] if isinstance(known, dict) else known
        return " ".join(sorted(map(str, names)))

    columns = {"context": "context_window", "output": "max_output", "in $/M": "input_price", "out $/M": "output_price"}
    table = [["model", *columns, "capabilities"]]
    table += [[str(row["name"]), *(figure(row, name) for name in columns.values()), abilities(row)] for row in rows]
    widths = [max(len(line[position]) for line in table) for position in range(len(table[0]))]
    for line in table:
        numbers = [cell.rjust(width) for cell, width in zip(line[1:-1], widths[1:-1], strict=True)]
        _print(sys.stdout, "  ".join([line[0].ljust(widths[0]), *numbers, line[-1]]).rstrip() + "\n")


def _demo(options: argparse.Namespace) -> int:
    from .demo import run_demo

    return run_demo(prompts=options.prompts, seed=options.seed, as_json=options.json)


def _doctor(options: argparse.Namespace) -> int:
    from .doctor import run_doctor

    return run_doctor(given=options.config, as_json=options.json)
