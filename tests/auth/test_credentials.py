"""Tests of credentials.py: what counts as presented, and that nothing is repaired."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from itemwire_auth.credentials import (
    CREDENTIAL_SOURCES,
    REFRESH,
    SUBPROTOCOL_PREFIX,
    Credential,
    find_credentials,
    from_cookie,
    from_subprotocol,
)
from itemwire_auth.errors import DuplicateCredential, InvalidCredential, InvalidToken
from itemwire_auth.request_bounds import MAX_LIST_MEMBERS
from itemwire_auth.testing import TokenFactory
from itemwire_auth.tokens.verifier import TokenVerifier
from tests.auth.handshakes import handshake

AUTH = "Authorization"


@pytest.mark.parametrize(
    ("header", "values"),
    [
        pytest.param("Bearer t", ["t"], id="plain"),
        pytest.param("bearer t", ["t"], id="lower-case"),
        pytest.param("BEARER t", ["t"], id="upper-case"),
        pytest.param("Bearer  t", [" t"], id="two-spaces-are-kept"),
        pytest.param("Bearer\tt", ["\tt"], id="tab-is-kept"),
        pytest.param("Bearer t ", ["t "], id="space-after-is-kept"),
        pytest.param("Bearer a, Bearer b", ["a, Bearer b"], id="joined-by-comma"),
        pytest.param("Bearer", [""], id="empty"),
        pytest.param("Bearer ", [""], id="empty-after-space"),
        pytest.param("Basic YTpi", [], id="other-scheme"),
        pytest.param("BearerX t", [], id="longer-scheme"),
        pytest.param("Bearer-Token t", [], id="longer-scheme-with-hyphen"),
        pytest.param("t", [], id="no-scheme"),
        pytest.param("", [], id="empty-header"),
    ],
)
def test_reads_the_authorization_header(header: str, values: list[str]) -> None:
    """The scheme has no case, what follows its one space is the value (requirement 25)."""
    found = find_credentials(handshake(headers=[(AUTH, header)]), "session")

    assert [credential.value for credential in found] == values
    assert all(credential.source == "authorization" for credential in found)


@pytest.mark.parametrize(
    ("offered", "values"),
    [
        pytest.param(["itemwire.v1.json", "itemwire.token.a.b.c"], ["a.b.c"], id="beside-a-codec"),
        pytest.param(["itemwire.token."], [""], id="empty"),
        pytest.param(["itemwire.v1.json"], [], id="codec-alone"),
        pytest.param(["Itemwire.token.a.b.c"], [], id="other-case"),
        pytest.param(["xitemwire.token.a.b.c"], [], id="other-prefix"),
    ],
)
def test_reads_the_subprotocols(offered: list[str], values: list[str]) -> None:
    """A browser's script can set no other header; names compare exactly (RFC 6455 section 4.1)."""
    found = find_credentials(handshake(subprotocols=offered), "session")

    assert [credential.value for credential in found] == values


@pytest.mark.parametrize(
    ("query", "values"),
    [
        pytest.param("token=a.b.c", ["a.b.c"], id="plain"),
        pytest.param("since=1&token=a.b.c&replay=2", ["a.b.c"], id="among-others"),
        pytest.param("token=", [""], id="empty"),
        pytest.param("token", [""], id="name-alone"),
        pytest.param("token=a+b", ["a b"], id="plus"),
        pytest.param("token=%20a", [" a"], id="space"),
        pytest.param("%74oken=a", ["a"], id="encoded-name"),
        pytest.param("token=a;token=b", ["a;token=b"], id="semicolon-is-no-separator"),
        pytest.param("Token=a", [], id="other-case"),
        pytest.param("tokens=a", [], id="longer-name"),
        pytest.param("token[]=a", [], id="brackets"),
    ],
)
def test_reads_the_query(query: str, values: list[str]) -> None:
    """A value is taken as it is; what a `+` became will not pass as a token."""
    found = find_credentials(handshake(query), "session")

    assert [credential.value for credential in found] == values


@pytest.mark.parametrize(
    ("query", "values"),
    [
        pytest.param("ticket=abc", ["abc"], id="plain"),
        pytest.param("ticket=", [""], id="empty"),
        pytest.param("ticket=a+b", ["a b"], id="plus"),
        pytest.param("tickets=a", [], id="longer-name"),
        pytest.param("Ticket=a", [], id="other-case"),
    ],
)
def test_reads_a_ticket_of_the_query(query: str, values: list[str]) -> None:
    """As it is, like a token: nothing is repaired (requirement 25)."""
    found = find_credentials(handshake(query), "session")

    assert [(one.value, one.source) for one in found] == [(value, "ticket") for value in values]


def test_looks_at_no_other_source_than_it_is_told_to() -> None:
    """A route may take one kind of credential only; two of another kind do not concern it."""
    connection = handshake("token=a&token=b&ticket=c", [(AUTH, "Bearer d")])

    assert find_credentials(connection, "session", ["authorization"]) == (
        Credential("d", "authorization"),
    )


@pytest.mark.parametrize(
    ("cookie", "values"),
    [
        pytest.param("session=a.b.c", ["a.b.c"], id="plain"),
        pytest.param("theme=dark; session=a.b.c; lang=en", ["a.b.c"], id="among-others"),
        pytest.param("session=a=b", ["a=b"], id="equals-sign"),
        pytest.param('session="a.b.c"', ['"a.b.c"'], id="quotes-are-kept"),
        pytest.param("session=", [""], id="empty"),
        pytest.param("session", [], id="nameless"),
        pytest.param("Session=a", [], id="other-case"),
        pytest.param("__Host-session=a", [], id="other-name"),
        pytest.param("xsession=a", [], id="longer-name"),
        pytest.param("theme=session=a", [], id="within-a-value"),
    ],
)
def test_reads_the_cookie_of_the_configured_name(cookie: str, values: list[str]) -> None:
    """Only the configured name is a session (requirement 18)."""
    found = find_credentials(handshake(headers=[("Cookie", cookie)]), "session")

    assert [credential.value for credential in found] == values


