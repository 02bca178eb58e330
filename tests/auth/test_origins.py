"""Tests of origins.py: which pages may make a browser send its cookie."""

from __future__ import annotations

import pytest

from itemwire_auth.origins import SELF, OriginPolicy, normal_origin

APP = "https://app.example.com"


def allows(allowed: list[str], *origins: str) -> bool:
    """Ask a policy about the Origin headers of a request to some other host."""
    return OriginPolicy(allowed).allows(origins, scheme="wss", host="itemwire.example.com")


@pytest.mark.parametrize(
    ("allowed", "origin"),
    [
        pytest.param(APP, APP, id="same"),
        pytest.param(APP, "https://app.example.com:443", id="default-port-sent"),
        pytest.param("https://app.example.com:443", APP, id="default-port-configured"),
        pytest.param("http://localhost:3000", "http://localhost:3000", id="port"),
        pytest.param("http://localhost:65535", "http://localhost:65535", id="highest-port"),
        pytest.param("HTTPS://App.Example.Com", APP, id="configured-in-capitals"),
        pytest.param("https://bücher.example", "https://xn--bcher-kva.example", id="idn"),
        pytest.param("https://BÜCHER.example", "https://xn--bcher-kva.example", id="idn-capitals"),
        pytest.param(
            "https://xn--bcher-kva.example", "https://xn--bcher-kva.example", id="idn-ascii"
        ),
        pytest.param("http://[::1]:8000", "http://[::1]:8000", id="ipv6"),
        pytest.param("http://[0:0::1]:8000", "http://[::1]:8000", id="ipv6-long"),
        pytest.param("null", "null", id="null-listed"),
        pytest.param("chrome-extension://abcdef", "chrome-extension://abcdef", id="extension"),
        pytest.param("https://*.example.com", APP, id="wildcard"),
        pytest.param("https://*.example.com", "https://a.b.example.com", id="wildcard-two-labels"),
        pytest.param(
            "https://*.example.com:8443", "https://a.example.com:8443", id="wildcard-port"
        ),
        pytest.param(
            "https://*.bücher.example", "https://a.xn--bcher-kva.example", id="wildcard-idn"
        ),
    ],
)
def test_allows_a_listed_origin(allowed: str, origin: str) -> None:
    """The accepted twins: one origin, however it is written in the settings."""
    assert allows([allowed], origin)
    assert allows(["https://other.test", allowed], origin)
    assert not allows(["https://other.test"], origin)


@pytest.mark.parametrize(
    ("allowed", "origin"),
    [
        pytest.param(APP, "http://app.example.com", id="scheme"),
        pytest.param(APP, "https://app.example.com:8443", id="port"),
        pytest.param(APP, "https://app.example.com.evil.test", id="prefix"),
        pytest.param(APP, "https://evil-app.example.com", id="suffix"),
        pytest.param(APP, "https://example.com", id="parent"),
        pytest.param(APP, "https://a.app.example.com", id="child"),
        pytest.param(APP, "https://app.example.com.", id="trailing-dot"),
        pytest.param(APP, "https://appXexample.com", id="dot-is-no-regex"),
        pytest.param(APP, "https://app.example.com/", id="path"),
        pytest.param(APP, "https://app.example.com#", id="fragment"),
        pytest.param(APP, "https://user@app.example.com", id="user"),
        pytest.param(APP, "https://evil.test\\@app.example.com", id="backslash"),
        pytest.param(APP, "app.example.com", id="no-scheme"),
        pytest.param(APP, "//app.example.com", id="empty-scheme"),
        pytest.param(APP, f" {APP}", id="space-before"),
        pytest.param(APP, f"{APP}\n", id="line-break-after"),
        pytest.param(APP, "https://app.example.com:", id="empty-port"),
        pytest.param(APP, "https://app.example.com:65536", id="port-out-of-range"),
        pytest.param(APP, "https://app.example.com:443:443", id="two-ports"),
        pytest.param(APP, "", id="empty"),
        pytest.param(APP, "null", id="null"),
        pytest.param(APP, "NULL", id="null-capitals"),
        pytest.param("null", "NULL", id="null-other-case"),
        pytest.param(APP, f"{APP}, https://evil.test", id="joined-by-comma"),
        pytest.param(APP, f"{APP} https://evil.test", id="joined-by-space"),
        pytest.param("https://bücher.example", "https://bucher.example", id="idn-look-alike"),
        pytest.param("https://bücher.example", "https://bücher.example", id="idn-not-ascii"),
        pytest.param("https://*.example.com", "https://example.com", id="wildcard-itself"),
        pytest.param("https://*.example.com", "https://.example.com", id="wildcard-empty-label"),
        pytest.param("https://*.example.com", "https://a..example.com", id="wildcard-empty-middle"),
        pytest.param(
            "https://*.example.com", "https://evilexample.com", id="wildcard-part-of-label"
        ),
        pytest.param(
            "https://*.example.com", "https://a.example.com.evil.test", id="wildcard-prefix"
        ),
        pytest.param("https://*.example.com", "http://a.example.com", id="wildcard-scheme"),
        pytest.param("https://*.example.com", "https://a.example.com:8443", id="wildcard-port"),
        pytest.param("https://*.example.com", "https://*.example.com", id="wildcard-sent"),
        pytest.param("http://[::1]:8000", "http://[::2]:8000", id="ipv6"),
        pytest.param("http://[::1]:8000", "http://[::zz]:8000", id="ipv6-garbage"),
    ],
)
def test_refuses_an_origin_that_is_not_listed(allowed: str, origin: str) -> None:
    """No prefix, suffix or substring: scheme, host and port (requirements 14, 15)."""
    assert not allows([allowed], origin)


