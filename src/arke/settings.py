"""Every option of the engine, its default, unit and bound: arke.toml, the environment, the command line.

Later wins: defaults, then arke.toml, then `ARKE_SECTION_NAME` in the environment, then options.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar, get_args, get_type_hints

import msgspec

from arke.delivery.https.proxy import check_proxy
from arke.delivery.secrets import check_reference
from arke.domain.catalog import MAX_ID
from arke.domain.consent.tcf import MAX_VENDOR, PURPOSES
from arke.domain.digits import MAX_PORT, whole_number
from arke.errors import InvalidInput, SettingsError
from arke.intake.origins import listeners, parse_origins
from arke.kafka_options import REFUSED_OF_SOURCES, check_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

PositiveInt = Annotated[int, msgspec.Meta(ge=1)]
Purpose = Annotated[int, msgspec.Meta(ge=1, le=PURPOSES)]
DataSource = Annotated[int, msgspec.Meta(ge=1, le=MAX_ID)]

T = TypeVar("T")
S = TypeVar("S", bound="Section")

BROKERS: Final = frozenset({"bootstrap.servers", "metadata.broker.list"})
"""librdkafka's names for where the brokers are."""


MAX_CONTEXT_IDS: Final = 7
"""Beside `anonymousId`, `previousId` and `userId`: an event has ten ids at the most."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections: unknown options are errors."""


class Server(Section, frozen=True):
    """Where the engine listens; port 0 takes any free one. `shards`: processes, fixed when data is new.

    `connections` and `connections_per_address` bound each door; `trusted_proxies` are looked through; `admin_hosts`
    are further names that the admin port may be called by.
    """

    intake: str = "127.0.0.1:8080"
    admin: str = "127.0.0.1:8081"
    shards: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    connections: Annotated[int, msgspec.Meta(ge=16, le=65_536)] = 4_096
    connections_per_address: Annotated[int, msgspec.Meta(ge=4, le=65_536)] = 1_024
    trusted_proxies: tuple[str, ...] = ()
    admin_hosts: tuple[str, ...] = ()


class Auth(Section, frozen=True):
    """Whether `/v1/events` needs a token of scope ingest."""

    intake: Literal["token", "open"] = "token"


class Egress(Section, frozen=True):
    """The way out. `allow_cidrs`: ranges that destinations may use although they are private or local, e.g.
    127.0.0.0/8. A connection is used for `connection_life_s`; the next one looks its name up anew. `proxy`: the
    URL of the proxy that everything leaves through, or a reference to it; `proxy_ca_file` is whom an https proxy's
    certificate must be signed by.
    """

    allow_cidrs: tuple[str, ...] = ()
    connection_life_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 60
    proxy: str = ""
    proxy_ca_file: str = ""

    def __post_init__(self) -> None:
        if self.proxy:
            try:
                check_proxy(self.proxy)
            except InvalidInput as error:
                raise ValueError(f"proxy: {error}") from None


class Delivery(Section, frozen=True):
    """`retry_delay_ms` lies between a failed attempt and its one retry; `timeout_ms` bounds each attempt."""

    retry_delay_ms: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 100
    timeout_ms: Annotated[int, msgspec.Meta(ge=100, le=3_000)] = 3_000


class Memory(Section, frozen=True):
    """What is kept in memory to save a look at the disk. `ids` whose owner is known, `people`: devices that are
    known to belong to a person; about 0.5 KB each, in the engine. `pages_mb` of a file's pages, and `mapped_mb` of
    the file as it is: for each of the two connections that the engine and every shard have to their file.
    """

    ids: Annotated[int, msgspec.Meta(ge=1_000, le=1_000_000_000)] = 300_000
    people: Annotated[int, msgspec.Meta(ge=1_000, le=1_000_000_000)] = 100_000
    pages_mb: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 64
    mapped_mb: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 256


class Telemetry(Section, frozen=True):
    """OpenTelemetry. `endpoint`: a collector that takes OTLP over HTTP; empty: where the standard variables say, or
    nowhere. One request, group and delivery in `one_in` is traced. `traceparent`: whether destinations get the
    header of a traced delivery. Metrics go there every `metrics_every_s`.
    """

    endpoint: str = ""
    one_in: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 100
    traceparent: Literal["never", "send"] = "never"
    metrics_every_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 60

    def __post_init__(self) -> None:
        if self.endpoint and not self.endpoint.startswith(("http://", "https://")):
            raise ValueError(
                "endpoint: it begins with http:// or https://, for example http://127.0.0.1:4318"
            )


