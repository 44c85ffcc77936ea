"""The importer of the shipped catalog, over two price lists made up here; and the catalog itself."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from pathlib import Path

import pytest

from orchestra.config import Model

ROOT = Path(__file__).parent.parent.parent
DATA = ROOT / "python" / "orchestra" / "data" / "models.json"

GENAI = """
from decimal import Decimal
providers: list[Provider] = [
    Provider(id='openai', models=[
        ModelInfo(id='gpt-5-mini', context_window=400000, match=ClauseEquals(equals='gpt-5-mini'),
                  prices=ModelPrice(input_mtok=Decimal('0.25'), cache_read_mtok=Decimal('0.025'),
                                    output_mtok=Decimal('2'))),
        ModelInfo(id='gpt-5', prices=ModelPrice(input_mtok=Decimal('1.25'), output_mtok=Decimal('10'))),
        ModelInfo(id='gpt-4o', prices=[
            ConditionalPrice(prices=ModelPrice(input_mtok=Decimal('9'), output_mtok=Decimal('9'))),
            ConditionalPrice(constraint=StartDateConstraint(start_date=datetime.date(2027, 1, 1)),
                             prices=ModelPrice(input_mtok=Decimal('7'), output_mtok=Decimal('7'))),
            ConditionalPrice(constraint=StartDateConstraint(start_date=datetime.date(2026, 2, 1)),
                             prices=ModelPrice(input_mtok=Decimal('2.5'), output_mtok=Decimal('10')))]),
        ModelInfo(id='gpt-4.1', prices=ModelPrice(
            input_mtok=TieredPrices(base=Decimal('2'), tiers=[Tier(start=5, price=Decimal('4'))]),
            output_mtok=Decimal('8'))),
    ]),
]
"""
LITELLM = """{
 "gpt-5-mini": {"input_cost_per_token": 2.5e-07, "output_cost_per_token": 2e-06, "cache_read_input_token_cost": 2.5e-08,
                "max_input_tokens": 272000, "max_output_tokens": 128000, "supports_vision": true,
                "supports_function_calling": true, "supports_assistant_prefill": false},
 "gpt-5": {"input_cost_per_token": 1.26e-06, "output_cost_per_token": 1e-05},
 "gpt-4o": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05},
 "gpt-4.1": {"input_cost_per_token": 2e-06, "output_cost_per_token": 8e-06}
}"""


@pytest.fixture(scope="module")
def importer():
    spec = importlib.util.spec_from_file_location("import_catalog", ROOT / "tools" / "import_catalog.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(importer, tmp_path):
    """run(genai, litellm): the exit status, and the bytes written (None: nothing)."""

    def start(genai: str = GENAI, litellm: str = LITELLM) -> tuple[int, bytes | None]:
        wheels = [tmp_path / "genai_prices-0.0.1-py3-none-any.whl", tmp_path / "litellm-1.2.3-py3-none-any.whl"]
        members = ["genai_prices/data.py", "litellm/model_prices_and_context_window_backup.json"]
        for wheel, member, text in zip(wheels, members, (genai, litellm), strict=True):
            with zipfile.ZipFile(wheel, "w") as archive:
                archive.writestr(zipfile.ZipInfo(member), text)
        output = tmp_path / "models.json"
        status = importer.main([*map(str, wheels), "--checked-on", "2026-11-25", "--output", str(output)])
        return status, output.read_bytes() if output.exists() else None

    return start


def test_models_come_in_whose_prices_agree_and_the_others_are_named(run, capsys) -> None:
    status, data = run()
    assert status == 0 and data is not None
    models = {model["name"]: model for model in json.loads(data)["models"]}
    assert list(models) == ["openai/gpt-4o", "openai/gpt-5-mini"]
    assert models["openai/gpt-5-mini"] == {
        "name": "openai/gpt-5-mini",
        "context_window": 400000,
        "max_output": 128000,
        "capabilities": {"prefill": False, "tools": True, "vision": True},
        "modalities": ["image", "text"],
        "prices": [
            {
                "input": "0.25",
                "output": "2",
                "cached_input": "0.025",
                "source": "genai-prices 0.0.1, litellm 1.2.3",
                "checked_on": "2026-11-25",
            }
        ],
    }
    told = capsys.readouterr().err
    assert "left out: openai/gpt-5: input is 1.25 in genai-prices and 1.26 in litellm" in told
    assert "left out: openai/gpt-4.1: the price depends on the length of the input" in told


def test_twice_gives_the_same_bytes(run) -> None:
    assert run() == run()


@pytest.mark.parametrize(
    ("genai", "litellm", "place"),
    [
        (GENAI, '{"gpt-5-mini": {', "model_prices_and_context_window_backup.json: "),
        (GENAI, "[]", "not an object of objects"),
        (GENAI, LITELLM.replace("1.26e-06", "1.8000000000000002e-07"), "litellm openai/gpt-5 input_cost_per_token: "),
        (GENAI, LITELLM.replace("1.26e-06", "-1"), "litellm openai/gpt-5 input_cost_per_token: -1 is no price"),
        (GENAI, LITELLM.replace("1.26e-06", '"free"'), "'free' is no number"),
        (GENAI.replace("'1.25'", "'0.18000000000000002'"), LITELLM, "genai-prices openai/gpt-5 input_mtok: "),
        (GENAI + "]", LITELLM, "genai_prices/data.py:"),
        ("x = 1", LITELLM, "genai_prices/data.py: no `providers`"),
    ],
)
def test_a_broken_list_stops_the_run_with_its_place_and_writes_nothing(
    run, capsys, genai: str, litellm: str, place: str
) -> None:
    assert run(genai, litellm) == (1, None)
    assert place in capsys.readouterr().err


def test_the_shipped_catalog_is_sorted_and_every_price_has_source_and_date() -> None:
    catalog = json.loads(DATA.read_text(encoding="utf-8"))
    names = [model["name"] for model in catalog["models"]]
    assert names == sorted(set(names)) and {"openai/gpt-5-mini", "anthropic/claude-sonnet-5"} <= set(names)
    for model in catalog["models"]:
        (sheet,) = model["prices"]
        assert sheet["source"] and sheet["checked_on"] == catalog["checked_on"]
        assert float(sheet.get("cached_input", "0")) <= float(sheet["input"])


def test_the_core_takes_every_shipped_model() -> None:
    for model in json.loads(DATA.read_text(encoding="utf-8"))["models"]:
        (sheet,) = model.pop("prices")
        prices = {f"{name}_price": text for name, text in sheet.items() if name not in ("source", "checked_on")}
        assert Model(**model, **prices).config()["name"] == model["name"]
