"""The attack catalogue finds no fault in Itemwire, and the known ones in the tutorial."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from itemwire.main import create_app
from itemwire.serving.server import FASTPATH
from itemwire.testing import (
    ATTACKS,
    COOKIE,
    QUERY,
    Refusal,
    Report,
    Route,
    Severity,
    attacks_for,
    faults,
    itemwire_route,
    live_application,
    run_attacks,
    settings_for,
)
from itemwire.testing.attacks import GROUPS
from itemwire.testing.servers import STOCK
from itemwire_auth.testing import TokenFactory
from tests.testing import tutorial

Mode = Literal["close", "http"]

# What uvicorn's own classes do with handshakes before the application hears of them.
FAULTS_OF_STOCK = {
    "subprotocol_spelt_padded": "leaked",  # the 400 says what was wrong, with the token in it
    "subprotocol_spelt_quoted": "leaked",
    "handshake_host_missing": "let_in",
    "handshake_host_twice": "let_in",
    "handshake_http_1_0": "let_in",
}
SILENCES_OF_STOCK = {
    "query_oversized",
    "query_oversized_by_far",
    "cookie_oversized",
    "cookie_oversized_by_far",
    "header_oversized",
    "header_oversized_by_far",
    "subprotocol_oversized",
    "subprotocol_oversized_by_far",
    "head_of_many_headers",
    "handshake_body",
    "handshake_chunked",
}

# All that the tutorial's example and a proper server refuse; whatever else is tried gets in.
TUTORIAL_REFUSES = frozenset(
    """
    no_credential query_in_other_case query_as_list query_with_nul query_with_space query_nested
    query_after_semicolon query_in_x_original_url query_in_x_rewrite_url query_in_referer
    cookie_in_other_case cookie_with_longer_name cookie_of_host_prefix cookie_without_name
    header_x_user header_x_forwarded_user header_x_remote_user header_remote_user header_from
    origin_twice query_oversized_by_far cookie_oversized_by_far head_of_many_headers
    item_empty item_slash item_escaped_slash item_traversal
    number_word number_empty number_fraction number_hexadecimal number_exponent number_list
    number_nul number_null number_other_digits number_many_digits
    handshake_version_8 handshake_version_missing handshake_version_no_number
    handshake_key_missing handshake_key_empty handshake_key_short handshake_key_no_base64
    handshake_key_twice handshake_upgrade_missing handshake_upgrade_to_other
    handshake_connection_missing handshake_connection_keep_alive handshake_host_missing
    handshake_host_twice handshake_http_1_0 handshake_post handshake_body handshake_chunked
    handshake_length_and_chunked handshake_space_before_colon handshake_no_colon
    handshake_nul_in_header handshake_name_with_space
    path_slash_after path_slash_before path_segment_before path_segment_after path_parameter
    path_nul path_space path_suffix path_dot_before path_dots_before path_in_other_case
    """.split()  # noqa: SIM905 - a table, not a column
)


def whole_route(tokens: TokenFactory, refusal: Mode) -> Route:
    """Itemwire's own route, with all that there is to attack."""
    return itemwire_route(tokens, refusal, tickets=True, revocations=True, refreshing=True)


def test_there_are_many_and_each_has_a_name_and_a_reason() -> None:
    """A name is what one leaves out by, and a reason is what one answers to."""
    names = Counter(attack.name for group in GROUPS for attack in group)

    assert len(ATTACKS) >= 60
    assert [name for name, count in names.items() if count > 1] == []
    assert [name for name, attack in ATTACKS.items() if not attack.why] == []


def test_each_has_the_severity_that_is_written_down() -> None:
    """Which attacks a foreign application is failed for is decided one by one."""
    pinned = {
        name: line.partition(":")[0]
        for line in Path(__file__).with_name("severities.txt").read_text().splitlines()
        for name in line.partition(":")[2].split()
    }

    assert {name: attack.severity.value for name, attack in ATTACKS.items()} == pinned