class IdentityRules(Section, frozen=True):
    """How many ids of other devices one device may come to have a UTC day at the public door. An id on more than
    `max_devices_per_id` devices a UTC day is reported.
    """

    takeovers_per_device: Annotated[int, msgspec.Meta(ge=0)] = 10
    max_devices_per_id: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1_000


class Answers(Section, frozen=True):
    """What the public endpoints tell. `memberships`: of a device found by cookie or UUID, of `any`, or `off`.
    `origins`: the pages that are told them, and, where any are named, the only ones that may read answers.
    """

    memberships: Literal["device", "any", "off"] = "device"
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            listeners(self.origins)
        except ValueError as error:
            raise ValueError(f"origins: {error}; or * for any") from None


class Secrets(Section, frozen=True):
    """What a catalog applied over TCP may refer to: environment variables whose names begin with `env_prefix`, and
    files in one of the `folders`. Whoever applies it on this machine may refer to anything.
    """

    env_prefix: Annotated[str, msgspec.Meta(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] = "ARKE_SECRET_"
    folders: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(not folder.strip() for folder in self.folders):
            raise ValueError("folders: an empty path would be the working directory: name the folder")


class OnboardingFolder(Section, frozen=True):
    """A watched `folder` for data files (empty: none), looked at every `every_s` seconds."""

    folder: str = ""
    every_s: Annotated[int, msgspec.Meta(ge=1, le=3_600)] = 5


class Privacy(Section, frozen=True):
    """What the public door does for whom. `public_opt_out`: an opt-out without a token is for the cookie's device
    or a named UUID's ("device"), or also for the ids it declares and theirs ("ids", as Audience Manager has it).
    One address may opt out `opt_outs_per_minute`; `opt_out_origins`, if any are listed, are the pages that may.

    TC strings are decoded once `tcf_vendor` is given: who has not agreed to it and to `tcf_purposes` opts out.
    `honour`: opt-outs of the United States that hold for the request that carries them.
    """

    public_opt_out: Literal["device", "ids"] = "device"
    opt_outs_per_minute: PositiveInt = 60
    opt_out_origins: tuple[str, ...] = ()
    tcf_vendor: Annotated[int, msgspec.Meta(ge=1, le=MAX_VENDOR)] | None = None
    tcf_purposes: Annotated[tuple[Purpose, ...], msgspec.Meta(min_length=1)] = (1, 10)
    honour: tuple[Literal["gpc", "us_privacy", "gpp"], ...] = ()

    def __post_init__(self) -> None:
        try:
            parse_origins(self.opt_out_origins)
        except ValueError as error:
            raise ValueError(f"opt_out_origins: {error}") from None


class Cluster(Section, frozen=True):
    """Many nodes instead of one engine. `store`: a reference to the DSN of the PostgreSQL that holds all (empty:
    the data directory does), `servers` references to those of further ones by their names. `log` carries events to
    the `shards`, whose number `arke cluster init` fixes. A node has up to `connections` to the directory.

    Nodes ask each other at `peers`, or where a node says by `advertise` that it is reached (host:port). They
    trust each other by `secret`, a reference, or by certificates of one authority (`ca_file`, `cert_file`,
    `key_file`).

    A password that lasts minutes is in a file, or what a command prints; both are read at each connect.
    `prepared_statements` is `off` behind a pooler in transaction mode that does not know them. `dcs` is `fast`
    where answers at /event need not list traits and segments, which only the owner of the shard knows.
    """

    store: str = ""
    servers: dict[str, str] = {}
    log: Literal["kafka", "postgresql"] = "postgresql"
    shards: Annotated[int, msgspec.Meta(ge=16, le=1_024)] = 256
    dcs: Literal["", "fast"] = ""
    connections: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    prepared_statements: Literal["auto", "off"] = "auto"
    password_file: str = ""
    password_command: str = ""
    peers: str = "127.0.0.1:8090"
    advertise: str = ""
    secret: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    def __post_init__(self) -> None:
        if self.secret:
            _check(self.secret, "cluster.secret", check_reference)
        if self.store:
            _check(self.store, "cluster.store", check_reference)
        for name, reference in self.servers.items():
            if not re.fullmatch("[a-z][a-z0-9_-]{0,30}", name):
                raise ValueError(
                    f"cluster.servers: {name!r} is no name: a letter, then letters, digits, - and _"
                )
            if name == "store":
                raise ValueError(
                    "cluster.servers: store is the name of the server of cluster.store: take another"
                )
            _check(reference, f"cluster.servers: {name}", check_reference)
        _check(self.password_command, "cluster.password_command", shlex.split)


class Kafka(Section, frozen=True):
    """The brokers that carry events where `cluster.log` says so. `prefix` names topic and group. `options` go to
    librdkafka as they are; a text may be a reference to a secret. `token_command` prints a bearer token.
    """

    prefix: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,200}$")] = "arke"
    options: dict[str, str | int | float | bool] = {}
    token_command: str = ""

    def __post_init__(self) -> None:
        _check(self.options, "kafka.options", check_options)
        _check_references(self.options, "kafka.options")
        _check(self.token_command, "kafka.token_command", shlex.split)


