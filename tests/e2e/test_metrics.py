"""What Prometheus gets of a running engine, and what asks it for figures: the rules and the dashboard."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from e2e.catalogs import catalog, destination, visit
from e2e.engine_process import EngineProcess, request
from e2e.receiver_thread import ReceiverThread
from patience import wait_until
from servers.prometheus import promtool

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "arke.rules.yaml"
DASHBOARD = DEPLOY / "grafana" / "arke.json"
OF_A_CLUSTER = ("arke_node_", "arke_log_", "arke_cluster_")
"""Those that only nodes of a cluster have: tests/unit/docs/test_metrics_page.py renders them."""
ACME = 423


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The metrics of an engine that has taken an event and told it, and has refused a token."""
    with ReceiverThread() as receiver, EngineProcess(tmp_path_factory.mktemp("engine")) as engine:
        engine.apply(catalog([destination(ACME, receiver.url, receiver.ca_file)]))
        engine.accept(visit(1, "camera"))
        wait_until(lambda: receiver.segments_of("p1"), "the message")
        wait_until(engine.delivered, "its acknowledgement")
        assert request(engine.admin, "GET", "/v1/batches/7?destination=1").status == 401
        assert request(engine.admin, "GET", "/nowhere/12345:secret").status == 404
        assert request(engine.admin, "DELETE", "/v1/onboard/secret").status == 405
        assert request(engine.intake, "GET", "/event?d_uuid=nobody").status == 200
        yield metrics_of(engine)


def metrics_of(engine: EngineProcess) -> str:
    done = engine.arke("token", "create", "--scope", "metrics", "--json")
    token = json.loads(done.stdout)["secret"]
    reply = request(engine.admin, "GET", "/metrics", b"", {"Authorization": f"Bearer {token}"})
    assert reply.status == 200
    return reply.body.decode()


def sample(scraped: str, name: str, **labels: str) -> float:
    (found,) = [
        one.value
        for family in text_string_to_metric_families(scraped)
        for one in family.samples
        if one.name == name and labels.items() <= one.labels.items()
    ]
    return found


def test_promtool_has_nothing_to_say(scraped: str) -> None:
    """Names, units, help and types are as Prometheus wants them."""
    done = promtool("check", "metrics", given=scraped)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_durations_are_counted_by_route_and_status(scraped: str) -> None:
    name = "arke_http_request_duration_seconds"
    assert sample(scraped, f"{name}_count", door="intake", route="/v1/events", status="2xx") == 1
    assert sample(scraped, f"{name}_count", door="intake", route="/event", status="2xx") == 1
    assert sample(scraped, f"{name}_count", door="admin", route="/v1/batches/{number}", status="4xx") == 1
    assert sample(scraped, f"{name}_count", door="admin", route="/v1/onboard/{id}", status="4xx") == 1
    assert sample(scraped, f"{name}_count", door="admin", route="other", status="4xx") == 1
    assert sample(scraped, f"{name}_sum", door="intake", route="/v1/events", status="2xx") > 0
    assert sample(scraped, f"{name}_bucket", door="intake", route="/event", status="2xx", le="+Inf") == 1
    assert "secret" not in scraped, "no path that anybody made up"


def test_every_latency_and_commit_is_counted_once(scraped: str) -> None:
    assert sample(scraped, "arke_delivery_latency_seconds_count", destination=str(ACME)) == 1
    assert sample(scraped, "arke_delivery_latency_seconds_bucket", destination=str(ACME), le="0.001") == 0
    assert sample(scraped, "arke_group_commit_duration_seconds_count") >= 1


def names_in(text: str) -> set[str]:
    """The metrics that an expression asks for."""
    plain = re.sub(r"\{[^}]*\}|\bby *\([^)]*\)|\bon *\([^)]*\)", " ", text)
    return set(re.findall(r"\b(?:arke|process)_[a-z_]+", plain))


def of_rules() -> set[str]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {name for group in groups for rule in group["rules"] for name in names_in(rule["expr"])}


def of_dashboard() -> set[str]:
    found: set[str] = set()

    def look(part: Any) -> None:
        if isinstance(part, dict):
            for key, value in part.items():
                if key in ("expr", "query") and isinstance(value, str):
                    found.update(names_in(value))
                look(value)
        elif isinstance(part, list):
            for one in part:
                look(one)

    look(json.loads(DASHBOARD.read_text()))
    return found


@pytest.mark.parametrize("asked", [of_rules, of_dashboard])
def test_what_is_asked_for_is_there(asked: Any, scraped: str) -> None:
    names = asked()
    assert len(names) > 15
    there = set()
    for family in text_string_to_metric_families(scraped):
        there |= {
            "counter": {f"{family.name}_total"},
            "histogram": {f"{family.name}_{part}" for part in ("bucket", "sum", "count")},
            "info": {f"{family.name}_info"},
        }.get(family.type, {family.name})
    assert {name for name in names - there if not name.startswith(OF_A_CLUSTER)} == set()
    assert len({name for name in names if name.startswith(OF_A_CLUSTER)}) > 3
