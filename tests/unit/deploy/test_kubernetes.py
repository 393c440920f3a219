"""deploy/kubernetes fits Arke: settings that it takes, commands that it has, ports and paths that are there."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from arke.api.table import ENDPOINTS
from arke.cli import app
from arke.cluster.role import ROLES
from arke.intake.http import METHODS
from arke.settings import Settings, load_settings

FOLDER = Path(__file__).parents[3] / "deploy" / "kubernetes"
LISTED = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
OBJECTS: list[dict[str, Any]] = [
    one for name in LISTED["resources"] for one in yaml.safe_load_all((FOLDER / name).read_text())
]
PODS = {
    one["metadata"]["name"]: one["spec"]["template"] for one in OBJECTS if "template" in one.get("spec", {})
}
NODES = {name: pod for name, pod in PODS.items() if name != "arke-cluster-init"}


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in OBJECTS if one["kind"] == kind}


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def settings() -> Settings:
    return load_settings(FOLDER / LISTED["configMapGenerator"][0]["files"][0], {})


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_every_file_is_listed() -> None:
    there = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(LISTED["resources"]) == there


def test_kustomize_puts_together_what_belongs_together() -> None:
    """Every pod has the image that is named there, and reads the settings whose name has their hash."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl here")
    made = subprocess.run(["kubectl", "kustomize", FOLDER], capture_output=True, text=True, check=True)
    found = list(yaml.safe_load_all(made.stdout))
    assert len(found) == len(OBJECTS) + 1
    (settings_map,) = (one["metadata"]["name"] for one in found if one["kind"] == "ConfigMap")
    pods = [one["spec"]["template"]["spec"] for one in found if "template" in one.get("spec", {})]
    (image,) = LISTED["images"]
    for pod in pods:
        assert pod["containers"][0]["image"] == f"{image['newName']}:{image['newTag']}"
        assert pod["volumes"][0]["configMap"]["name"] == settings_map


def test_the_settings_are_those_of_a_cluster_that_others_reach() -> None:
    found = settings()
    assert (found.cluster.log, found.cluster.shards) == ("kafka", 256)
    assert found.cluster.secret, "peers listen beyond the machine"


@pytest.mark.parametrize("name", PODS)
def test_a_pod_runs_a_command_that_exists(name: str) -> None:
    arguments = container(PODS[name])["args"]
    words = arguments[: next(i for i, word in enumerate(arguments) if word.startswith("--"))]
    told = CliRunner().invoke(app, [*words, "--help"])
    assert told.exit_code == 0
    assert all(word in told.stdout for word in arguments if word.startswith("--"))
    if words == ["up"]:
        assert arguments[arguments.index("--role") + 1] in ROLES


@pytest.mark.parametrize("name", NODES)
def test_ports_are_those_of_the_settings(name: str) -> None:
    found = settings()
    listens = {
        "intake": port(found.server.intake),
        "admin": port(found.server.admin),
        "peers": port(found.cluster.peers),
    }
    ports = {one["name"]: one["containerPort"] for one in container(NODES[name])["ports"]}
    assert ports.items() <= listens.items()
    advertised = {one["name"]: one.get("value") for one in container(NODES[name])["env"]}
    assert advertised["ARKE_CLUSTER_ADVERTISE"] == f"$(POD_IP):{listens['peers']}"


@pytest.mark.parametrize("name", NODES)
def test_probes_ask_what_is_there(name: str) -> None:
    only = container(NODES[name])
    paths = {
        "intake": {path for path, methods in METHODS.items() if "GET" in methods},
        "admin": {one.path for one in ENDPOINTS if one.method == "GET" and one.scope is None},
    }
    ports = {one["name"] for one in only["ports"]}
    for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
        asks = only[probe]["httpGet"]
        assert asks["port"] in ports
        assert asks["path"] in paths[asks["port"]]


@pytest.mark.parametrize("name", PODS)
def test_a_pod_may_do_nothing_but_its_work(name: str) -> None:
    pod, only = PODS[name]["spec"], container(PODS[name])
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert only["resources"]["limits"].keys() == {"memory"}, "a limit of CPU stops what holds leases"
    assert only["resources"]["requests"].keys() == {"cpu", "memory"}


@pytest.mark.parametrize("name", PODS)
def test_what_is_written_and_read_is_mounted(name: str) -> None:
    pod, only = PODS[name]["spec"], container(PODS[name])
    volumes = {one["name"] for one in pod["volumes"]}
    mounts = {one["mountPath"]: one for one in only["volumeMounts"]}
    assert {one["name"] for one in mounts.values()} == volumes
    arguments = only["args"]
    config = Path(arguments[arguments.index("--config") + 1])
    assert str(config.parent) in mounts
    assert config.name in LISTED["configMapGenerator"][0]["files"]
    if "--data" in arguments:  # made by Arke itself in the volume, whose mode it may not choose
        data = Path(arguments[arguments.index("--data") + 1])
        assert str(data.parent) in mounts
        assert not mounts[str(data.parent)].get("readOnly")


def test_secrets_are_files_of_one_secret() -> None:
    document = tomllib.loads((FOLDER / "arke.toml").read_text())
    files = [text for text in strings(document) if text.startswith("file:")]
    assert len(files) == 3
    assert not [text for text in strings(document) if text.startswith("env:")]
    guide = (FOLDER.parents[1] / "docs" / "how-to" / "cluster.md").read_text()
    for name in (text.rpartition("/")[2] for text in files):
        assert f"--from-file={name}" in guide, "the guide makes the secret with every file"


def strings(value: Any) -> list[str]:
    """All texts in a document."""
    if isinstance(value, dict):
        return [text for one in value.values() for text in strings(one)]
    if isinstance(value, list):
        return [text for one in value for text in strings(one)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("kind", ["Deployment", "PodDisruptionBudget", "Service"])
def test_selectors_find_pods(kind: str) -> None:
    for one in of_kind(kind).values():
        selector = one["spec"]["selector"]
        wanted = selector.get("matchLabels", selector)
        assert [pod for pod in PODS.values() if wanted.items() <= pod["metadata"]["labels"].items()]


def test_policies_select_pods_and_name_ports_that_are_there() -> None:
    for one in of_kind("NetworkPolicy").values():
        wanted = one["spec"]["podSelector"].get("matchLabels", {})
        pods = [pod for pod in PODS.values() if wanted.items() <= pod["metadata"]["labels"].items()]
        assert pods
        ports = {found["name"] for pod in pods for found in container(pod).get("ports", ())}
        named = [allowed["port"] for rule in one["spec"].get("ingress", ()) for allowed in rule["ports"]]
        assert set(named) <= ports


def test_who_is_scaled_and_who_is_left_in_peace() -> None:
    assert set(of_kind("PodDisruptionBudget")) == set(NODES)
    (scaled,) = of_kind("HorizontalPodAutoscaler").values()
    assert scaled["spec"]["scaleTargetRef"]["name"] == "arke-intake"
    replicas = {name: one["spec"]["replicas"] for name, one in of_kind("Deployment").items()}
    assert min(replicas.values()) >= 2, "one of each may go"
