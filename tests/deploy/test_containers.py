"""The image, Compose and Kubernetes: linted and compared with the settings; run where Docker is."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from itemwire.cli.serving import serve
from itemwire.engines import ENGINES
from itemwire.settings import PREFIX, Settings
from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.deploy.test_examples import DEPLOY, read_yaml
from tests.packaging.building import ROOT
from tests.scenarios.clients import PATIENCE
from tests.scenarios.processes import started
from tests.server_process import free_port

DOCKERFILE: Final = DEPLOY / "Dockerfile"
COMPOSE: Final = DEPLOY / "compose.yaml"
MANIFESTS: Final = DEPLOY / "kubernetes" / "itemwire.yaml"
ENGINE_SECONDS: Final = 40  # that a start may wait for its engine
VARIABLE: Final = re.compile(r"\b(ITEMWIRE_[A-Z_]+)\b")
SETTINGS: Final = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}


def instructions() -> list[tuple[str, str]]:
    """List the instructions of the Dockerfile."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def last_stage() -> dict[str, str]:
    """Give the instructions of what is run."""
    found = instructions()
    start = max(number for number, (name, _) in enumerate(found) if name == "FROM")
    return dict(found[start:])


def healthcheck() -> list[str]:
    """Give the command of the health check."""
    command: list[str] = json.loads(last_stage()["HEALTHCHECK"].partition("CMD ")[2])
    return command


def manifests() -> dict[str, Any]:
    """Give the objects for Kubernetes, by their kind."""
    return {one["kind"]: one for one in yaml.safe_load_all(MANIFESTS.read_text())}


