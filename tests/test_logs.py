"""What is printed: no credential, and no flood."""

import io
import logging
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.logs import LINES_A_SECOND, SECRETS, RedactingFormatter, Sampler, redact, redact_logs

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
    """Whoever wrote the line, and in whatever form the credential stands in it."""
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
    """An exception's text is the application's; it may well quote what it was given."""
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
    sampler = Sampler(clock=lambda: now)
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
    """A stranger's path goes through it at each handshake: its time grows with the length only."""

    def seconds(repeats: int) -> float:
        line = "/items/" + "-eyaaaaaa" * repeats + "/ws?" + "?'" * repeats
        began = time.perf_counter()
        redact(line)
        return time.perf_counter() - began

    short = min(seconds(500) for _ in range(5))

    # Quadratic would be 256 times as long; a busy machine is given the benefit of the doubt.
    assert min(seconds(8_000) for _ in range(5)) < 100 * short
