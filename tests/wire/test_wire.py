"""Which codec a client's offer selects."""

from __future__ import annotations

import pytest

from itemwire.wire import CODECS, choose_codec

JSON, MSGPACK, PLAIN = "itemwire.v1.json", "itemwire.v1.msgpack", "itemwire.v1.plain"


@pytest.mark.parametrize(
    ("offered", "chosen", "answered"),
    [
        pytest.param([], PLAIN, None, id="nothing-offered"),
        pytest.param([JSON], JSON, JSON, id="json"),
        pytest.param([PLAIN], PLAIN, PLAIN, id="plain-by-name"),
        pytest.param([JSON, PLAIN], JSON, JSON, id="the-first-of-two"),
        pytest.param([PLAIN, JSON], PLAIN, PLAIN, id="the-first-of-two-the-other-way"),
        pytest.param([MSGPACK, JSON], MSGPACK, MSGPACK, id="msgpack-before-json"),
        pytest.param(["mqtt", JSON], JSON, JSON, id="the-first-that-is-known"),
        pytest.param(["itemwire.token.a.b.c", JSON], JSON, JSON, id="a-credential-beside-it"),
        pytest.param(["itemwire.token.a.b.c"], PLAIN, None, id="a-credential-alone"),
        pytest.param(["mqtt"], PLAIN, None, id="unknown"),
        pytest.param([JSON.upper()], PLAIN, None, id="another-case"),
        pytest.param([JSON + " ", ""], PLAIN, None, id="nearly"),
    ],
)
def test_chooses_by_the_first_subprotocol_it_knows(
    offered: list[str], chosen: str, answered: str | None
) -> None:
    """Only ours are ever answered, a credential never (requirement 10)."""
    assert choose_codec(offered) == (CODECS[chosen], answered)


def test_names_each_codec_by_its_subprotocol() -> None:
    """A name on the wire is for ever."""
    names = {name: codec.subprotocol for name, codec in CODECS.items()}

    assert names == {JSON: JSON, MSGPACK: MSGPACK, PLAIN: PLAIN}