def test_refuses_repeated_origins() -> None:
    """No browser sends two; which one counts would be a guess (requirement 15)."""
    assert allows([APP], APP)
    assert not allows([APP], APP, APP)


@pytest.mark.parametrize("origin", [APP, "null", "", "http://localhost"])
def test_an_empty_list_refuses_every_page(origin: str) -> None:
    """Empty means none, never all; a client without Origin is no browser."""
    assert not allows([], origin)
    assert allows([])


@pytest.mark.parametrize(
    ("scheme", "host", "origin", "allowed"),
    [
        pytest.param("ws", "localhost:8000", "http://localhost:8000", True, id="same"),
        pytest.param("http", "localhost:8000", "http://localhost:8000", True, id="same-over-http"),
        pytest.param("wss", "chat.example.com", "https://chat.example.com", True, id="tls"),
        pytest.param("https", "chat.example.com", "https://chat.example.com", True, id="https"),
        pytest.param("ws", "localhost:80", "http://localhost", True, id="default-port"),
        pytest.param("ws", "LOCALHOST:8000", "http://localhost:8000", True, id="capitals"),
        pytest.param("ws", "[::1]:8000", "http://[::1]:8000", True, id="ipv6"),
        pytest.param("wss", "localhost:8000", "http://localhost:8000", False, id="other-scheme"),
        pytest.param("ws", "localhost:8000", "http://localhost:3000", False, id="other-port"),
        pytest.param("ws", "localhost:8000", "http://127.0.0.1:8000", False, id="other-name"),
        pytest.param("ws", "evil.test:8000", "http://evil.test:8000", False, id="rebound-name"),
        pytest.param("ws", "localhost.:8000", "http://localhost.:8000", False, id="trailing-dot"),
        pytest.param("ws", "", "http://localhost:8000", False, id="no-host"),
        pytest.param("ws", "a@localhost", "http://localhost", False, id="host-with-user"),
        pytest.param("ws", "*.localhost", "http://localhost", False, id="host-with-star"),
        pytest.param("", "localhost:8000", "http://localhost:8000", False, id="no-scheme"),
    ],
)
def test_self_is_this_server_under_a_known_name(
    scheme: str, host: str, origin: str, allowed: bool
) -> None:
    """A page that rebinds its name to this address has that name in Host too (requirement 16)."""
    policy = OriginPolicy([SELF], ["localhost", "127.0.0.1", "[::1]", "chat.example.com"])

    assert policy.allows([origin], scheme=scheme, host=host) is allowed
    assert not OriginPolicy([], ["localhost"]).allows([origin], scheme=scheme, host=host)


@pytest.mark.parametrize(
    "entry",
    [
        "*",
        "https://*",
        "https://a.*.example.com",
        "https://*example.com",
        "https://*.*.example.com",
        "*.example.com",
        "app.example.com",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://user@app.example.com",
        "https://app.example.com:port",
        "https://app.example.com:99999",
        "https://",
        "wss://app.example.com",
        "https://a b.example.com",
        "https://\u2764\u200d\u2764.example",
        "http://[::zz]",
        "Self",
        "",
    ],
)
def test_refuses_to_start_with_a_bad_entry(entry: str) -> None:
    """A typing error must not open the server, nor close it in silence."""
    with pytest.raises(ValueError, match=r"allowed origin .* is not one: write"):
        OriginPolicy([entry])


@pytest.mark.parametrize("entry", ["*", "localhost:8000", "http://localhost", "::1", "", "a b"])
def test_refuses_to_start_with_a_bad_host(entry: str) -> None:
    """A host is a name without scheme and port: anything else would never match."""
    with pytest.raises(ValueError, match=r"allowed host .* is not one: write"):
        OriginPolicy([SELF], [entry])


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        pytest.param("https://app.example.com", "https://app.example.com", id="normal"),
        pytest.param("HTTPS://App.Example.com", "https://app.example.com", id="capitals"),
        pytest.param("https://app.example.com:443", "https://app.example.com", id="own-port"),
        pytest.param("http://[::0001]:8000", "http://[::1]:8000", id="ipv6"),
        pytest.param("http://localhost:80", "http://localhost", id="http"),
        pytest.param("https://app.example.com/", None, id="path"),
        pytest.param("https://*.example.com", None, id="wildcard"),
        pytest.param("https://bücher.example", None, id="not-as-browsers-send-it"),
        pytest.param("ws://app.example.com", None, id="no-page"),
        pytest.param("chrome-extension://abc", None, id="extension"),
        pytest.param("null", None, id="null"),
        pytest.param("", None, id="empty"),
    ],
)
def test_writes_an_origin_in_one_way(text: str, normal: str | None) -> None:
    """Two spellings of one origin compare equal, and a text that is no origin equals nothing."""
    assert normal_origin(text) == normal
