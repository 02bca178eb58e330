"""The log: no credentials, and a limit on lines of one kind."""

import io
import json
import logging
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.observability.logs import (
    LINES_A_SECOND,
    JsonFormatter,
    LogSampler,
    RedactingFormatter,
    redact_logs,
)
from itemwire_auth.audit import quoted
from itemwire_auth.redaction import SECRETS, redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        pytest.param(
            f'1.2.3.4:5 - "WebSocket /items/1/ws?token={JWT}" [accepted]',
            '1.2.3.4:5 - "WebSocket /items/1/ws?[redacted]" [accepted]',
            id="request line",
        ),
        pytest.param(
            "GET /items/1/ws?tok%65n=hunter2 HTTP/1.1",
            "GET /items/1/ws?[redacted] HTTP/1.1",
            id="a name in disguise",
        ),
        pytest.param(
            "GET /items/café~1/ws?token=x HTTP/1.1",
            "GET /items/café~1/ws?[redacted] HTTP/1.1",
            id="an unusual path",
        ),
        pytest.param('< TEXT \'{"token": "hunter2"}\' [20 bytes]', "< TEXT [redacted]", id="frame"),
        pytest.param(
            "scope={'query_string': b'token=hunter2', 'a': 1}",
            "scope={'query_string': b[redacted], 'a': 1}",
            id="scope",
        ),
        pytest.param("< Authorization: Bearer hunter2", "< Authorization: [redacted]", id="bearer"),
        pytest.param("< Cookie: a=b; session=hunter2", "< Cookie: [redacted]", id="cookie"),
        pytest.param(
            "headers=[(b'cookie', b'session=hunter2')]",
            "headers=[(b'cookie', [redacted]",
            id="raw headers",
        ),
        pytest.param(
            "protocols itemwire.v1.json, itemwire.token.hunter2",
            "protocols itemwire.v1.json, itemwire.token.[redacted]",
            id="subprotocol",
        ),
        pytest.param(
            'x - "WebSocket /items/1/ws?x=\'&token=%65y%4A" [accepted]',
            'x - "WebSocket /items/1/ws?[redacted]" [accepted]',
            id="a quote in the query",
        ),
        pytest.param(
            'x - "WebSocket /items/1/ws?x="&token=hunter2<" 403',
            'x - "WebSocket /items/1/ws?[redacted]" 403',
            id="more quotes",
        ),
        pytest.param(f"ValueError: bad {JWT}!", "ValueError: bad [redacted]!", id="bare token"),
    ],
)
def test_takes_credentials_out_of_a_line(line: str, printed: str) -> None:
    """From any logger, and in any form that a credential may have."""
    assert redact(line) == printed


@pytest.mark.parametrize(
    "line",
    [
        "joined channel=item:42 subject='alice' connection=abc",
        "Is it running? Yes: listening on http://127.0.0.1:8000 (what? this)",
        "refused reason=credentials_invalid check=expiry source=query",
    ],
)
def test_leaves_other_lines_alone(line: str) -> None:
    """A log that hides everything helps nobody."""
    assert redact(line) == line


# What the patterns look for, some of it spelt with letters that `re` takes for i, s and k where it
# ignores case.
names = ["Author\u0130zation", "authorization", "Proxy-Authorization", "COO\u212aIE", "set-cookie"]
names += ["\u017fec-webSoc\u212aet-protocol", "query_string", "< TEXT a", "> CONT b", "eyaaaaaaa."]
names += ["itemwire.token.", "EYaaaaaaa.", "/ws?", "cook", "ie", "item", "wire", "?"]
joints = ["", " ", ": ", ":", "='", "'", "x", "\n", ",", "[", "b"]
pieces = st.builds("".join, st.tuples(*map(st.sampled_from, (joints, names, joints))))


