"""Batch: the outcomes of a map as a sequence, a table and a page."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("orchestra._core", exc_type=ImportError)

from orchestra.batch import Batch
from orchestra.errors import Cancelled, NotFound
from orchestra.reply import Cost

FREE = Cost.sum([])


def reply(text: str) -> Any:
    usage = SimpleNamespace(input_tokens=3, output_tokens=None)
    return SimpleNamespace(text=text, model="a/b", finish_reason="stop", usage=usage, cost=FREE, latency=0.25)


@pytest.fixture
def batch() -> Batch:
    failed = NotFound("no such model", model="a/c", attempts=[SimpleNamespace(cost=FREE)])
    return Batch([reply("zero"), failed, reply("<script>")], complete=True)


def test_it_is_a_sequence_in_input_order(batch: Batch) -> None:
    assert isinstance(batch, Sequence)
    assert (len(batch), batch[0].text, batch[-1].text) == (3, "zero", "<script>")
    assert isinstance(batch[1], NotFound)
    assert isinstance(batch[1:], list)
    with pytest.raises(IndexError):
        batch[3]


def test_replies_and_errors_are_apart(batch: Batch) -> None:
    assert [r.text for r in batch.ok] == ["zero", "<script>"]
    assert [(index, str(error)) for index, error in batch.errors] == [(1, "no such model")]


def test_an_empty_batch_cost_nothing() -> None:
    assert (len(Batch([])), Batch([]).cost.nano_usd, Batch([]).complete) == (0, 0, True)


def test_repr_is_one_line_that_counts(batch: Batch) -> None:
    assert repr(batch) == "<Batch 3 rows, 2 ok, 1 failed, $0>"
    assert repr(Batch([Cancelled("stopped")], complete=False)) == "<Batch 1 rows, 0 ok, 1 failed, $0, stopped>"


def test_the_page_escapes_what_models_say(batch: Batch) -> None:
    page = batch._repr_html_()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "NotFound: no such model" in page
    assert "30 more rows" in Batch([reply("x")] * 50)._repr_html_()


def test_a_data_frame_has_a_row_for_each_input(batch: Batch) -> None:
    pandas = pytest.importorskip("pandas")
    frame = batch.to_pandas()
    names = ["text", "model", "finish_reason", "input_tokens", "output_tokens", "cost_usd", "latency", "error"]
    assert list(frame.columns) == names
    assert list(frame["text"].fillna("-")) == ["zero", "-", "<script>"]
    assert frame["error"][1] == "NotFound: no such model"
    assert frame["input_tokens"][0] == 3
    assert pandas.isna(frame["input_tokens"][1])
    assert pandas.isna(frame["output_tokens"][0])
    assert len(Batch([]).to_pandas()) == 0


def test_an_arrow_table_has_the_same_columns(batch: Batch) -> None:
    pytest.importorskip("pyarrow")
    table = batch.to_arrow()
    assert table.num_rows == 3
    assert table.column("text").to_pylist() == ["zero", None, "<script>"]
    assert table.column("input_tokens").to_pylist() == [3, None, 3]
    assert Batch([]).to_arrow().column("latency").type == "double"
