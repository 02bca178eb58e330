"""Patterns of channels: what each matches, fills, and refuses to be."""

import pytest

from itemwire.rules.patterns import Pattern


@pytest.mark.parametrize(
    ("text", "item_id", "parameters"),
    [
        ("news", "news", {}),
        ("news", "news:1", None),
        ("order:{number}", "order:7", {"number": "7"}),
        ("order:{number}", "order:", None),
        ("order:{number}", "order:7:8", None),
        ("order:{number}", "xorder:7", None),
        ("{team}:{room}", "red:1", {"team": "red", "room": "1"}),
        ("logs:{rest:path}", "logs:a:b:c", {"rest": "a:b:c"}),
        ("logs:{rest:path}", "logs:", None),
        ("a.b:{x}", "aXb:1", None),
    ],
)
def test_matches_whole_segments(text: str, item_id: str, parameters: dict[str, str] | None) -> None:
    """A parameter stands for one segment, the last one perhaps for all that follow."""
    assert Pattern.parse(text).match(item_id) == parameters


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a:",
        ":a",
        "a{b}",
        "{a",
        "{1a}",
        "{a}:{a}",
        "{rest:path}:x",
        "{a:int}",
        "list/{a}",
        "list/all",
        "a b",
        "é",
    ],
)
def test_refuses_what_is_no_pattern(text: str) -> None:
    """Where it is declared, with the text in the error."""
    with pytest.raises(ValueError, match="no pattern"):
        Pattern.parse(text)


def test_says_what_a_pattern_is() -> None:
    """A path operation has slashes and types in its path, and a channel has neither."""
    for text in ("list/{number}", "list:{number:int}"):
        with pytest.raises(ValueError, match=r"between colons.*types stand in the function"):
            Pattern.parse(text)


def test_fills_in_parameters() -> None:
    """The item id that has these parameters."""
    assert Pattern.parse("order:{number}").fill({"number": 7}) == "order:7"
    assert Pattern.parse("logs:{rest:path}").fill({"rest": "a:b"}) == "logs:a:b"


@pytest.mark.parametrize("parameters", [{}, {"number": 1, "x": 2}, {"x": 1}, {"number": "a:b"}])
def test_fills_in_no_others(parameters: dict[str, object]) -> None:
    """A value with a colon would name an item of another pattern."""
    with pytest.raises(ValueError, match="channel 'order:"):
        Pattern.parse("order:{number}").fill(parameters)
