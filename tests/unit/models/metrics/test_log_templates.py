"""Templates of log lines: variable parts are wildcards, secrets never show, and similar lines share a template."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.metrics.log_templates import EMPTY, EXAMPLE_CHARS, Templates, example_of, form_of


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("GET /users/4711 200 in 12ms", "GET <*> <*> in <*>"),
        ("connected to 10.0.0.7:5432", "connected to <*>"),
        ("open /var/lib/x/y.db failed", "open <*> failed"),
        ('cannot parse "a b" at line 7', "cannot parse <*> at line <*>"),
        ("request 0b1c9a52-4a3e-4c1a-9a7e-5f8f7a1c2b3d failed", "request <*> failed"),
        ("commit 9f86d081884c7d65 deployed", "commit <*> deployed"),
        ("login of ada@example.com failed", "login of <*> failed"),
        ("password=hunter2 refused", "password=<*> refused"),
        ('{"msg": "no answer of db", "password": "x", "n": 7}', "no answer of db"),
        ("utf8 and s3 are words", "utf8 and s3 are words"),
        ("line one\nline two", "line one line two"),
        ("", EMPTY),
    ],
)
def test_what_differs_from_line_to_line_is_a_wildcard(text: str, form: str) -> None:
    assert form_of(text) == form


def test_an_example_is_short_and_has_no_secret_even_where_it_is_cut() -> None:
    example = example_of("x" * (EXAMPLE_CHARS - 12) + " token=" + "s3cr3t" * 99)
    assert len(example) <= EXAMPLE_CHARS
    assert "s3cr" not in example


def test_similar_forms_share_a_template_and_others_do_not() -> None:
    templates = Templates({}, 10)
    assert templates.learn("user ada logged in") == ("user ada logged in", "user ada logged in")
    assert templates.match("user bob logged in") is None
    assert templates.learn("user bob logged in") == ("user ada logged in", "user <*> logged in")
    assert templates.match("user eve logged in") == "user ada logged in"
    assert templates.learn("user ada was removed now") == ("user ada was removed now",) * 2
    assert templates.learn("disk of db is full") == ("disk of db is full",) * 2
    again = Templates({"user ada logged in": "user <*> logged in"}, 10)
    assert again.match("user eve logged in") == "user ada logged in"


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", "<*>"]), min_size=1, max_size=4), max_size=30))
def test_what_was_learned_matches_and_never_more_than_allowed(forms: list[list[str]]) -> None:
    templates, names = Templates({}, 5), set()
    for words in forms:
        form = " ".join(words)
        learned = templates.learn(form)
        if learned is not None:
            names.add(learned[0])
            assert templates.match(form) is not None
    assert len(names) <= 5