@given(line=st.lists(pieces | st.text(max_size=4), max_size=8).map("".join))
def test_looking_for_marks_first_misses_nothing(line: str) -> None:
    """Most lines hold no secret, and the patterns cost most of what printing a line costs."""
    whole = line
    for _, pattern, replacement in SECRETS:
        whole = pattern.sub(replacement, whole)

    assert redact(line) == whole


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    """A stream that a logger of this test prints to, with the server's handling."""
    stream = io.StringIO()
    logger = logging.getLogger("itemwire")
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    redact_logs()
    redact_logs()
    yield stream
    logger.removeHandler(handler)


def test_takes_credentials_out_of_tracebacks(printed: io.StringIO) -> None:
    """The text of an exception is the application's, and may quote a credential."""
    try:
        raise ValueError(f"cannot read {JWT}")
    except ValueError:
        logging.getLogger("itemwire.test").exception("it failed")

    assert "Traceback" in printed.getvalue()
    assert JWT not in printed.getvalue()


def test_installing_twice_is_installing_once(printed: io.StringIO) -> None:
    """Each application of a process installs it; handlers must not pile up."""
    handler = logging.getLogger("itemwire").handlers[-1]

    assert isinstance(handler.formatter, RedactingFormatter)
    assert not isinstance(handler.formatter._inner, RedactingFormatter)
    assert printed.getvalue() == ""


def test_holds_back_a_flood_and_says_so() -> None:
    """Refusals at 1000/s must not fill the disk, nor hide that they happened."""
    now = 100.0
    sampler = LogSampler(clock=lambda: now)
    formatter = RedactingFormatter(logging.Formatter())

    def log(message: str) -> str | None:
        record = logging.makeLogRecord({"msg": message, "args": ("x",)})
        return formatter.format(record) if sampler.filter(record) else None

    passed = [log("refused reason=%s") for _ in range(LINES_A_SECOND + 30)]
    other = log("joined %s")
    now = 101.5
    after = log("refused reason=%s")
    again = log("refused reason=%s")

    assert len(list(filter(None, passed))) == LINES_A_SECOND
    assert other == "joined x"
    assert after == "refused reason=x (30 more like this were not logged)"
    assert again == "refused reason=x"


def test_takes_its_time_only_once_over_a_hostile_line() -> None:
    """Each handshake logs a path that a stranger chose: the time must grow linearly with it."""

    def seconds(repeats: int) -> float:
        line = "/items/" + "-eyaaaaaa" * repeats + "/ws?" + "?'" * repeats
        began = time.thread_time()
        redact(line)
        return time.thread_time() - began

    short = min(seconds(500) for _ in range(5))

    # Quadratic would be 256 times as long.
    assert min(seconds(8_000) for _ in range(5)) < 100 * short


def as_json(
    message: str, *args: object, name: str = "itemwire.test", **more: object
) -> dict[str, Any]:
    """Return the object that a record becomes, after checking that it is a single line."""
    record = logging.makeLogRecord(
        {"msg": message, "args": args, "name": name, "levelname": "WARNING", **more}
    )
    line = JsonFormatter().format(record)

    assert line.isascii()
    assert line.isprintable()
    told: dict[str, Any] = json.loads(line)
    return told


def test_an_event_becomes_an_object_with_its_fields() -> None:
    """So that a log store finds them without patterns of its own."""
    moment = datetime(2026, 11, 22, 23, 30, 0, 250_000, UTC).timestamp()
    event = as_json("left channel=%s count=%d why=%r", "item:42", 3, None, created=moment)

    assert event == {
        "ts": "2026-11-22T23:30:00.250Z",
        "level": "warning",
        "logger": "itemwire.test",
        "event": "left",
        "channel": "item:42",
        "count": 3,
        "why": None,
    }