class KafkaSource(Section, frozen=True):
    """A topic that other teams write, read like `/v1/events` in the consumer group `group` (empty: `arke-TOPIC`).
    `start`: where a partition begins that was never read. `options` and `token_command` as in `Kafka`.
    """

    topic: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
    options: dict[str, str | int | float | bool]
    format: Literal["arke", "segment"] = "arke"
    group: Annotated[str, msgspec.Meta(max_length=255)] = ""
    start: Literal["earliest", "latest"] = "earliest"
    token_command: str = ""

    def __post_init__(self) -> None:
        _check(
            self.options, "intake.kafka.options", lambda options: check_options(options, REFUSED_OF_SOURCES)
        )
        if not BROKERS & self.options.keys():
            raise ValueError('intake.kafka.options: "bootstrap.servers" has to say where the brokers are')
        _check_references(self.options, "intake.kafka.options")
        _check(self.token_command, "intake.kafka.token_command", shlex.split)

    @property
    def reads_as(self) -> str:
        """The consumer group."""
        return self.group or f"arke-{self.topic}"


class SegmentCalls(Section, frozen=True):
    """How calls of Segment's API become events: the data sources of `anonymousId` and `userId` (without one that id
    is left out) and of ids in `context`, by their paths; `prefix` stands before names of properties and traits.
    Each of `consent_categories` has to be agreed to, in calls that say what their visitor chose.
    """

    anonymous_id: DataSource | None = None
    user_id: DataSource | None = None
    context_ids: dict[str, DataSource] = {}
    prefix: Annotated[str, msgspec.Meta(max_length=32)] = "c_"
    consent_categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.context_ids) > MAX_CONTEXT_IDS:
            raise ValueError(f"intake.segment.context_ids: an event has room for {MAX_CONTEXT_IDS} of them")
        for path in self.context_ids:
            if not all(path.split(".")):
                raise ValueError(
                    f"intake.segment.context_ids: {path!r} is no path: names and dots, as device.advertisingId"
                )

    @property
    def some(self) -> bool:
        """Whether a call can name anybody."""
        return self.anonymous_id is not None or self.user_id is not None or bool(self.context_ids)


class Intake(Section, frozen=True):
    """Where events come from besides the doors: topics of Kafka; and how calls of Segment's API become events."""

    kafka: tuple[KafkaSource, ...] = ()
    segment: SegmentCalls = SegmentCalls()


def _check_references(options: Mapping[str, object], name: str) -> None:
    for option, value in options.items():
        if isinstance(value, str) and value.startswith(("env:", "file:")):
            _check(value, f"{name}: {option}", check_reference)


