"""A Dockerfile as data: its stages, and in each what is set, copied, run and started."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from pathlib import Path


class Stage(msgspec.Struct):
    """One FROM and what follows. `steps` are COPY and RUN in their order; the rest is what the image is."""

    base: str
    name: str = ""
    steps: list[tuple[str, str]] = []
    environ: dict[str, str] = {}
    workdir: str = "/"
    user: str = "root"
    entrypoint: list[str] = []
    command: list[str] = []
    health: list[str] = []
    ports: list[str] = []
    volumes: list[str] = []


def stages(path: Path) -> list[Stage]:
    """The stages of a file, `ARG`s at their defaults."""
    found: list[Stage] = []
    arguments: dict[str, str] = {}
    for word, rest in _instructions(path.read_text(encoding="utf-8")):
        if word == "ARG":
            name, _, default = rest.partition("=")
            arguments[name] = default
        elif word == "FROM":
            base, _, alias = rest.partition(" AS ")
            for name, value in arguments.items():
                base = base.replace(f"${{{name}}}", value)
            found.append(Stage(base, alias))
        else:
            _take(found[-1], word, rest)
    return found


def _take(stage: Stage, word: str, rest: str) -> None:
    values: dict[str, Any] = {}
    if word in {"COPY", "RUN"}:
        stage.steps.append((word, rest))
    elif word == "ENV":
        stage.environ |= dict(pair.split("=", 1) for pair in shlex.split(rest))
    elif word == "HEALTHCHECK":
        stage.health = json.loads(rest[rest.index("CMD ") + 4 :])
    elif word in {"EXPOSE", "VOLUME"}:
        values = {{"EXPOSE": "ports", "VOLUME": "volumes"}[word]: rest.split()}
    elif word in {"ENTRYPOINT", "CMD"}:
        values = {{"ENTRYPOINT": "entrypoint", "CMD": "command"}[word]: json.loads(rest)}
    elif word in {"USER", "WORKDIR"}:
        values = {word.lower(): rest}
    for name, value in values.items():
        setattr(stage, name, value)


def _instructions(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    pairs = [line.split(maxsplit=1) for line in joined.splitlines()]
    return [(word, " ".join(rest.split()) if word != "RUN" else rest) for word, rest in pairs]
