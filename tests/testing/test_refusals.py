"""What a script in a browser sees of each kind of refusal."""

import pytest

from itemwire.testing import Ended, Refusal


@pytest.mark.parametrize(
    ("refusal", "seen"),
    [
        pytest.param(Refusal(401, body=b'{"reason":"x"}'), (1006, ""), id="denied"),
        pytest.param(Refusal(403), (1006, ""), id="denied_without_body"),
        pytest.param(Refusal(0), (1006, ""), id="no_answer"),
        pytest.param(Refusal(101), (1006, ""), id="dropped"),
        pytest.param(Refusal(101, 1005), (1005, ""), id="closed_without_code"),
        pytest.param(Refusal(101, 1008, "forbidden"), (1008, "forbidden"), id="closed"),
        pytest.param(
            Refusal(101, 1008, "forbidden", unanswered=True), (1006, ""), id="no_subprotocol"
        ),
    ],
)
def test_a_browser_sees_the_close_frame_and_nothing_else(
    refusal: Refusal, seen: tuple[int, str]
) -> None:
    """Status and body never reach a page; nor does a close behind a handshake it gave up."""
    assert refusal.browser_sees == seen
    assert f"a browser sees {seen[0]}" in str(refusal)


@pytest.mark.parametrize(
    ("refusal", "retry"),
    [
        pytest.param(Refusal(101, 1008, "forbidden;retry=never"), "never", id="with_hints"),
        pytest.param(Refusal(101, 1008, "forbidden"), None, id="without"),
        pytest.param(Refusal(401, body=b'{"reason":"x","retry":"token"}'), "token", id="denied"),
        pytest.param(Refusal(403, body=b"no"), None, id="denied_by_another_server"),
        pytest.param(Refusal(403), None, id="denied_without_body"),
    ],
)
def test_a_refusal_has_the_verdict_that_was_told(refusal: Refusal, retry: str | None) -> None:
    """In whichever form; a client that was told none has to go by its own table."""
    assert refusal.retry == retry


def test_an_end_carries_its_refusal_and_says_it() -> None:
    """What a test prints is what one has to know."""
    ended = Ended(Refusal(403, body=b"no"))

    assert ended.refusal.status == 403
    assert str(ended) == "HTTP 403 b'no'; a browser sees 1006 ''"
