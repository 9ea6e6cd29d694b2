"""The rule for texts that can be stored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from core.storable import (
    LABEL_VALUE_CHARS,
    NAME_BYTES,
    NAME_CHARS,
    TEXT_CHARS,
    Labels,
    Name,
    label_value_problem,
    name_problem,
    text_problem,
)

ANY_TEXT = st.text(alphabet=st.characters(codec=None), max_size=20)


@pytest.mark.parametrize(
    "name", ["a", "a" * NAME_CHARS, "é" * NAME_CHARS, "日" * (NAME_BYTES // 3), "a b", "*"]
)
def test_a_name_that_can_be_stored_has_no_problem(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "at least 1 character"),
        ("a" * (NAME_CHARS + 1), "at most 400 characters"),
        ("日" * NAME_CHARS, "at most 800 bytes"),
        ("a\0", "control characters"),
        ("a\nb", "control characters"),
        ("a\ud800", "surrogate"),
    ],
)
def test_a_name_that_cannot_be_stored_has_its_reason(name: str, problem: str) -> None:
    assert problem in (name_problem(name) or "")
    with pytest.raises(ValidationError, match=problem):
        TypeAdapter[str](Name).validate_python(name)


def test_values_of_labels_and_texts_may_have_line_breaks() -> None:
    assert label_value_problem("a\nb\t") is None
    assert text_problem("a\nb\t") is None
    assert label_value_problem("") is None
    assert "NUL" in (label_value_problem("\0") or "")
    assert "at most" in (label_value_problem("a" * (LABEL_VALUE_CHARS + 1)) or "")
    assert "at most" in (text_problem("a" * (TEXT_CHARS + 1)) or "")


@given(ANY_TEXT)
def test_what_has_no_problem_is_valid_utf_8_without_nul(text: str) -> None:
    for problem in (name_problem, label_value_problem, text_problem):
        if problem(text) is None:
            assert b"\0" not in text.encode()


def test_labels_are_checked_by_the_same_rule() -> None:
    labels = TypeAdapter[dict[str, str]](Labels)
    assert labels.validate_python({"mount": "/data\n"}) == {"mount": "/data\n"}
    for bad in ({"a\0": "b"}, {"a": "\0"}, {"": "b"}, {str(number): "" for number in range(101)}):
        with pytest.raises(ValidationError):
            labels.validate_python(bad)
