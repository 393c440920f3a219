"""docs/reference/settings.md knows every setting with variable, default and values, and every named bound."""

from __future__ import annotations

import importlib
from typing import Any

import msgspec
import pytest

from arke.intake.settings import IntakeSettings
from arke.settings import Section, Settings, load_settings
from unit.docs.pages import code, page, rows

PAGE = page("settings.md")
ROWS = {code(cells[0]): cells for cells in rows(PAGE)}


def leaves() -> dict[str, tuple[str, Any, msgspec.inspect.Type]]:
    """Every setting by its dotted name: environment name, default, type."""
    found: dict[str, tuple[str, Any, msgspec.inspect.Type]] = {}

    def walk(section: Section, prefix: str) -> None:
        info = msgspec.inspect.type_info(type(section))
        assert isinstance(info, msgspec.inspect.StructType)
        for field in info.fields:
            value, name = getattr(section, field.name), prefix + field.name
            if isinstance(value, Section):
                walk(value, f"{name}.")
            else:
                found[name] = ("ARKE_" + name.upper().replace(".", "_"), value, field.type)

    walk(Settings(), "")
    return found


LEAVES = leaves()
OF_A_STORE = {"cluster.servers", "cluster.password_file", "cluster.password_command"}
"""Nothing by themselves."""


def as_toml(value: Any) -> str:
    """A default as the page writes it."""
    if value is None:
        return "none"
    if isinstance(value, dict):
        assert not value
        return "{}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def bounds(kind: msgspec.inspect.Type) -> str | None:
    """The values of a number as the page writes them."""
    if isinstance(kind, msgspec.inspect.UnionType):
        return next((told for part in kind.types if (told := bounds(part)) is not None), None)
    if not isinstance(kind, msgspec.inspect.IntType) or kind.ge is None:
        return None
    return f"from {kind.ge}" if kind.le is None else f"{kind.ge} to {kind.le}"


def test_the_page_lists_the_settings_that_exist() -> None:
    listed = {name for name, cells in ROWS.items() if cells[1].startswith("`ARKE_")}
    assert listed == set(LEAVES)


@pytest.mark.parametrize("name", LEAVES)
def test_a_setting_has_its_variable_default_and_bounds(name: str) -> None:
    variable, default, kind = LEAVES[name]
    told = ROWS[name]
    assert code(told[1]) == variable
    assert code(told[2]) == as_toml(default)
    if (wanted := bounds(kind)) is not None:
        assert told[3] == wanted


@pytest.mark.parametrize("name", LEAVES)
def test_the_variable_reaches_the_setting(name: str) -> None:
    variable, default, _ = LEAVES[name]
    other = {
        "auth.intake": "open",
        "egress.allow_cidrs": "10.0.0.0/8, 127.0.0.0/8",
        "egress.proxy": "http://proxy.example:3128",
        "telemetry.endpoint": "http://127.0.0.1:4318",
        "telemetry.traceparent": "send",
        "answers.memberships": "off",
        "answers.origins": "https://shop.example, https://a.example:8443",
        "privacy.public_opt_out": "ids",
        "privacy.tcf_purposes": "1",
        "privacy.honour": "gpc, gpp",
        "secrets.env_prefix": "OTHER_",
        "cluster.store": "env:ARKE_PG",
        "cluster.secret": "env:ARKE_CLUSTER_SECRET",
        "cluster.servers": '{"b": "env:ARKE_PG_B"}',
        "cluster.log": "kafka",
        "cluster.dcs": "fast",
        "cluster.prepared_statements": "off",
        "kafka.prefix": "team",
        "intake.kafka": '[{"topic": "clicks", "options": {"bootstrap.servers": "k:9092"}}]',
        "intake.segment.context_ids": '{"device.advertisingId": 20914}',
        "kafka.options": '{"client.id": "team"}',
    }.get(name)
    if other is None:
        other = (
            str(default - 1) if isinstance(default, int) else "127.0.0.1:1" if default is not None else "64"
        )
    given = {"ARKE_CLUSTER_STORE": "env:ARKE_PG"} if name in OF_A_STORE else {}
    assert load_settings(None, given | {variable: other}) != load_settings(None, given)


def test_the_example_is_the_default(tmp_path: Any) -> None:
    file = tmp_path / "arke.toml"
    file.write_text(PAGE.split("```toml\n", 1)[1].split("```", 1)[0])
    assert load_settings(file, {}) == Settings()


def named_bounds() -> list[tuple[str, str]]:
    return [(name, cells[1]) for name, cells in ROWS.items() if name.startswith("arke.")]


@pytest.mark.parametrize(("name", "told"), named_bounds())
def test_a_named_bound_has_the_value_the_page_tells(name: str, told: str) -> None:
    module, _, constant = name.rpartition(".")
    assert getattr(importlib.import_module(module), constant) == float(told.replace(",", ""))


def test_every_bound_of_the_intake_is_told() -> None:
    for field in msgspec.structs.fields(IntakeSettings):
        if isinstance(field.default, int | float):
            assert field.name in ROWS or field.name in LEAVES
        if field.name in ROWS and field.name not in LEAVES:
            assert float(ROWS[field.name][1].replace(",", "")) == field.default
