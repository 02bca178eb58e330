"""What the doctor says behind each proxy: nothing as `deploy/` has it, and each fault of others."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from itemwire.ops.doctor import proxy_checks
from itemwire.ops.doctor.findings import Level
from itemwire.ops.doctor.proxy_advice import (
    ADDRESS,
    CERTIFICATES,
    EVENTS_HELD,
    FORGED,
    HEAD,
    HOST,
    IDLE,
    OWN_HOST,
    SCHEME,
    TOKEN,
    UNREACHED,
    UPGRADE,
)
from itemwire.ops.doctor.proxy_checks import check_proxy
from itemwire.ops.doctor.visit import Visit
from itemwire.settings import Settings
from tests.conftest import SECRET
from tests.deploy.proxies import KINDS, Change, ProxyProcess, running_proxy
from tests.ops.doctor.findings import found, remedies, said
from tests.scenarios.clients import token
from tests.scenarios.processes import started
from tests.server_process import free_port

SERVE: Final = (sys.executable, "-c", "from itemwire.cli import main; main()", "serve", "--port=0")

CADDY_WRONG: Final = """header_up Host internal
		header_up -X-Forwarded-Proto
		header_up -X-Forwarded-For
		transport http {
			read_timeout 2s
		}
		lb_policy least_conn"""

WRONG: Final[dict[str, tuple[tuple[Change, ...], set[str]]]] = {
    "nginx": (
        (
            ("Host $http_host", "Host internal"),
            ("        proxy_set_header X-Forwarded-Proto $scheme;\n", ""),
            ("        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n", ""),
            ("large_client_header_buffers 4 16k", "large_client_header_buffers 4 4k"),
            ("proxy_read_timeout 60s", "proxy_ignore_headers X-Accel-Buffering"),
            ("proxy_http_version 1.1;", "proxy_http_version 1.1;\n proxy_read_timeout 2s;"),
        ),
        {HOST, SCHEME, ADDRESS, FORGED, HEAD, EVENTS_HELD, IDLE},
    ),
    "haproxy": (
        (
            ("    option forwardfor\n", "    http-request set-header Host internal\n"),
            ("    http-request set-header X-Forwarded-Proto https\n", ""),
            ("defaults itemwire\n", "global\n    tune.bufsize 8192\n\ndefaults itemwire\n"),
            ("balance leastconn", "http-response wait-for-body time 30s\n    balance leastconn"),
            ("timeout tunnel 60s", "timeout tunnel 2s"),
        ),
        {HOST, SCHEME, ADDRESS, FORGED, HEAD, EVENTS_HELD, IDLE},
    ),
    "caddy": (
        (
            ("lb_policy least_conn", CADDY_WRONG),
            ("\tlog default {", "\tservers {\n\t\tmax_header_size 1KB\n\t}\n\tlog default {"),
        ),
        {HOST, SCHEME, ADDRESS, FORGED, HEAD, IDLE},
    ),
    "caddy that holds back": (
        (("lb_policy least_conn", "buffer_responses\n\t\tlb_policy least_conn"),),
        {EVENTS_HELD, UPGRADE},
    ),
    "apache": (  # which holds back no events, and cuts no sockets
        (
            ("ProxyPreserveHost On", "ProxyPreserveHost Off"),
            ("    RequestHeader set X-Forwarded-Proto https\n", "    ProxyAddHeaders Off\n"),
            ("    LimitRequestLine 16384\n    LimitRequestFieldSize 16384\n", ""),
        ),
        {HOST, SCHEME, ADDRESS, FORGED, HEAD},
    ),
    "nginx that believes": (
        (("$proxy_add_x_forwarded_for", "$http_x_forwarded_for"),),
        {ADDRESS, FORGED},
    ),
}
"""By the proxy: what is changed in its example, and what the doctor has to say then."""

NO_UPGRADE: Final[dict[str, Change]] = {
    "nginx": ("        proxy_set_header Upgrade $http_upgrade;\n", ""),
    "haproxy": ("option forwardfor", "option forwardfor\n    http-request del-header Upgrade"),
    "caddy": ("\treverse_proxy", "\trequest_header -Upgrade\n\treverse_proxy"),
    "apache": (" upgrade=websocket", ""),
}

each = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run a server, and give its port."""
    with started(SERVE, tmp_path_factory.mktemp("server")) as running:
        yield httpx.URL(running.server.url).port or 0