def _check(value: T, name: str, check: Callable[[T], object]) -> None:
    """Raises ValueError, which begins with the option's dotted name, so that its place is found."""
    try:
        check(value)
    except (InvalidInput, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None


class Settings(Section, frozen=True):
    """All options. `region` is this intake's region id: where devices seen on /event and /ibs were seen."""

    region: Annotated[int, msgspec.Meta(ge=1)] = 9
    server: Server = Server()
    auth: Auth = Auth()
    egress: Egress = Egress()
    delivery: Delivery = Delivery()
    memory: Memory = Memory()
    telemetry: Telemetry = Telemetry()
    identity: IdentityRules = IdentityRules()
    answers: Answers = Answers()
    onboarding: OnboardingFolder = OnboardingFolder()
    privacy: Privacy = Privacy()
    secrets: Secrets = Secrets()
    intake: Intake = Intake()
    cluster: Cluster = Cluster()
    kafka: Kafka = Kafka()


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read settings. `path` None: no file is read. Raises SettingsError naming what is wrong where."""
    settings = Settings() if path is None else _from_file(path)
    settings = _with_environment(settings, os.environ if environ is None else environ)
    _check_cluster(settings)
    _check_sources(settings)
    return settings


def _check_cluster(settings: Settings) -> None:
    """What no option says alone. Raises SettingsError."""
    cluster = settings.cluster
    if not cluster.store and (cluster.servers or cluster.password_file or cluster.password_command):
        raise SettingsError(
            "cluster.store: where is PostgreSQL? A reference to its DSN is missing: env:NAME or file:PATH"
        )
    if cluster.password_file and cluster.password_command:
        raise SettingsError(
            "cluster.password_file and cluster.password_command: only one of them can be right"
        )
    if cluster.store and cluster.log == "kafka" and not BROKERS & settings.kafka.options.keys():
        raise SettingsError('kafka.options: "bootstrap.servers" has to say where the brokers are')


def _check_sources(settings: Settings) -> None:
    """The same of topics that are read."""
    seen = set()
    for source in settings.intake.kafka:
        if (source.reads_as, source.topic) in seen:
            raise SettingsError(
                f"intake.kafka: {source.topic} is listed twice for the group {source.reads_as}: "
                "the nodes share its partitions by themselves"
            )
        seen.add((source.reads_as, source.topic))
        if source.format == "segment" and not settings.intake.segment.some:
            raise SettingsError(
                "intake.segment: whose ids are they? Set anonymous_id, user_id or context_ids to data sources"
            )
        if (
            settings.cluster.store
            and settings.cluster.log == "kafka"
            and source.reads_as == settings.kafka.prefix
        ):
            raise SettingsError(
                f"intake.kafka.group: {source.reads_as!r} is the group of the workers (kafka.prefix): name another"
            )


def _from_file(path: Path) -> Settings:
    try:
        text = path.read_text()
        document = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise SettingsError(f"{path}: {error}") from None
    except RecursionError:
        raise SettingsError(f"{path}: nested too deeply") from None
    try:
        return msgspec.convert(document, Settings)
    except msgspec.ValidationError as error:
        name, problem, table = _in_words(str(error))
        raise SettingsError(f"{path}{_place(text, name, table)}: {problem}") from None


def _with_environment(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Put `ARKE_REGION` and `ARKE_SECTION_NAME` over the settings. Lists are comma separated."""
    known = {f"ARKE_{name}".upper().replace(".", "_"): name for name in OPTIONS}
    sections = {f"ARKE_{name.partition('.')[0]}_".upper() for name in OPTIONS if "." in name}
    for variable in sorted(environ):
        if variable not in known and any(variable.startswith(section) for section in sections):
            close = difflib.get_close_matches(variable, known, n=1)
            hint = f": did you mean {close[0]}?" if close else ""
            raise SettingsError(f"{variable}: no option of this name{hint}")
    for name in OPTIONS:
        variable = f"ARKE_{name}".upper().replace(".", "_")
        value: Any = environ.get(variable)
        if value is None:
            continue
        try:
            value.encode()
        except UnicodeEncodeError:
            raise SettingsError(f"{variable}: this is not UTF-8 text") from None
        path = name.split(".")
        given = _at(settings, path)
        if name in TABLES:
            value = _json(variable, value, list[dict[str, Any]], '[{"name": "value"}]')
        elif isinstance(given, tuple):
            value = [part.strip() for part in value.split(",") if part.strip()]
        elif isinstance(given, dict):
            value = _json(variable, value, dict[str, Any], '{"name": "value"}')
        try:
            settings = _changed(settings, path, value)
        except msgspec.ValidationError as error:
            problem, _, at = str(error).partition(" - at ")
            problem = f"{problem} - at {at}" if name in TABLES else _with_values(name, problem)
            raise SettingsError(f"{variable}: {problem}") from None
    return settings


def _json(variable: str, text: str, kind: type[T], form: str) -> T:
    """In the environment mappings and tables are JSON. Raises SettingsError."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError:
        raise SettingsError(f"{variable}: it is to be JSON, as {form}") from None


def _at(section: Section, path: Sequence[str]) -> Any:
    for option in path:
        section = getattr(section, option)
    return section


def _changed(section: S, path: Sequence[str], value: Any) -> S:
    """The section with another value at a path. Raises msgspec.ValidationError."""
    option, *below = path
    if below:
        return msgspec.structs.replace(section, **{option: _changed(getattr(section, option), below, value)})
    return msgspec.convert(msgspec.to_builtins(section) | {option: value}, type(section), strict=False)


def _options(section: Section, prefix: str = "") -> Iterator[str]:
    for field in section.__struct_fields__:
        value = getattr(section, field)
        if isinstance(value, Section):
            yield from _options(value, f"{prefix}{field}.")
        else:
            yield prefix + field


OPTIONS = tuple(_options(Settings()))
"""Every option by its dotted name, such as `server.intake`."""


def value_of(settings: Settings, name: str) -> Any:
    """What an option is, by its dotted name."""
    return _at(settings, name.split("."))


TABLES: Final = {"intake.kafka": KafkaSource}
"""Options that are lists of tables."""
_IN_TABLES: Final = tuple(
    f"{name}.{field}" for name, kind in TABLES.items() for field in kind.__struct_fields__
)


def _in_words(problem: str) -> tuple[str, str, int]:
    """The dotted name of the option that msgspec found wrong, what is wrong with it, and in which table of a list,
    counted from 0.
    """
    problem, _, at = problem.partition(" - at `$")
    at = at.rstrip("`").lstrip(".")
    table = re.match(r"([\w.]+)\[(\d+)\]", at)
    number = 0
    if table is not None and table[1] in TABLES:
        number = int(table[2])
        at = table[1] + at[table.end() :]
    name = re.sub(r"\[.*", "", at)
    unknown = re.search("unknown field `(.*)`", problem, re.DOTALL)
    if problem.startswith(f"{name}."):  # the section says itself which of its options is wrong
        return problem.partition(":")[0], problem, number
    if unknown is None:
        return name, f"{name}: {_with_values(name, problem)}" if name else problem, number
    name = f"{name}.{unknown[1]}".lstrip(".")
    known = {*OPTIONS, *_IN_TABLES, *(option.partition(".")[0] for option in OPTIONS)}
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(OPTIONS)}"
    return name, f"unknown option {name!r} ({hint})", number


def _with_values(name: str, problem: str) -> str:
    """What is wrong with an option; of a value that is none of a few, also which there are."""
    wrong = re.fullmatch("Invalid enum value '(.*)'", problem, re.DOTALL)
    if wrong is None:
        return problem
    above, _, option = name.rpartition(".")
    section = TABLES.get(above) or (type(_at(Settings(), above.split("."))) if above else Settings)
    values = _values(get_type_hints(section)[option])
    return f"{wrong[1]!r} is none of {', '.join(value or 'nothing' for value in values)}"


def _values(kind: object) -> list[str]:
    """The texts that a type admits by name."""
    found = [one for one in get_args(kind) if isinstance(one, str)]
    return found or [value for one in get_args(kind) for value in _values(one)]


def _place(text: str, name: str, table: int = 0) -> str:
    """`:line:column` of an option or a section in the text of a file; empty where it is written unusually. `table`
    counts those of the same name before it.
    """
    above, before = "", -1
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r"\s*(\[{1,2})?\s*([\w.-]+)\s*(?(1)\]|=)", line)
        if found is None:
            continue
        if found[1]:
            above = found[2]
            before += above in TABLES and name.startswith(above)
        here = above if found[1] else f"{above}.{found[2]}".lstrip(".")
        if here == name and (before == table or above not in TABLES):
            return f":{number}:{found.start(2) + 1}"
    return ""


def host_and_port(text: str, option: str) -> tuple[str, int]:
    """Split `127.0.0.1:8080` or `[::1]:8080`. Raises SettingsError naming the option."""
    host, colon, port = text.rpartition(":")
    number = whole_number(port, MAX_PORT)
    if not colon or number is None or not host or host.startswith("[") != host.endswith("]"):
        raise SettingsError(f"{option}: {text!r} is not host:port, for example 127.0.0.1:8080")
    return host.strip("[]"), number


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
