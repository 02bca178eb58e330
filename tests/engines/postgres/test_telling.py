"""Words that go through PostgreSQL in parts: put together again, whatever else is notified."""

from __future__ import annotations

import pytest

from itemwire.engines.postgres.telling import PostgresTelling
from tests.fakes import CHANNEL

ONE = f"> t1 1/3 YQ==|{CHANNEL}"
TWO = f"> t2 2/3 Yg==|{CHANNEL}"
THREE = f"> t3 3/3 Yw==|{CHANNEL}"


def heard(*parts: tuple[int, str]) -> list[bytes]:
    """Take parts of senders, and give what is whole."""
    telling = PostgresTelling(None)  # type: ignore[arg-type] # it asks for nothing here
    taken = [telling.take(sender, part) for sender, part in parts]
    return [words for words in taken if words is not None]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        pytest.param([(1, ONE), (1, TWO), (1, THREE)], [b"abc"], id="in-their-order"),
        pytest.param([(1, f"> t1 1/1 YQ==|{CHANNEL}")] * 2, [b"a", b"a"], id="in-one-part"),
        pytest.param([(1, f"> t1 1/1 |{CHANNEL}")], [b""], id="nothing-at-all"),
        pytest.param([(1, ONE), (2, ONE), (2, TWO), (1, TWO), (1, THREE)], [b"abc"], id="of-two"),
        pytest.param([(1, ONE), (1, THREE)], [], id="one-is-missing"),
        pytest.param([(1, TWO), (1, THREE)], [], id="the-first-is-missing"),
        pytest.param([(1, ONE), (1, ONE), (1, TWO), (1, THREE)], [b"abc"], id="begun-anew"),
        pytest.param([(1, f"> t1 1/9999999 YQ==|{CHANNEL}")], [], id="too-many"),
        pytest.param([(1, "> t1 1/1"), (1, "> t1 x/y YQ==|c"), (1, "> t1 1/1 ?|c")], [], id="none"),
    ],
)
def test_parts_are_put_together(parts: list[tuple[int, str]], words: list[bytes]) -> None:
    """Those of one sender, in a row; a part that fits nowhere is left out."""
    assert heard(*parts) == words