def visit_of(
    proxy: ProxyProcess, monkeypatch: pytest.MonkeyPatch, idle: float = 0, by: str | None = None
) -> Visit:
    """Visit the server behind a proxy, whose certificate this process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(proxy.certificate))
    settings = Settings(secret=SECRET, _env_file=None)
    own = token(scope=f"items:{proxy_checks.ITEM}:subscribe") if by is None else by
    return Visit(settings, proxy.url, own or None, idle, source="127.0.0.2")


@each
def test_has_nothing_against_an_example(
    kind: str, upstream: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thing that is tried is told, so that none is left out unnoticed."""
    with running_proxy(kind, tmp_path, upstream) as proxy:
        report = found(check_proxy, visit_of(proxy, monkeypatch, idle=0.3))

    assert {one.level for one in report} == {Level.OK}, said(report)
    assert len(report) == 7


@pytest.mark.parametrize("case", WRONG)
def test_tells_each_fault_of_a_proxy(
    case: str, upstream: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do about it."""
    changes, expected = WRONG[case]
    if EVENTS_HELD in expected:  # else a busy machine may take its time
        monkeypatch.setattr(proxy_checks, "EVENT_SECONDS", 0.8)
    if UPGRADE in expected:
        monkeypatch.setattr(proxy_checks, "STEP_SECONDS", 4.0)
    idle = 5 if IDLE in expected else 0
    with running_proxy(case.partition(" ")[0], tmp_path, upstream, changes) as proxy:
        report = found(check_proxy, visit_of(proxy, monkeypatch, idle))

    assert remedies(report) == expected, said(report)


@each
def test_tells_that_no_socket_passes(
    kind: str, upstream: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And finds nothing else wrong then."""
    with running_proxy(kind, tmp_path, upstream, [NO_UPGRADE[kind]]) as proxy:
        report = found(check_proxy, visit_of(proxy, monkeypatch))

    assert remedies(report) == {UPGRADE}, said(report)


@pytest.mark.parametrize("origins", ["self", "https://app.example.com"])
def test_tells_where_the_servers_own_pages_are_foreign(
    origins: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its public name is left out, as may be meant where no page of its own has a cookie."""
    with started(
        SERVE, tmp_path, allowed_hosts="wire.example.com", allowed_origins=origins
    ) as running:
        port = httpx.URL(running.server.url).port or 0
        with running_proxy("haproxy", tmp_path / "proxy", port) as proxy:
            visit = visit_of(proxy, monkeypatch)
            own = Settings(secret=SECRET, allowed_origins=(origins,), _env_file=None)
            report = found(check_proxy, dataclasses.replace(visit, settings=own))

    assert remedies(report) == ({OWN_HOST} if origins == "self" else set()), said(report)


def test_certificates_that_cannot_be_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the variable that names them."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    settings = Settings(secret=SECRET, _env_file=None)
    report = found(check_proxy, Visit(settings, "https://127.0.0.1:1"))

    assert remedies(report) == {CERTIFICATES}, said(report)


def test_without_a_token_says_what_it_could_not_try(
    upstream: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of that is a fault of the proxy."""
    with running_proxy("haproxy", tmp_path, upstream) as proxy:
        report = found(check_proxy, visit_of(proxy, monkeypatch, by=""))

    assert remedies(report) == set(), said(report)
    assert remedies(report, Level.WARNING) == {TOKEN}


def test_a_url_that_leads_nowhere_is_one_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more can be tried."""
    settings = Settings(secret=SECRET, _env_file=None)
    report = found(check_proxy, Visit(settings, f"http://127.0.0.1:{free_port()}"))

    assert remedies(report) == {UNREACHED}
    assert remedies(report, Level.WARNING) != set()  # it is not encrypted


def test_a_certificate_that_nobody_trusts_is_a_fault(
    upstream: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every client would find."""
    with running_proxy("haproxy", tmp_path, upstream) as proxy:
        report = found(check_proxy, Visit(Settings(secret=SECRET, _env_file=None), proxy.url))

    assert remedies(report) == {UNREACHED}
    assert "CERTIFICATE" in said(report)
