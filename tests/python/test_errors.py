"""The tree of exceptions."""

from __future__ import annotations

import pickle

import pytest

from orchestra import errors


def test_every_class_stands_in_the_docstring_s_tree_and_in_kinds() -> None:
    assert len(errors.KINDS) == 28
    for name, kind in errors.KINDS.items():
        assert name == kind.__name__ and name in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("child", "parent"),
    [
        ("ConfigError", ValueError),
        ("InvalidRequest", ValueError),
        ("DeadlineExceeded", TimeoutError),
        ("InvalidRequest", errors.RequestError),
        ("NoEligibleModel", errors.RoutingError),
        ("BudgetExceeded", errors.BudgetError),
        ("RateLimited", errors.ProviderError),
        ("Cancelled", errors.TransportError),
        ("Truncated", errors.OutputError),
    ],
)
def test_children_have_their_parents(child: str, parent: type) -> None:
    assert issubclass(errors.KINDS[child], parent) and issubclass(errors.KINDS[child], errors.OrchestraError)


@pytest.mark.parametrize("name", list(errors.KINDS))
def test_each_class_pickles_with_sentence_and_fields(name: str) -> None:
    error = errors.from_fault(
        name, "slow down", status=429, provider="p", model="p/m", retry_after=7.5, is_retryable=True
    )
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == "slow down" and again.args == ("slow down",)
    shown = (again.status, again.provider, again.model, again.retry_after, again.is_retryable, again.attempts)
    assert shown == (429, "p", "p/m", 7.5, True, [])


def test_what_cannot_be_pickled_is_left_behind() -> None:
    error = errors.Interrupted("cut", partial=lambda: None, attempts=[lambda: None], status=200)
    again = pickle.loads(pickle.dumps(error))
    assert (again.partial, again.attempts, again.status) == (None, [], 200)


def test_own_fields_are_kept_and_others_are_refused() -> None:
    assert errors.DeadlineExceeded("late", phase="idle").phase == "idle"
    mismatch = errors.SchemaMismatch("no", text="{", path="a.b")
    assert (mismatch.text, mismatch.path) == ("{", "a.b")
    with pytest.raises(TypeError, match="phase"):
        errors.NotFound("x", phase="idle")


def test_from_fault_leaves_out_what_the_class_has_not() -> None:
    error = errors.from_fault("RateLimited", "wait", phase="", partial=None, status=429)
    assert type(error) is errors.RateLimited and error.status == 429 and not hasattr(error, "phase")


def test_a_kind_from_a_newer_core_is_still_an_error() -> None:
    error = errors.from_fault("QuantumFlip", "odd")
    assert type(error) is errors.OrchestraError and str(error) == "QuantumFlip: odd"


def test_repr_names_the_place_and_leaves_the_body_out() -> None:
    shown = repr(errors.ServerError("broken", status=500, provider="p", body="a long page"))
    assert shown == "ServerError('broken', provider='p', status=500)"


def test_a_deadline_can_be_caught_as_a_timeout() -> None:
    with pytest.raises(TimeoutError, match="late"):
        raise errors.DeadlineExceeded("late", phase="total")