@pytest.mark.parametrize(
    ("message", "args", "fields"),
    [
        pytest.param("a b=%s", (quoted("it's\n'me'"),), {"b": "it's\n'me'"}, id="quoted"),
        pytest.param("a b=%s", (quoted(None),), {"b": None}, id="none"),
        pytest.param("a b=%s", (quoted("x" * 500),), {"b": "x" * 200}, id="cut"),
        pytest.param("a b=%.*r c=%d", (2, "xyz", 1), {"b": "xy", "c": 1}, id="length ahead"),
        pytest.param("a b=%s", (ValueError("bad"),), {"b": "bad"}, id="error"),
        pytest.param("a b=%s", (1.5,), {"b": "1.5"}, id="float"),
        pytest.param("a", (), {}, id="no field"),
    ],
)
def test_a_field_has_the_value_and_not_how_text_shows_it(
    message: str, args: tuple[object, ...], fields: dict[str, object]
) -> None:
    """Quotes of text would stand inside the quotes of JSON."""
    event = as_json(message, *args)

    assert event["event"] == "a"
    assert {name: event[name] for name in fields} == fields


@pytest.mark.parametrize(
    ("name", "message", "args"),
    [
        pytest.param("uvicorn.error", "a b=%s", (1,), id="of another logger"),
        pytest.param("itemwire.test", "it failed: %s", (1,), id="a sentence"),
        pytest.param("itemwire.test", "a b=%s %s", (1, 2), id="a place without a name"),
        pytest.param("itemwire.test", "%s", ("event x=1",), id="only a value"),
    ],
)
def test_any_other_line_is_a_message(name: str, message: str, args: tuple[object, ...]) -> None:
    """Nothing is guessed: other lines are kept as text."""
    event = as_json(message, *args, name=name)

    assert (event["event"], event["message"]) == ("message", message % args)


HOSTILE = [
    'x", "level": "info", "event": "authenticated',
    'x\n{"event": "authenticated"}',
    "x event=authenticated subject=root",
    "\u2028{}\u2029\x85\r\x00\x1b[2J\ud800",
]


@pytest.mark.parametrize("value", HOSTILE, ids=["a quote", "a line", "a field", "control"])
@pytest.mark.parametrize("how", ["%s", "%r"])
def test_no_value_makes_a_line_or_a_field(value: str, how: str) -> None:
    """Text that a client chose stays inside a value (requirement 80)."""
    event = as_json(f"refused subject={how}", value)
    message = as_json(f"it was {how}", value)

    assert set(event) == {"ts", "level", "logger", "event", "subject"}
    assert event["subject"] == value
    assert set(message) == {"ts", "level", "logger", "event", "message"}
    assert (event["event"], message["event"]) == ("refused", "message")


@pytest.mark.parametrize(
    "line",
    ["/items/1/ws?token=hunter2", f"it is {JWT}", "< Cookie: hunter2"],
    ids=["query", "token", "header"],
)
def test_takes_credentials_out_of_objects(line: str) -> None:
    """Out of fields, messages and tracebacks; and what comes after them stays (requirement 20)."""
    try:
        raise ValueError(line)
    except ValueError:
        failure = sys.exc_info()
    objects = [
        as_json("a path=%s last=%d", line, 7, exc_info=failure),
        as_json("a path=%r last=%d", line, 7),
        as_json("a path=%s last=%d", quoted(line), 7),
        as_json(line, name="uvicorn.error"),
    ]

    assert not any(secret in str(objects) for secret in ("hunter2", JWT))
    assert [one.get("last") for one in objects] == [7, 7, 7, None]
    assert "Traceback" in objects[0]["exception"]
    assert all("redacted" in str(one) for one in objects)


def test_says_in_a_field_what_was_held_back() -> None:
    """Behind the object it would break the line."""
    assert as_json("a b=%s", 1, held_back=30)["held_back"] == 30


def test_an_event_with_too_few_values_fails_as_text_does() -> None:
    """`logging` prints such a fault with its place, and goes on."""
    record = logging.makeLogRecord({"msg": "a b=%s c=%s", "args": (1,), "name": "itemwire.x"})

    with pytest.raises(TypeError, match="not enough arguments"):
        JsonFormatter().format(record)


def test_objects_are_not_formatted_again() -> None:
    """An application that is made in the same process installs redaction too."""
    stream = io.StringIO()
    logger = logging.getLogger("itemwire")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    redact_logs()
    logging.getLogger("itemwire.test").warning("a cookie=%s", "kept")
    logger.removeHandler(handler)

    assert json.loads(stream.getvalue())["cookie"] == "kept"
