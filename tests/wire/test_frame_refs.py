"""The `ref` of frames that no parser takes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.wire.frame_refs import MAX_TOKENS, ref_in


@pytest.mark.parametrize(
    ("frame", "ref"),
    [
        pytest.param('{"ref":7,"data":"\\ud800"}', 7, id="before-a-surrogate"),
        pytest.param('{"data":"\\ud800","ref":7}', 7, id="after-a-surrogate"),
        pytest.param('{"data":"\\\\","ref":7}', 7, id="after-a-backslash"),
        pytest.param('{"data":"a\\"ref\\":1","ref":7}', 7, id="after-one-in-a-string"),
        pytest.param('{"data":' + "[" * 9000 + "]" * 9000 + ',"ref":7}', 7, id="after-depth"),
        pytest.param('{"data":' + '{"a":' * 1900 + "}" * 1900 + ',"ref":7}', 7, id="objects"),
        pytest.param('{"ref":7,"data":' + "[" * 9000, 7, id="cut-short"),
        pytest.param('{ "ref" : "a\\u00e4" , "x"', "aä", id="white-space-and-escapes"),
        pytest.param('{"ref":1,"ref":2', 2, id="the-last-of-two"),
        pytest.param('{"ref":1,"ref":[]', 1, id="the-last-that-is-one"),
        pytest.param('{"data":{"ref":7},', msgspec.UNSET, id="of-the-payload"),
        pytest.param('{"data":"ref","x":7', msgspec.UNSET, id="a-value-of-that-name"),
        pytest.param('"ref":7', msgspec.UNSET, id="no-object"),
        pytest.param('{"ref":"\\ud800"}', msgspec.UNSET, id="half-a-pair-itself"),
        pytest.param('{"ref":"abc', msgspec.UNSET, id="cut-short-itself"),
        pytest.param('{"ref":1.5', msgspec.UNSET, id="a-fraction"),
        pytest.param('{"ref":1e2', msgspec.UNSET, id="an-exponent"),
        pytest.param('{"ref":' + "9" * 5000, msgspec.UNSET, id="5000-digits"),
        pytest.param('{"ref":"' + "r" * 65 + '"', msgspec.UNSET, id="65-characters"),
        pytest.param("{" + '"a",' * MAX_TOKENS + '"ref":7}', msgspec.UNSET, id="too-far"),
    ],
)
def test_finds_the_ref_of_a_frame(frame: str, ref: object) -> None:
    """Only that of the request itself, and only one that could be sent back."""
    assert ref_in(frame) == ref


@given(st.text(st.sampled_from('{}[]":\\ref 1,'), max_size=60) | st.text())
def test_reads_any_text(frame: str) -> None:
    """Whatever a client writes, there is an answer."""
    assert isinstance(ref_in(frame), str | int | msgspec.UnsetType)
