"""The error tree: every refusal is one line that says what, where and what to do."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill import errors
from tokenmill.errors import (
    BadRecord,
    BadUnit,
    DoesNotFit,
    Infeasible,
    InputError,
    NoCalibration,
    NoPeak,
    NoPlan,
    NoPrice,
    TokenmillError,
    UnknownName,
    Unsupported,
)

CLASSES = [one for _, one in inspect.getmembers(errors, inspect.isclass)
           if issubclass(one, TokenmillError)]  # fmt: skip


def test_the_tree_is_the_one_drawn() -> None:
    drawing = errors.__doc__ or ""
    assert not [one.__name__ for one in CLASSES if one.__name__ not in drawing]
    assert {one.__name__ for one in CLASSES} == set(errors.__all__)
    for child, parent in (
        (UnknownName, InputError), (BadUnit, InputError), (BadRecord, InputError),
        (DoesNotFit, Infeasible), (NoPlan, Infeasible),
        (NoPeak, Unsupported), (NoPrice, Unsupported), (NoCalibration, Unsupported),
    ):  # fmt: skip
        assert issubclass(child, parent)
    assert issubclass(InputError, ValueError)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("h10", "h100"), ("H-100", "h100"), ("rtx4090", "rtx-4090"), ("4090", "rtx-4090")],
)
def test_unknown_names_get_the_nearest(name: str, expected: str) -> None:
    known = ["h100", "h200", "a100", "rtx-4090", "rtx-3090", "b200"]
    refusal = UnknownName("accelerator", name, known)
    assert refusal.suggestions[0] == expected
    assert f"did you mean {expected}" in str(refusal)


def test_unknown_names_far_from_everything_get_a_way_on() -> None:
    many = [f"llama-{number}" for number in range(100)]
    assert "tokenmill show" in str(UnknownName("model", "zzzz", many))
    assert "known: llama" in str(UnknownName("model", "zzzz", ["llama"]))
    assert "tokenmill show" in str(UnknownName("model", "", []))


def test_numbers_are_in_the_refusal() -> None:
    refusal = DoesNotFit("a model", 141e9, 80e9, change="use two")
    assert (refusal.needs_bytes, refusal.has_bytes) == (141e9, 80e9)
    assert str(refusal) == "a model needs 141.0 GB, has 80.0 GB; use two"
    assert refusal.change == "use two"
    assert NoPlan("none", reasons=["a", "b"]).reasons == ("a", "b")


def test_a_record_is_named_with_file_line_and_key() -> None:
    assert str(BadRecord("a.toml", "figures.tdp", "is odd")) == "a.toml: figures.tdp: is odd"
    assert str(BadRecord("a.csv", "gpu", "is odd", line=7)) == "a.csv:7: gpu: is odd"
    assert str(BadRecord("a.toml", "", "is odd")) == "a.toml: is odd"


@given(st.text(), st.text())
def test_whatever_is_quoted_stays_one_printable_line(name: str, other: str) -> None:
    for refusal in (
        UnknownName("model", name, [other]), BadUnit(name), BadRecord(name, other, name),
        NoPeak(name, other, [other]), NoPrice(name, other), DoesNotFit(name, 1.0, 0.5),
    ):  # fmt: skip
        assert str(refusal).isprintable()
