"""Words on a stream of bytes: whole frames come out, however the bytes come in."""

from __future__ import annotations

import pytest

from itemwire.engines.unix import frames
from itemwire.engines.unix.frames import WordReader, frames_of
from itemwire.engines.unix.words import PingWord, SubscribeWord, decode_node_words, encode_word

WORDS = [SubscribeWord("item:1", 0), PingWord(), SubscribeWord("item:2", 0)]
ENCODED = [encode_word(word) for word in WORDS]


def read(chunks: list[bytes], most: int = frames.MOST_FRAME) -> list[list[object]]:
    """Give the words of each frame that comes out."""
    reader = WordReader(most)
    return [list(decode_node_words(body)) for chunk in chunks for body in reader.feed(chunk)]


def test_all_words_of_a_turn_are_one_frame() -> None:
    """One write, one read, one decoding."""
    (frame,) = frames_of(ENCODED)

    assert read([frame]) == [WORDS]


@pytest.mark.parametrize("size", [1, 3, 4, 5, 17, 1000])
def test_frames_may_come_in_pieces_and_together(size: int) -> None:
    """A stream knows no frames."""
    sent = b"".join(frame for word in ENCODED for frame in frames_of([word]))
    chunks = [sent[at : at + size] for at in range(0, len(sent), size)]

    assert read(chunks) == [[word] for word in WORDS]


def test_a_turn_with_much_is_several_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is too large for its reader, and each word is in one of them."""
    monkeypatch.setattr(frames, "FULL_FRAME", len(ENCODED[0]) + 1)

    assert read(list(frames_of(ENCODED))) == [WORDS[:2], WORDS[2:]]


def test_a_frame_that_is_too_large_is_not_waited_for() -> None:
    """Else four bytes could make the other end keep gigabytes."""
    (frame,) = frames_of(ENCODED)
    length = len(frame) - 4

    assert read([frame[:5], frame[5:]], most=length) == [WORDS]
    with pytest.raises(ValueError, match="too large"):
        read([frame[:5]], most=length - 1)
