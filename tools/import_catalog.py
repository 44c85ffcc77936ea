#!/usr/bin/env python3
"""Writes python/orchestra/data/models.json from two published price lists, where both say the same.

    pip download --no-deps --dest /tmp/lists genai-prices litellm
    tools/import_catalog.py /tmp/lists/genai_prices-*.whl /tmp/lists/litellm-*.whl --checked-on 2026-11-25

Prices come from genai-prices (MIT) and must equal those that litellm (MIT outside of its enterprise folder) bundles. A
model on whose prices the two differ, or whose price depends on the length of the input, the hour or the day, is left
out and named on stderr with the reason. Limits and capabilities come from litellm, the window only where both agree. A
list that is broken stops the run with the place of the fault, and nothing is written. The same lists give the same
bytes. Nothing of the wheels is executed and nothing is downloaded.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import sys
import zipfile
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).resolve().parent.parent / "python" / "orchestra" / "data" / "models.json"

# Our provider: its name in genai-prices, and the prefix of its models in litellm.
PROVIDERS = {
    "anthropic": ("anthropic", ""),
    "deepseek": ("deepseek", "deepseek/"),
    "groq": ("groq", "groq/"),
    "moonshot": ("moonshotai", "moonshot/"),
    "openai": ("openai", ""),
    "xai": ("x-ai", "xai/"),
}
# The models that the catalog may hold: chat models of providers whose format is built in.
MODELS = """
anthropic/claude-haiku-4-5 anthropic/claude-haiku-5-5 anthropic/claude-opus-4-8 anthropic/claude-opus-5
anthropic/claude-opus-5-5 anthropic/claude-sonnet-4-6 anthropic/claude-sonnet-5 anthropic/claude-sonnet-5-5
deepseek/deepseek-chat deepseek/deepseek-v4-flash deepseek/deepseek-v4-pro
groq/llama-3.1-8b-instant groq/llama-3.3-70b-versatile groq/openai/gpt-oss-120b groq/openai/gpt-oss-20b
moonshot/kimi-k2.5 moonshot/kimi-k2.6
openai/gpt-4.1 openai/gpt-4.1-mini openai/gpt-4o openai/gpt-4o-mini openai/gpt-5 openai/gpt-5-mini openai/gpt-5-nano
openai/gpt-5.1 openai/gpt-5.2 openai/gpt-6.1-sol openai/o4-mini
xai/grok-4-1-fast-non-reasoning xai/grok-4-1-fast-reasoning xai/grok-4.7
""".split()

# Our price: its key in genai-prices (USD per million tokens) and in litellm (USD per token).
PRICES = {
    "input": ("input_mtok", "input_cost_per_token"),
    "output": ("output_mtok", "output_cost_per_token"),
    "cached_input": ("cache_read_mtok", "cache_read_input_token_cost"),
    "cache_write": ("cache_write_mtok", "cache_creation_input_token_cost"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_creation_input_token_cost_above_1hr"),
}
# Fees of hosted tools, which no call of ours uses.
OTHER_FEES = {"web_searches_kcount", "storage_searches_kcount"}

CAPABILITIES = {
    "tools": "supports_function_calling",
    "parallel_tools": "supports_parallel_function_calling",
    "json_schema": "supports_response_schema",
    "vision": "supports_vision",
    "reasoning": "supports_reasoning",
    "streaming": "supports_native_streaming",
    "system_prompt": "supports_system_messages",
    "prefill": "supports_assistant_prefill",
    "prompt_cache": "supports_prompt_caching",
}
MODALITIES = {"image": "supports_vision", "audio": "supports_audio_input", "file": "supports_pdf_input"}


class Broken(Exception):
    """A list that cannot be read; the message begins with the place."""


class LeftOut(Exception):
    """Why a model does not come into the catalog."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genai_prices", type=Path, help="wheel of genai-prices")
    parser.add_argument("litellm", type=Path, help="wheel of litellm")
    parser.add_argument("--checked-on", type=date.fromisoformat, required=True, help="the day, YYYY-MM-DD")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    try:
        first, second = read_genai_prices(options.genai_prices), read_litellm(options.litellm)
        sources = [source(options.genai_prices), source(options.litellm)]
        models = choose(first, second, sources, options.checked_on)
    except Broken as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    catalog = {"format": 1, "checked_on": options.checked_on.isoformat(), "sources": sources, "models": models}
    draft = options.output.with_suffix(".draft")
    draft.write_text(json.dumps(catalog, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(draft, options.output)  # whole or not at all
    print(f"{options.output}: {len(models)} models", file=sys.stderr)
    return 0


def source(wheel: Path) -> dict[str, str]:
    name, version = wheel.name.split("-")[:2]
    return {
        "name": name.replace("_", "-"),
        "version": version,
        "licence": "MIT",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
    }


def read_member(wheel: Path, member: str) -> str:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(member).decode()
    except (OSError, KeyError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise Broken(f"{wheel}: {member}: {error}") from None


def read_genai_prices(wheel: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """(provider, model) to its ModelInfo as a dict; read as syntax, for the module itself would run code."""
    member = "genai_prices/data.py"
    try:
        tree = ast.parse(read_member(wheel, member))
    except SyntaxError as error:
        raise Broken(f"{wheel}: {member}:{error.lineno}: {error.msg}") from None
    for statement in tree.body:
        if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == "providers" and statement.value:
            providers = literal(statement.value)
            return {(p["id"], m["id"]): m for p in providers for m in p["models"]}
    raise Broken(f"{wheel}: {member}: no `providers`")


def literal(node: ast.expr) -> Any:
    """A call as a dict of its keywords with its name under "", a Decimal as a Decimal."""
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        if name == "Decimal":
            return Decimal(str(literal(node.args[0])))
        values = {keyword.arg or "": literal(keyword.value) for keyword in node.keywords}
        return values | {"": name, "arguments": [literal(argument) for argument in node.args]}
    if isinstance(node, ast.List | ast.Tuple):
        return [literal(item) for item in node.elts]
    if isinstance(node, ast.Constant):
        # A float of the source as the decimal that is written there.
        return Decimal(repr(node.value)) if isinstance(node.value, float) else node.value
    return ast.unparse(node)


def read_litellm(wheel: Path) -> dict[str, dict[str, Any]]:
    member = "litellm/model_prices_and_context_window_backup.json"
    try:
        data = json.loads(read_member(wheel, member), parse_float=Decimal)
    except (ValueError, InvalidOperation) as error:
        raise Broken(f"{wheel}: {member}: {error}") from None
    if not isinstance(data, dict) or not all(isinstance(row, dict) for row in data.values()):
        raise Broken(f"{wheel}: {member}: not an object of objects")
    return data


def choose(
    first: dict[tuple[str, str], dict[str, Any]],
    second: dict[str, dict[str, Any]],
    sources: list[dict[str, str]],
    today: date,
) -> list[dict[str, Any]]:
    chosen = []
    read_at = ", ".join(f"{entry['name']} {entry['version']}" for entry in sources)
    for name in sorted(MODELS):
        provider, _, model = name.partition("/")
        genai_name, prefix = PROVIDERS[provider]
        info, row = first.get((genai_name, model)), second.get(prefix + model)
        try:
            if info is None or row is None:
                raise LeftOut(f"not in {sources[0 if info is None else 1]['name']}")
            if info.get("deprecated") or str(row.get("deprecation_date") or "9999") <= today.isoformat():
                raise LeftOut("retired")
            sheet = agreed_prices(name, genai_prices_of(name, info, today), litellm_prices_of(name, row))
        except LeftOut as reason:
            print(f"left out: {name}: {reason}", file=sys.stderr)
            continue
        entry: dict[str, Any] = {"name": name} | facts(info, row)
        entry["prices"] = [sheet | {"source": read_at, "checked_on": today.isoformat()}]
        chosen.append(entry)
    return chosen


def genai_prices_of(name: str, info: dict[str, Any], today: date) -> dict[str, Decimal]:
    """USD per million tokens by the keys of genai-prices."""
    prices = info["prices"]
    if isinstance(prices, list):
        prices = price_of_the_day(prices, today)
    found = {}
    for key, value in prices.items():
        if key in ("", "arguments") or key in OTHER_FEES or value is None:
            continue
        if key not in {genai for genai, _ in PRICES.values()}:
            raise LeftOut(f"a price of its own kind ({key})")
        if isinstance(value, dict):
            raise LeftOut("the price depends on the length of the input")
        found[key] = amount(f"genai-prices {name} {key}", value)
    return found


def price_of_the_day(conditional: list[dict[str, Any]], today: date) -> dict[str, Any]:
    """The prices with the latest start that is not after today."""
    best: dict[str, Any] | None = None
    begins = date.min
    for price in conditional:
        constraint = price.get("constraint")
        if constraint is not None and constraint[""] != "StartDateConstraint":
            raise LeftOut("the price depends on the hour")
        start = date.min if constraint is None else date(*constraint["start_date"]["arguments"])
        if begins <= start <= today:
            best, begins = price["prices"], start
    if best is None:
        raise LeftOut("no price yet")
    return best


def litellm_prices_of(name: str, row: dict[str, Any]) -> dict[str, Decimal]:
    """USD per million tokens by the keys of litellm."""
    for key in row:
        if ("_above_" in key and key.endswith("_tokens")) or key == "tiered_pricing":
            raise LeftOut("the price depends on the length of the input")
    found = {}
    for _, key in PRICES.values():
        if row.get(key) is not None:
            found[key] = amount(f"litellm {name} {key}", row[key]) * 1_000_000
    return found


def amount(place: str, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Broken(f"{place}: {value!r} is no number")
    number = Decimal(value)
    if not number.is_finite() or number < 0:
        raise Broken(f"{place}: {value} is no price")
    if len(number.normalize().as_tuple().digits) > 12:
        raise Broken(f"{place}: {value} looks like the dust of a binary float")
    return number


def agreed_prices(name: str, genai: dict[str, Decimal], litellm: dict[str, Decimal]) -> dict[str, str]:
    sheet = {}
    for price, (genai_key, litellm_key) in PRICES.items():
        a, b = genai.get(genai_key), litellm.get(litellm_key)
        if a != b:
            raise LeftOut(f"{price} is {shown(a)} in genai-prices and {shown(b)} in litellm")
        if a is not None:
            sheet[price] = format(a.normalize(), "f")
    if "input" not in sheet or "output" not in sheet:
        raise LeftOut("no price of input or output")
    return sheet


def shown(value: Decimal | None) -> str:
    return "missing" if value is None else format(value.normalize(), "f")


def facts(info: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """Limits, capabilities and modalities; what is not said is left out, which is unknown."""
    known: dict[str, Any] = {}
    window, read, written = info.get("context_window"), row.get("max_input_tokens"), row.get("max_output_tokens")
    # Some lists count the window as input alone, some as input and output.
    if window and read and window in (read, read + (written or 0)):
        known["context_window"] = window
    elif window is None and read:
        known["context_window"] = read
    if written:
        known["max_output"] = written
    capabilities = {ours: row[theirs] for ours, theirs in CAPABILITIES.items() if isinstance(row.get(theirs), bool)}
    if capabilities:
        known["capabilities"] = dict(sorted(capabilities.items()))
    if isinstance(row.get("supports_vision"), bool) or any(row.get(key) for key in MODALITIES.values()):
        known["modalities"] = sorted({"text"} | {ours for ours, theirs in MODALITIES.items() if row.get(theirs)})
    return known


if __name__ == "__main__":
    sys.exit(main())