@pytest.mark.parametrize("refusal", ["close", "http"])
def test_itemwire_withstands_all_of_it(tokens: TokenFactory, refusal: Mode) -> None:
    """Each attack is refused in the words of its kind, and each twin is let in."""
    route = whole_route(tokens, refusal)
    app = create_app(settings_for(tokens, refusal=refusal, admin=True))
    with live_application(app) as server:
        reports = run_attacks(server, attacks_for(route))

    assert len(reports) == 1 + len(ATTACKS)  # the good client first
    assert faults(reports) == {}, _told(reports)


@pytest.mark.parametrize("refusal", ["close", "http"])
def test_on_stock_only_what_uvicorn_decides_is_different(
    tokens: TokenFactory, refusal: Mode
) -> None:
    """All that is the application's holds on uvicorn's own classes, too."""
    app = create_app(settings_for(tokens, refusal=refusal, admin=True))
    route = whole_route(tokens, refusal)
    trials = attacks_for(route, without=SILENCES_OF_STOCK)
    with live_application(app, protocols=STOCK) as server:
        reports = run_attacks(server, trials)

    assert faults(reports) == FAULTS_OF_STOCK, _told(reports)


def test_on_stock_an_endless_head_gets_no_answer(tokens: TokenFactory) -> None:
    """The kit says so, and does not wait for ever."""
    route = replace(itemwire_route(tokens), patience=0.3)
    with live_application(create_app(settings_for(tokens)), protocols=STOCK) as server:
        reports = run_attacks(server, attacks_for(route, only=SILENCES_OF_STOCK))

    assert faults(reports) == dict.fromkeys(SILENCES_OF_STOCK, "unanswered")


def tutorial_route(tokens: TokenFactory) -> Route:
    """The tutorial's items example, as its author would describe it."""
    return Route(
        "/items/{item}/ws",
        tokens,
        (QUERY, COOKIE),
        number="q",
        probe="hello",
        severity=Severity.RULE,
    )


def test_the_tutorials_example_lets_nearly_everything_in(tokens: TokenFactory) -> None:
    """It asks whether there is a credential, and not which; nor from where, nor for what."""
    trials = attacks_for(tutorial_route(tokens))
    with live_application(tutorial.app, protocols=FASTPATH) as server:
        found = faults(run_attacks(server, trials))

    assert found == {
        trial.attack.name: "let_in"
        for trial in trials[1:]
        if trial.attack.name not in TUTORIAL_REFUSES
    }
    assert {
        "query_garbage",  # any string is a token
        "query_empty",  # the empty one, too
        "cookie_garbage",
        "token_alg_none",
        "token_expired",
        "token_hs256_with_rsa_public_key",
        "origin_another_site",  # any page may use the cookie
        "origin_null",
        "query_twice",  # of two, the last is taken
        "query_good_beside_cookie_of_another",
        "item_nul",  # any text is an item
        "item_line_break",
        "item_no_utf_8",
        "item_far_too_long",
        "path_line_break",  # of Starlette, for every route
    } <= found.keys()
    assert len(found) > 250


def test_the_tutorials_refusal_is_not_the_one_it_raises(tokens: TokenFactory) -> None:
    """It raises 1008; what a browser is told is 1006."""
    route = replace(tutorial_route(tokens), refusals={"missing": ((1008, ""),)})
    (trial,) = attacks_for(route, only={"no_credential"})
    with live_application(tutorial.app) as server:
        report = trial.against(server)

    assert report.verdict == "refused_otherwise"
    assert report.seen.refusal == Refusal(403)
    assert report.seen.refusal.browser_sees == (1006, "")


def test_the_tutorials_example_on_its_own_server(tokens: TokenFactory) -> None:
    """As most people run it: the same faults, and those of uvicorn's classes."""
    trials = attacks_for(tutorial_route(tokens))
    kept = TUTORIAL_REFUSES - FAULTS_OF_STOCK.keys()
    heard = [trial for trial in trials if trial.attack.name not in SILENCES_OF_STOCK]
    with live_application(tutorial.app) as server:
        found = faults(run_attacks(server, heard))

    assert found == {t.attack.name: "let_in" for t in heard[1:] if t.attack.name not in kept}


def _told(reports: list[Report]) -> str:
    return "\n".join(str(report) for report in reports if report.is_fault)
