"""The image and the compose file. No engine runs here: a sandbox carries out the Dockerfile's first stage, and
starts what that installs as the last stage and the compose file say, as nobody, on a root that is read only.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from release import sandbox
from release.conftest import ROOT
from release.recipe import stages

if TYPE_CHECKING:
    from release.conftest import Image

FOLDER = ROOT / "deploy" / "compose"
SERVICE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]["arke"]
INSIDE = Path(__file__).parent / "in_the_container.py"


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / name), *arguments], cwd=ROOT, capture_output=True, text=True
    )


def test_the_linter_finds_nothing() -> None:
    done = tool("hadolint", "--no-color", "--failure-threshold", "style", "Dockerfile")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_linter_would_find_something(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN cd /tmp\n")
    assert "DL3006" in tool("hadolint", "--no-color", str(tmp_path / "Dockerfile")).stdout


def test_the_compose_file_follows_the_specification() -> None:
    file = str(FOLDER / "compose.yaml")
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_what_is_pinned_by_hash_is_installed() -> None:
    building, running = stages(ROOT / "Dockerfile")
    for step, script in [*building.steps, *running.steps]:
        for command in re.findall(r"pip (?:--python \S+ )?install [^&]*", script) if step == "RUN" else ():
            assert "--require-hashes --only-binary :all:" in command or "--no-deps /build/dist/" in command
    for name in ("build", "image"):
        text = (ROOT / f"requirements/{name}.txt").read_text()
        assert re.findall(r"^[a-z].*==", text, re.MULTILINE)
        assert all("--hash=sha256:" in one for one in re.split(r"\n(?=[a-z])", text))


def test_the_lock_has_what_every_extra_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = set(re.findall(r"^([a-z][\w-]*)==", (ROOT / "requirements/image.txt").read_text(), re.MULTILINE))
    for needs in [project["dependencies"], *project["optional-dependencies"].values()]:
        assert {re.split(r"[\[<>=~]", one)[0] for one in needs} <= locked


def test_the_last_stage_has_no_builder_and_no_root() -> None:
    building, running = stages(ROOT / "Dockerfile")
    assert running.base == building.base
    (removes,) = (rest for step, rest in running.steps if step == "RUN")
    assert "pip uninstall -y pip setuptools wheel" in removes
    assert [rest for step, rest in running.steps if step == "COPY"] == [
        f"--from={building.name} /opt/arke /opt/arke"
    ]
    user = int(running.user.partition(":")[0])
    assert f"--uid {user}" in removes
    assert user != 0
    assert "-m 0700 /data" in removes


def test_the_build_sees_only_what_it_copies() -> None:
    building, _ = stages(ROOT / "Dockerfile")
    copied = {name for step, rest in building.steps if step == "COPY" for name in rest.split()[:-1]}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert copied == allowed


def test_a_container_may_do_nothing_but_its_work() -> None:
    _, running = stages(ROOT / "Dockerfile")
    assert SERVICE["read_only"] is True
    assert SERVICE["cap_drop"] == ["ALL"]
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]
    assert SERVICE["user"] == running.user
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & SERVICE.keys()
    assert all(port.startswith("127.0.0.1:") for port in SERVICE["ports"])
    assert {port.rpartition(":")[2] for port in SERVICE["ports"]} == set(running.ports)
    (volume,) = (one for one in SERVICE["volumes"] if one["type"] == "volume")
    assert [volume["target"]] == running.volumes
    assert all(one["read_only"] for one in SERVICE["volumes"] if one["type"] == "bind")


@pytest.fixture(scope="module")
def told(image: Image, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a container of the compose file sees, from its start to its end."""
    folder = tmp_path_factory.mktemp("container")
    for name in ("data", "secrets"):
        (folder / name).mkdir(mode=0o777)
        (folder / name).chmod(0o777)
    (folder / "secrets/acme-key").write_text("sample_partner_private_key\n")
    (folder / "plan.json").write_text(
        json.dumps(
            {
                "starts": [*image.running.entrypoint, *SERVICE["command"]],
                "health": [image.running.health, SERVICE["healthcheck"]["test"][1:]],
            }
        )
    )
    done = sandbox.run(
        ["python", "/plan/in_the_container.py", "/plan/plan.json"],
        binds={"/data": folder / "data"},
        reads={
            "/opt": image.opt,
            "/etc/arke": FOLDER / "etc",
            "/run/secrets": folder / "secrets",
            "/plan/plan.json": folder / "plan.json",
            "/plan/in_the_container.py": INSIDE,
        },
        environ=image.running.environ,
        workdir=image.running.workdir,
        user=int(image.running.user.partition(":")[0]),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_runs_as_nobody_on_a_root_that_is_read_only(told: dict[str, Any]) -> None:
    assert told["user"] == 10001
    assert told["capabilities"] == "0000000000000000"
    assert told["writes"] == {
        "/": "EROFS",
        "/opt/arke": "EROFS",
        "/etc/arke": "EROFS",
        "/data": "",
        "/tmp": "",
    }


def test_both_health_checks_say_so(told: dict[str, Any]) -> None:
    assert told["before"] == [False, False]
    assert told["healthy"] == [True, True]


def test_the_console_is_there_with_all_that_it_shows(told: dict[str, Any]) -> None:
    assert {path.rpartition(".")[2] for path in told["console"]} >= {"css", "svg"}
    assert set(told["console"].values()) == {200}


def test_an_event_is_taken_and_outlives_the_container(told: dict[str, Any]) -> None:
    assert told["applied"] == 0
    assert told["accepted"] == {"accepted": 1, "rejected": []}
    assert told["explained"]["known"] is True
    assert told["ended"] == 0
