"""Alerts and board: each alert fires, and each query names what a real server has."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any, Final

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from itemwire.observability.metrics import METRICS
from itemwire.settings import Settings
from itemwire.testing import live_server
from tests.conftest import SECRET
from tests.deploy.proxies import find_program
from tests.deploy.test_examples import DEPLOY, read_yaml

TOKEN: Final = "a-token-for-the-metrics-of-40-characters"
ALERTS: Final = DEPLOY / "prometheus" / "itemwire-alerts.yaml"
TRIALS: Final = DEPLOY / "prometheus" / "itemwire-alerts.test.yaml"
BOARD: Final = DEPLOY / "grafana" / "itemwire.json"
NAME: Final = re.compile(r"\b(?:itemwire|process|python)_\w+")
SELECTOR: Final = re.compile(r"\b((?:itemwire|process|python)_\w+)\{([^}]*)\}")
LABEL: Final = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
OF_WORKERS: Final = "itemwire_worker_up"  # with several workers alone; docs/metrics.md has it
OF_PROMETHEUS: Final = {"instance", "job"}
LABELS: Final = {row.full_name: set(row.labels) for row in METRICS}


def alerts() -> list[dict[str, Any]]:
    """List the alerts."""
    return [rule for group in read_yaml(ALERTS)["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    """List the queries of alerts and board."""
    panels = json.loads(BOARD.read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    return [*asked, *(rule["expr"] for rule in alerts())]


@pytest.fixture(scope="module")
def served() -> set[str]:
    """Give the names on the page of a real server."""
    with live_server(Settings(secret=SECRET, metrics_token=TOKEN, _env_file=None)) as server:
        page = httpx.get(
            f"{server.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        ).raise_for_status()
        families = list(text_string_to_metric_families(page.text))
    names = {sample.name for family in families for sample in family.samples}
    return names | {f"{row.full_name}" for row in METRICS} | {OF_WORKERS}


def test_every_query_names_what_is_there(served: set[str]) -> None:
    """One of an unknown name shows nothing, and an alert on it never fires."""
    asked = {name for query in queries() for name in NAME.findall(query)}

    assert len(asked) > 20
    assert {name for name in asked if name not in served} == set()


def test_every_query_selects_by_labels_that_are_there() -> None:
    """A wrong label selects nothing."""
    wrong = [
        (name, label)
        for query in queries()
        for name, selector in SELECTOR.findall(query)
        for label in LABEL.findall(selector)
        if name in LABELS and label not in LABELS[name] | OF_PROMETHEUS
    ]

    assert wrong == []


def test_the_board_asks_the_chosen_source_about_the_chosen_nodes() -> None:
    """And no two panels lie on each other."""
    board = json.loads(BOARD.read_text())
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]

    assert {one["name"] for one in board["templating"]["list"]} == {"source", "node"}
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {"${source}"}
    assert len(set(places)) == len(places)
    assert all("$node" in target["expr"] for p in board["panels"] for target in p["targets"])


def test_every_alert_is_tried_both_ways() -> None:
    """`promtool` runs what is there; that nothing is left out is seen here."""
    names = {rule["alert"] for rule in alerts()}
    trials = [trial for test in read_yaml(TRIALS)["tests"] for trial in test["alert_rule_test"]]

    assert {one["alertname"] for one in trials if one["exp_alerts"]} == names
    assert {one["alertname"] for one in trials if not one["exp_alerts"]} == names
    assert {rule["labels"]["severity"] for rule in alerts()} == {"page", "ticket"}


@pytest.mark.parametrize("command", [("check", "rules", ALERTS), ("test", "rules", TRIALS)])
def test_promtool_takes_the_alerts(command: tuple[str, ...]) -> None:
    """By the language of Prometheus itself, each alert fires, and not on a server that is well."""
    done = subprocess.run(
        [find_program("promtool"), *map(str, command)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_scrape_is_read_by_the_same_names() -> None:
    """The alerts and the board ask for the job `itemwire`."""
    config = read_yaml(DEPLOY / "prometheus" / "prometheus.yaml")

    assert config["rule_files"] == [ALERTS.name]
    assert [job["job_name"] for job in config["scrape_configs"]] == ["itemwire"]
