"""Every option of the engine, its default, unit and bound: arke.toml, the environment, the command line.

Later wins: defaults, then arke.toml, then `ARKE_SECTION_NAME` in the environment, then options.
"""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from arke.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PositiveInt = Annotated[int, msgspec.Meta(ge=1)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections: unknown options are errors."""


class Server(Section, frozen=True):
    """Where the engine listens; port 0 takes any free one. `shards`: processes, fixed when data is new."""

    intake: str = "127.0.0.1:8080"
    admin: str = "127.0.0.1:8081"
    shards: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None


class Auth(Section, frozen=True):
    """Whether `/v1/events` needs a token of scope ingest."""

    intake: Literal["token", "open"] = "token"


class Egress(Section, frozen=True):
    """Address ranges that destinations may use although they are private or local, e.g. 127.0.0.0/8."""

    allow_cidrs: tuple[str, ...] = ()


class Delivery(Section, frozen=True):
    """`retry_delay_ms` lies between a failed attempt and its one retry; `timeout_ms` bounds each attempt."""

    retry_delay_ms: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 100
    timeout_ms: Annotated[int, msgspec.Meta(ge=100, le=3_000)] = 3_000


class OnboardingFolder(Section, frozen=True):
    """A watched `folder` for data files (empty: none), looked at every `every_s` seconds."""

    folder: str = ""
    every_s: Annotated[int, msgspec.Meta(ge=1, le=3_600)] = 5


class Settings(Section, frozen=True):
    """All options. `region` is this intake's region id: where devices seen on /event and /ibs were seen."""

    region: Annotated[int, msgspec.Meta(ge=1)] = 9
    server: Server = Server()
    auth: Auth = Auth()
    egress: Egress = Egress()
    delivery: Delivery = Delivery()
    onboarding: OnboardingFolder = OnboardingFolder()


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read settings. `path` None: no file is read. Raises SettingsError naming what is wrong where."""
    document: dict[str, Any] = {}
    if path is not None:
        try:
            document = tomllib.loads(path.read_text())
        except OSError as error:
            raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: {error}") from None
    _overlay(document, os.environ if environ is None else environ)
    try:
        return msgspec.convert(document, Settings, strict=False)
    except msgspec.ValidationError as error:
        where = str(path) if path is not None else "environment"
        raise SettingsError(f"{where}: {error}") from None


def _overlay(document: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Put `ARKE_REGION` and `ARKE_SECTION_NAME` over what the file says. Lists are comma separated."""
    if "ARKE_REGION" in environ:
        document["region"] = environ["ARKE_REGION"]
    defaults = Settings()
    for section in ("server", "auth", "egress", "delivery", "onboarding"):
        for name in getattr(defaults, section).__struct_fields__:
            value = environ.get(f"ARKE_{section}_{name}".upper())
            if value is None:
                continue
            listed = isinstance(getattr(getattr(defaults, section), name), tuple)
            parts = [part.strip() for part in value.split(",") if part.strip()]
            document.setdefault(section, {})[name] = parts if listed else value


def host_and_port(text: str, option: str) -> tuple[str, int]:
    """Split `127.0.0.1:8080` or `[::1]:8080`. Raises SettingsError naming the option."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65_535 or not host:
        raise SettingsError(f"{option}: {text!r} is not host:port, for example 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def find_settings(path: Path | None) -> Settings:
    """Settings from a given file, else from ./arke.toml where there is one."""
    from pathlib import Path as FilePath

    if path is None and FilePath("arke.toml").is_file():
        path = FilePath("arke.toml")
    return load_settings(path)


def with_options(
    settings: Settings, *, intake_port: int | None, admin_port: int | None, shards: int | None
) -> Settings:
    """Settings with what the command line says over them."""
    server = settings.server
    if intake_port is not None:
        host, _ = host_and_port(server.intake, "server.intake")
        server = msgspec.structs.replace(server, intake=f"{host}:{intake_port}")
    if admin_port is not None:
        host, _ = host_and_port(server.admin, "server.admin")
        server = msgspec.structs.replace(server, admin=f"{host}:{admin_port}")
    if shards is not None:
        server = msgspec.structs.replace(server, shards=shards)
    return msgspec.structs.replace(settings, server=server)
