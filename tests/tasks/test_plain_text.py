"""What of a text reaches a terminal or a report."""

from __future__ import annotations

import pytest

from flow_rag_vla.tasks.facts.plain_text import hides_something, shown

FAMILY = "\U0001f468\u200d\U0001f469"


@pytest.mark.parametrize("text", ["dock", "a b\tc", "größer", "大きい\u3000箱", "<script>", "../up", FAMILY])
def test_letters_of_all_scripts_spaces_and_signs_are_read_as_they_are(text):
    assert not hides_something(text)
    assert shown(text, 100) == text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\rb", "a\\rb"),
        ("a\x00", "a\\x00"),
        ("evil\u202egpj", "evil\\u202egpj"),
        ("\udcff", "\\udcff"),
        ("a\u2028b", "a\\u2028b"),
    ],
)
def test_what_a_terminal_would_act_on_is_shown_as_an_escape(text, escaped):
    assert hides_something(text)
    assert shown(text, 100) == escaped


def test_the_end_of_a_long_text_is_left_out_and_counted():
    assert shown("x" * 100, 100) == "x" * 100
    assert shown("x" * 120, 100) == "x" * 100 + "... (20 characters more)"
