"""The files of `deploy/` against the settings: what is not run is at least read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from itemwire.settings import Settings
from tests.conftest import SECRET

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
PROXIES: Final = DEPLOY / "proxies"
IDLE: Final = re.compile(
    r"^ *(?:proxy_read_timeout|timeout (?:client|server|tunnel)|ProxyTimeout) +(\d+)", re.MULTILINE
)


def read_yaml(path: Path) -> Any:  # noqa: ANN401 - whatever a file holds
    """Read the only document of a file."""
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("name", ["nginx.conf", "haproxy.cfg", "apache.conf"])
def test_idle_time_outs_are_longer_than_the_pings(name: str) -> None:
    """Twice as long, for a ping may be late. The tests of proxies run them with shorter ones."""
    times = [int(one) for one in IDLE.findall((PROXIES / name).read_text())]

    assert times
    assert min(times) >= 2 * Settings(secret=SECRET, _env_file=None).ping_interval


def test_traefik_does_what_the_others_do() -> None:
    """No test runs it: Debian does not have it."""
    static = read_yaml(PROXIES / "traefik.yaml")
    dynamic = read_yaml(PROXIES / "traefik-itemwire.yaml")
    fields = static["accessLog"]["fields"]
    balancer = dynamic["http"]["services"]["itemwire"]["loadBalancer"]
    entry = static["entryPoints"]["websecure"]

    assert fields == {"names": {"RequestPath": "drop"}, "headers": {"defaultMode": "drop"}}
    assert entry["transport"]["respondingTimeouts"]["readTimeout"] == "0s"
    assert balancer["passHostHeader"] is True
    assert balancer["healthCheck"]["path"] == "/health/ready"
    assert balancer["servers"] == [{"url": "http://127.0.0.1:8000"}]