def test_hadolint_has_nothing_against_the_dockerfile() -> None:
    """All of its rules."""
    program = str(Path(sys.executable).with_name("hadolint"))
    done = subprocess.run([program, DOCKERFILE], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


def test_the_server_is_process_1_and_not_root() -> None:
    """A shell in between would not pass on signals; a name of a user cannot be checked."""
    stage = last_stage()
    command = json.loads(stage["ENTRYPOINT"]) + json.loads(stage["CMD"])

    assert command == ["itemwire", serve.name]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", stage["USER"])
    assert f"EXPOSE {Settings(secret=SECRET, _env_file=None).port}" in DOCKERFILE.read_text()


def test_what_is_copied_is_enough_to_build_it(tmp_path: Path) -> None:
    """And is what the builder is sent: all else is ignored."""
    copied = [
        path
        for name, rest in instructions()
        if name == "COPY" and not rest.startswith("--from")
        for path in shlex.split(rest)[:-1]
    ]
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text()
    for path in copied:
        source, target = ROOT / path, tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert set(re.findall(r"^!(.+)$", ignored, re.MULTILINE)) == set(copied)


@pytest.fixture
def unwritable(tmp_path: Path) -> Iterator[LiveServer]:
    """Run a server that cannot write a byte into a file, as on a read-only file system."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0));"
        "from itemwire.cli import main; main()"
    )
    command = [sys.executable, "-B", "-c", code, "serve", "--port", "0"]
    with started(command, tmp_path, log_format="json") as running:
        yield running.server


def test_the_health_check_tells_a_server_that_lives(unwritable: LiveServer) -> None:
    """The command itself is run, with a server that can write no file, and with none."""
    port = str(httpx.URL(unwritable.url).port)
    program = [sys.executable, *healthcheck()[1:]]
    alive = subprocess.run(
        program, env={**os.environ, "ITEMWIRE_PORT": port}, capture_output=True, check=False
    )
    away = subprocess.run(
        program,
        env={**os.environ, "ITEMWIRE_PORT": str(free_port())},
        capture_output=True,
        check=False,
    )

    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0
    assert (alive.returncode, away.returncode) == (0, 1)


@pytest.mark.parametrize(
    "path",
    [path for path in DEPLOY.rglob("*") if path.is_file()],
    ids=lambda path: str(path.relative_to(DEPLOY)),
)
def test_every_variable_is_a_setting(path: Path) -> None:
    """One that is not has no effect."""
    assert set(VARIABLE.findall(path.read_text())) - SETTINGS == set()


def test_compose_describes_a_server_that_starts(tmp_path: Path) -> None:
    """Its variables are good settings, its engine is the service beside it, and it can stop."""
    services = read_yaml(COMPOSE)["services"]
    wire, valkey, caddy = (services[name] for name in ("itemwire", "valkey", "caddy"))
    given = {
        name.removeprefix(PREFIX).lower(): re.sub(r"\$\{\w+:[-?]([^}]*)\}", r"\1", value)
        for name, value in wire["environment"].items()
    }
    settings = Settings.model_validate({**given, "secret": SECRET})
    policy = valkey["command"].index("--maxmemory-policy")

    assert settings.engine_url.partition("://")[2].startswith("valkey:6379")
    assert settings.engine_url.partition("://")[0] in ENGINES
    assert wire["read_only"] is True
    assert int(wire["stop_grace_period"].rstrip("s")) > settings.graceful_timeout
    assert valkey["command"][policy + 1] == "noeviction"
    assert caddy["environment"]["WIRE_UPSTREAM"] == f"itemwire:{settings.port}"
    assert (DEPLOY / caddy["volumes"][0].partition(":")[0]).is_file()
    networks = read_yaml(COMPOSE)["networks"]["wire"]["ipam"]["config"]
    assert [one["subnet"] for one in networks] == list(settings.trusted_proxies)


def test_kubernetes_gives_a_pod_the_time_that_it_needs() -> None:
    """Of its drain, of a start that waits for an engine, and of the proxies before it."""
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    settings = Settings(secret=SECRET, _env_file=None)
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    start = container["startupProbe"]

    assert pod["enableServiceLinks"] is False
    assert pod["terminationGracePeriodSeconds"] >= waits + settings.graceful_timeout + 5
    assert start["failureThreshold"] * start["periodSeconds"] > ENGINE_SECONDS
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert container["ports"][0]["containerPort"] == settings.port
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_kubernetes_never_takes_all_pods_at_once() -> None:
    """Neither at a new release nor when machines are emptied."""
    found = manifests()
    budget, deployment = found["PodDisruptionBudget"]["spec"], found["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]

    assert deployment["replicas"] > budget["maxUnavailable"]
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert budget["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels


def test_its_ingress_keeps_idle_sockets_and_logs_no_token() -> None:
    """As the proxies of `deploy/proxies/` do."""
    notes = manifests()["Ingress"]["metadata"]["annotations"]
    name = "nginx.ingress.kubernetes.io"

    assert int(notes[f"{name}/proxy-read-timeout"]) >= 2 * Settings(secret=SECRET).ping_interval
    assert notes[f"{name}/enable-access-log"] == "false"


def has_docker() -> bool:
    """Tell whether a Docker daemon runs here."""
    if shutil.which("docker") is None:
        return False
    done = subprocess.run(["docker", "version"], capture_output=True, check=False)
    return done.returncode == 0


def test_the_image_is_built_and_serves() -> None:
    """On a read-only file system, and it ends with 0 at SIGTERM."""
    if not has_docker():
        pytest.skip("the test of the image needs a Docker daemon")
    subprocess.run(
        ["docker", "build", "-q", "-f", DOCKERFILE, "-t", "itemwire-test", ROOT], check=True
    )
    port = free_port()
    options = ["--read-only", "--tmpfs=/tmp", "-p", f"127.0.0.1:{port}:8000"]
    run = ["docker", "run", "-d", *options, "-e", f"ITEMWIRE_SECRET={SECRET}", "itemwire-test"]
    name = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=6), timeout=PATIENCE) as client:
            ready = client.get(f"http://127.0.0.1:{port}/health/ready")
        subprocess.run(["docker", "stop", name], check=True, capture_output=True)
        asked = ["docker", "inspect", "-f", "{{.State.ExitCode}}", name]
        status = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    finally:
        subprocess.run(["docker", "rm", "-f", name], check=True, capture_output=True)

    assert ready.status_code == 200
    assert status.strip() == "0"
