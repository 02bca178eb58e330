"""What the doctor says of settings, files and descriptors."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from itemwire.ops.doctor.findings import Level
from itemwire.ops.doctor.machine_checks import check_descriptors, check_files, check_settings
from itemwire.ops.doctor.visit import Visit
from itemwire.settings import Settings
from itemwire.startup_checks import CHECKS
from tests.conftest import SECRET
from tests.ops.doctor.findings import found, remedies, said


def settings(**given: object) -> Settings:
    """Make settings of these values, and a secret."""
    return Settings.model_validate({"secret": SECRET, **given})


def test_ordinary_settings_are_good() -> None:
    """What a newcomer has."""
    report = found(check_settings, Visit(settings()))

    assert {one.level for one in report} == {Level.OK}


@pytest.mark.parametrize(
    ("given", "check", "level"),
    [
        ({"allowed_origins": ["*"]}, "any_origin", Level.FAULT),
        ({"allowed_origins": ["null"]}, "null_origin", Level.WARNING),
        ({"trusted_proxies": ["*"]}, "any_proxy", Level.WARNING),
        ({"jwks_allow_http": True}, "keys_in_the_clear", Level.WARNING),
        ({"stop_after_refusals": 0}, "strangers", Level.WARNING),
    ],
)
def test_what_a_start_says_is_said_here(given: dict[str, object], check: str, level: Level) -> None:
    """In the same words: they are of one table."""
    report = found(check_settings, Visit(settings(**given)))

    assert remedies(report, level) == {CHECKS[check].remedy}
    assert CHECKS[check].fault in said(report)


def test_a_variable_that_is_no_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no effect, whatever its author thinks."""
    monkeypatch.setenv("ITEMWIRE_MAX_CONECTIONS", "5")

    assert "did you mean ITEMWIRE_MAX_CONNECTIONS" in said(found(check_settings, Visit(settings())))


def test_a_channels_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    """The server would not start with it; with a good one, it does."""
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('["order:{number}"]\nhistory = 5\n')
    bad.write_text('["order:{number}"]\nhistroy = 5\n')

    assert remedies(found(check_settings, Visit(settings(channels_file=good)))) == set()
    assert "histroy" in said(found(check_settings, Visit(settings(channels_file=bad))))


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """Have room for a few hundred sockets."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (700, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("most", "level"), [(None, Level.WARNING), (100, Level.WARNING), (5000, Level.FAULT)]
)
def test_a_low_limit_of_files_is_told(
    most: int | None, level: Level, few_descriptors: None
) -> None:
    """It is a fault where the settings promise more."""
    report = found(check_descriptors, Visit(settings(max_connections=most)))

    assert report[0].level == level
    assert "LimitNOFILE" in report[0].remedy


JWK = {"kty": "oct", "k": "c2VjcmV0"}
PUBLIC = {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}


@pytest.mark.parametrize(
    ("key", "mode", "remedy"),
    [
        (JWK, 0o600, None),
        (JWK, 0o640, None),
        (JWK, 0o644, "chmod o-r"),
        (JWK, 0o642, "chmod o-w"),
        (PUBLIC, 0o644, None),
        (PUBLIC, 0o646, "chmod o-w"),
    ],
)
def test_who_may_read_or_write_a_file_of_keys(
    key: dict[str, str], mode: int, remedy: str | None, tmp_path: Path
) -> None:
    """Public keys may be read by all; who writes them decides who comes in."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [key]}))
    path.chmod(mode)
    report = found(check_files, Visit(settings(secret=None, keys_file=path)))

    assert [one.remedy.rpartition(" ")[0] for one in report if one.remedy] == [remedy] * bool(
        remedy
    )


@pytest.mark.parametrize(("mode", "count"), [(0o600, 0), (0o644, 1)])
def test_who_may_read_an_env_file_with_a_secret(mode: int, count: int, tmp_path: Path) -> None:
    """One without a secret may be read by all."""
    path = Path(".env")
    path.write_text("ITEMWIRE_SECRET=" + SECRET.replace(" ", "-"))
    path.chmod(mode)
    with_secret = found(check_files, Visit(Settings()))
    path.write_text("ITEMWIRE_PORT=8000\n")
    without = found(check_files, Visit(settings()))

    assert len(remedies(with_secret)) == count
    assert remedies(without) == set()


def test_a_key_file_of_the_engine_is_a_secret(tmp_path: Path) -> None:
    """As its password is."""
    path = tmp_path / "node.nk"
    path.write_text("seed")
    path.chmod(0o644)
    report = found(check_files, Visit(settings(engine_url=f"nats://host?nkey={path}")))

    assert remedies(report) == {f"chmod o-r {path}"}
