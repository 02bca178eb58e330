"""One good key in a set, and beside it whatever a set may hold: it goes on verifying."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from itemwire_auth.keys.base import KeySource
from itemwire_auth.keys.files import FileKeys
from itemwire_auth.keys.jwks import MAX_KEYS, MAX_LOGGED
from itemwire_auth.testing import encode, private_jwk, public_jwk, signing_key
from tests.auth.key_server import Answer, KeyServer
from tests.auth.keys.fetched_keys import A, keys_of, refreshed

pytestmark = pytest.mark.server

GOOD: Final = json.dumps(public_jwk(A))
OTHER: Final = public_jwk(signing_key("ES256", "x"))
RSA: Final = public_jwk(signing_key("RS256", "x"))


def member(base: dict[str, object], **changes: object) -> str:
    """Write a key with other members, which is good but for these."""
    return json.dumps(base | changes)


BESIDE: Final[dict[str, str]] = {
    "null": "null",
    "number": "7",
    "text": '"a"',
    "list": "[]",
    "list_of_the_key": f"[{GOOD}]",
    "set_in_a_set": f'{{"keys": [{GOOD}]}}',
    "empty_object": "{}",
    "kid_number": member(OTHER, kid=7),
    "kid_null": member(OTHER, kid=None),
    "kid_list": member(OTHER, kid=["a"]),
    "kid_object": member(OTHER, kid={"a": "a"}),
    "kid_empty": member(OTHER, kid=""),
    "kid_long": member(OTHER, kid="a" * 100_000, x="AAAA"),
    "kid_of_the_good_key_damaged": member(OTHER, kid="a", x="AAAA"),
    "kid_of_the_good_key_for_encryption": member(OTHER, kid="a", use="enc"),
    "kid_of_the_good_key_another_type": member(RSA, kid="a"),
    "kty_unknown": member(OTHER, kty="AKP"),
    "kty_number": member(OTHER, kty=5),
    "kty_list": member(OTHER, kty=["EC"]),
    "crv_unknown": member(OTHER, crv="P-999"),
    "crv_object": member(OTHER, crv={}),
    "alg_unknown": member(OTHER, alg="ES999"),
    "alg_none": member(OTHER, alg="none"),
    "alg_list": member(OTHER, alg=["ES256"]),
    "alg_of_a_secret": member(RSA, alg="HS256"),
    "use_unknown": member(OTHER, use="tls"),
    "use_number": member(OTHER, use=1),
    "key_ops_unknown": member(OTHER, key_ops=["fly"]),
    "key_ops_number": member(OTHER, key_ops=3),
    "key_ops_of_objects": member(OTHER, key_ops=[{}]),
    "x_not_base64": member(OTHER, x="!!!"),
    "x_number": member(OTHER, x=12),
    "x_off_the_curve": member(OTHER, x=OTHER["y"]),
    "x_null": member(OTHER, x=None),
    "n_missing": json.dumps({"kty": "RSA", "kid": "x", "e": "AQAB"}),
    "e_missing": json.dumps({"kty": "RSA", "kid": "x", "n": RSA["n"]}),
    "e_is_one": member(RSA, e="AQ"),
    "e_is_even": member(RSA, e="AQAC"),
    "e_enormous": member(RSA, e="A" + "Q" * 50_000),
    "rsa_small": member(RSA, n="w" * 170),
    "rsa_enormous": member(RSA, n="w" * 200_000),
    "rsa_too_long_to_verify": member(RSA, n=encode(b"\xff" * 2049)),
    "rsa_all_zeros": member(RSA, n="A" * 342),
    "private": json.dumps(private_jwk(signing_key("ES256", "own"))),
    "private_garbage": member(OTHER, d=[1]),
    "secret_without_its_member": json.dumps({"kty": "oct", "kid": "x"}),
    "secret_short": json.dumps({"kty": "oct", "kid": "x", "k": "AAAA"}),
    "name_twice": f'{{"kid": "b", {GOOD[1:]}',
    "integer_of_10000_digits": f'{{"kid": "x", "exp": {"9" * 10_000}}}',
    "number_out_of_range": '{"kid": "x", "exp": 1e999}',
    "not_a_number": '{"kid": "x", "exp": NaN}',
    "half_of_a_surrogate_pair": '{"kid": "\\ud800"}',
    "nested": '{"kid": ' + "[" * 5000 + "]" * 5000 + "}",
    "ten_thousand_members": ",".join(['{"kty":"x"}'] * 10_000),
}
"""What stands before the good key, as text: some of it no JSON encoder would write."""


Make = Callable[[str], KeySource]


@pytest.fixture(params=["url", "file"])
def source_of(request: pytest.FixtureRequest, published: KeyServer, tmp_path: Path) -> Make:
    """Make a source of the set that is given, as both kinds of sources read it."""

    def of_url(text: str) -> KeySource:
        published.answer = Answer(text.encode())
        keys = keys_of(published)
        assert refreshed(keys)
        return keys

    def of_file(text: str) -> KeySource:
        path = tmp_path / "keys.json"
        path.write_text(text)
        return FileKeys(path)

    return of_url if request.param == "url" else of_file


@pytest.mark.parametrize("beside", [pytest.param(it, id=name) for name, it in BESIDE.items()])
@pytest.mark.parametrize("is_first", [True, False], ids=["after", "before"])
def test_one_bad_member_spoils_no_other(
    beside: str, is_first: bool, source_of: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """The good key verifies, the other is not there, and the log names it (requirement 135)."""
    text = f"{beside}, {GOOD}" if is_first else f"{GOOD}, {beside}"

    keys = source_of(f'{{"keys": [{text}], "more": {{"keys": [{{"kid": "x"}}]}}}}')
    found = keys.find("a", "ES256")

    assert found is not None
    assert found.verifies(b"message", A.sign(b"message"))
    assert keys.find("x", "ES256") is None
    other = keys.find("a", "RS256")
    is_good = other is not found or keys.find("own") is not None  # private, in a file of one's own
    assert ("key_left_out" in caplog.text) is not is_good
    assert max(map(len, caplog.text.splitlines()), default=0) < 500


def test_what_is_good_for_both_kinds_of_source_is_taken(source_of: Make) -> None:
    """The twin of all that is left out: with nothing wrong, the second key is there."""
    keys = source_of(f'{{"keys": [{json.dumps(OTHER)}, {GOOD}, {json.dumps(RSA)}]}}')

    assert keys.find("a") == A.verification_key()
    assert keys.find("x", "ES256") is not None
    assert keys.find("x", "RS256") is not None


def test_x5c_garbage_is_not_read(source_of: Make) -> None:
    """Certificates beside the members of a key decide nothing here."""
    keys = source_of(f'{{"keys": [{member(public_jwk(A), x5c=[7, "!"], x5t=None)}]}}')

    assert keys.find("a") == A.verification_key()


def test_of_a_true_conflict_neither_is_taken(
    source_of: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Which of the two a token means would be a guess; the rest works, and the log names it."""
    text = ", ".join(
        [member(OTHER, kid="b"), GOOD, member(public_jwk(signing_key("ES256")), kid="b")]
    )

    keys = source_of(f'{{"keys": [{text}]}}')

    assert keys.find("b", "ES256") is None
    assert keys.find("a") is not None
    assert "kid 'b' twice" in caplog.text