def test_reads_a_cookie_of_another_configured_name() -> None:
    """`__Host-` names keep a neighbouring subdomain from planting a session."""
    connection = handshake(headers=[("Cookie", "session=a; __Host-session=b")])

    assert find_credentials(connection, "__Host-session") == (Credential("b", "cookie"),)


@pytest.mark.parametrize(
    ("source", "query", "headers", "subprotocols"),
    [
        pytest.param(
            "authorization", "", [(AUTH, "Bearer a"), (AUTH, "Bearer b")], [], id="header"
        ),
        pytest.param(
            "subprotocol", "", [], ["itemwire.token.a", "itemwire.token.b"], id="subprotocol"
        ),
        pytest.param("query", "token=a&token=b", [], [], id="query"),
        pytest.param("query", "token=a&token=a", [], [], id="query-the-same"),
        pytest.param("query", "token=&token=a", [], [], id="query-empty-first"),
        pytest.param("query", "token=a&%74oken=b", [], [], id="query-encoded-name"),
        pytest.param("ticket", "ticket=a&ticket=b", [], [], id="ticket"),
        pytest.param("ticket", "ticket=a&%74icket=a", [], [], id="ticket-the-same"),
        pytest.param("cookie", "", [("Cookie", "session=a; session=b")], [], id="cookie"),
        pytest.param("cookie", "", [("Cookie", "session=a; session=")], [], id="cookie-and-empty"),
        pytest.param(
            "cookie", "", [("Cookie", "session=a"), ("Cookie", "session=b")], [], id="headers"
        ),
    ],
)
def test_refuses_two_credentials_in_one_source(
    source: str, query: str, headers: list[tuple[str, str]], subprotocols: list[str]
) -> None:
    """Parameter pollution: two readers would pick two callers (requirements 18, 21)."""
    with pytest.raises(DuplicateCredential) as refused:
        find_credentials(handshake(query, headers, subprotocols=subprotocols), "session")

    assert refused.value.source == source


def test_finds_all_sources_in_their_precedence() -> None:
    """The order is fixed and documented, whatever the order on the wire (requirement 24)."""
    connection = handshake(
        "token=q&ticket=t",
        [("Cookie", "session=c"), (AUTH, "Bearer a"), (AUTH, "Basic x")],
        subprotocols=["itemwire.token.s"],
    )

    found = find_credentials(connection, "session")

    assert [credential.source for credential in found] == list(CREDENTIAL_SOURCES)
    assert [credential.value for credential in found] == ["a", "s", "t", "q", "c"]


def test_finds_only_the_newer_token_at_a_refresh() -> None:
    """The request is over: what it came with, or what stands for it, is no credential any more."""
    connection = handshake("token=q", [("Cookie", "session=c"), (AUTH, "Bearer a")])
    connection.scope[REFRESH] = "newer"

    assert find_credentials(connection, "session") == (Credential("newer", "refresh"),)


def test_finds_nothing_where_there_is_nothing() -> None:
    """No credential is not an empty credential."""
    assert find_credentials(handshake("since=1", [("Cookie", "theme=dark")]), "session") == ()


def test_does_not_show_its_value() -> None:
    """A credential may end up in a log or a traceback: its value does not (requirement 20)."""
    assert "a.b.c" not in repr(Credential("a.b.c", "query"))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param("token=Bearer%20{}", id="bearer-prefix"),
        pytest.param("token=%20{}", id="space-before"),
        pytest.param("token={}%20", id="space-after"),
        pytest.param("token={}+", id="plus-after"),
        pytest.param("token=+{}", id="plus-before"),
        pytest.param("token={}%0A", id="line-break-after"),
        pytest.param("token=%22{}%22", id="quotes"),
        pytest.param("token={}%00", id="nul-after"),
    ],
)
def test_a_spoilt_token_is_refused_not_repaired(
    spoil: str, factory: TokenFactory, verifier: TokenVerifier
) -> None:
    """One token has one spelling (requirement 25); the twin shows that the token was good."""
    token = factory.good()
    (spoilt,) = find_credentials(handshake(spoil.format(token)), "session")
    (whole,) = find_credentials(handshake(f"token={quote(token)}"), "session")

    assert verifier.verify(whole.value).subject == "alice"
    with pytest.raises(InvalidToken) as refused:
        verifier.verify(spoilt.value)
    assert refused.value.check == "form"


def test_so_many_subprotocols_may_be_offered() -> None:
    """With one more it is no browser that asks."""
    offered = [f"{SUBPROTOCOL_PREFIX}{number}" for number in range(MAX_LIST_MEMBERS)]
    most = handshake(subprotocols=offered)

    assert len(from_subprotocol(most, "")) == MAX_LIST_MEMBERS
    with pytest.raises(InvalidCredential, match="too many subprotocols"):
        from_subprotocol(handshake(subprotocols=[*offered, "one-more"]), "")


@pytest.mark.parametrize(("headers", "found"), [([], []), ([("Cookie", "s=1; s=2")], ["1", "2"])])
def test_lists_each_session_cookie(headers: list[tuple[str, str]], found: list[str]) -> None:
    """Where there is none the list is empty."""
    assert from_cookie(handshake(headers=headers), "s") == found