def test_more_keys_than_are_kept_do_not_end_those_that_are(
    published: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Of an issuer that publishes hundreds, the first verify; the log says how many do not."""
    assert MAX_KEYS == 100  # as is documented
    jwk = public_jwk(A)
    listed = [jwk] + [member(jwk, kid=str(number)) for number in range(MAX_KEYS + 9)]
    text = ", ".join(json.dumps(one) if isinstance(one, dict) else one for one in listed)
    published.answer = Answer(f'{{"keys": [{text}]}}'.encode())
    keys = keys_of(published)

    assert refreshed(keys)
    assert keys.find("a") is not None
    assert keys.find(str(MAX_KEYS)) is None
    assert f"10 keys of {keys.source}, after {MAX_KEYS} others" in caplog.text


def test_thousands_of_bad_members_are_a_few_lines_of_the_log(
    published: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The other side chooses how many there are."""
    published.answer = Answer(f'{{"keys": [{BESIDE["ten_thousand_members"]}, {GOOD}]}}'.encode())

    assert refreshed(keys_of(published))
    assert caplog.text.count("jwks_key_left_out") == MAX_LOGGED + 1
    assert f"{10_000 - MAX_LOGGED} more keys" in caplog.text


def test_the_loop_goes_on_while_a_large_set_is_parsed(published: KeyServer) -> None:
    """A set of thousands takes a tenth of a second, in which sockets are served."""
    published.answer = Answer(f'{{"keys": [{BESIDE["ten_thousand_members"]}, {GOOD}]}}'.encode())
    keys = keys_of(published)
    turns: list[float] = []

    async def count_turns() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(keys.refresh())
        while not task.done():
            turns.append(loop.time())
            await asyncio.sleep(0)

    asyncio.run(count_turns())
    longest = max(later - earlier for earlier, later in itertools.pairwise(turns))

    assert keys.find("a") is not None
    assert longest < (turns[-1] - turns[0]) / 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"keys": {}}',
        '{"keys": []}',
        f'{{"keys": [{GOOD}]',
        f'{{"keys": [{GOOD}]}}}}',
    ],
)
def test_what_is_no_set_at_all_is_refused(text: str, published: KeyServer) -> None:
    """Half of a set is an answer that was cut off, not a set with one bad member."""
    published.answer = Answer(text.encode())
    keys = keys_of(published)

    assert not refreshed(keys)
    assert not keys.has_keys
