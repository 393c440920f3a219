"""Convoy: events posted to its API, one endpoint and a subscription; with PostgreSQL and Redis."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke.bench.sinks import BenchFailed
from arke.demo.processes import free_port
from peers.contender import Running, answers, call, find, listens, must, program, said
from peers.servers import missing_servers, postgres, redis
from peers.wire import KEY, MESSAGE, Posting, Signature

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from peers.contender import Started
    from peers.servers import Server
    from peers.wire import Sink

PROGRAM: Final = ("PEERS_CONVOY", "convoy")
EVENT_TYPE: Final = "membership.changed"


class Convoy:
    """Its server and its agent."""

    name = "Convoy"
    users_a_request = 1
    keeps = True
    signature = Signature("X-Convoy-Signature", "sha256", "hex")
    durability = (
        "answers when the event is queued in Redis (a snapshot every 20 s); the agent writes it to PostgreSQL"
    )
    unlike = "webhooks of many tenants: each event is a message of its own; no identity, no segments; four services"

    def __init__(self) -> None:
        self._program = find(*PROGRAM)

    def missing(self) -> str:
        lacks = missing_servers(rabbitmq=False)
        if not self._program:
            lacks.insert(0, f"{PROGRAM[1]} is not on PATH, and {PROGRAM[0]} names none")
        return "; ".join(lacks)

    def version(self) -> str:
        return said([self._program, "version"]).strip().splitlines()[-1]

    @contextmanager
    def running(self, directory: Path, sink: Sink) -> Iterator[Running]:
        port, agent_port = free_port(), free_port()
        with ExitStack() as stack:
            needed = [stack.enter_context(server) for server in (postgres(), redis(directory))]
            environ = self.environ(sink, *needed)
            said([self._program, "migrate", "up"], env=environ, cwd=directory)
            account = self._bootstrap(environ, directory)
            started: list[Started] = []
            for part, on in (("server", port), ("agent", agent_port)):
                command = [self._program, part, "--port", str(on)]
                process = stack.enter_context(program(directory, part, command, environ))
                process.until(lambda on=on: listens(on))  # type: ignore[misc]
                started.append(process)
            started[0].until(lambda: answers(port, "/healthz"))
            pids = (*(process.pid for process in started), *(server.pid for server in needed))
            yield Running(self._posting(port, account, sink), pids)

    def _bootstrap(self, environ: Mapping[str, str], directory: Path) -> dict[str, Any]:
        """A user, an organisation and a personal key. Raises BenchFailed where it is told in another way."""
        command = [
            self._program,
            "bootstrap",
            "--email",
            "peers@example.com",
            "--format",
            "json",
            "--with-api-key",
        ]
        told = said(command, env=environ, cwd=directory)
        account: dict[str, Any] = msgspec.json.decode(told[max(0, told.find("{")) :])
        if lacks := {"api_key", "organisation_id"} - account.keys():
            raise BenchFailed(
                f"convoy bootstrap told {', '.join(account)}, but not {', '.join(sorted(lacks))}"
            )
        return account

    def _posting(self, port: int, account: dict[str, Any], sink: Sink) -> Posting:
        """A project, its endpoint and a subscription to everything."""
        headers = {"Authorization": f"Bearer {account['api_key']}"}
        project = {
            "name": "peers",
            "type": "outgoing",
            "config": {
                "signature": {
                    "header": self.signature.header,
                    "versions": [{"hash": "SHA256", "encoding": "hex"}],
                },
                "strategy": {"type": "linear", "duration": 5, "retry_count": 20},
                "ratelimit": {"count": 1_000_000, "duration": 1},
                "disable_endpoint": False,
                "search_policy": "720h",
            },
        }
        organisation = account["organisation_id"]
        made = must(
            call(port, "POST", f"/api/v1/projects?orgID={organisation}", project, headers), "a project"
        )
        headers = {"Authorization": f"Bearer {made['data']['api_key']['key']}"}
        base = f"/api/v1/projects/{made['data']['project']['uid']}"
        endpoint = {"name": "sink", "url": sink.url, "secret": KEY, "advanced_signatures": False}
        made = must(call(port, "POST", f"{base}/endpoints", endpoint, headers), "an endpoint")
        uid = made["data"]["uid"]
        subscription = {"name": "all", "endpoint_id": uid, "filter_config": {"event_types": ["*"]}}
        must(call(port, "POST", f"{base}/subscriptions", subscription, headers), "a subscription")
        head = f'{{"endpoint_id":"{uid}","event_type":"{EVENT_TYPE}","data":'
        return Posting(
            port=port,
            path=f"{base}/events",
            event=(head + MESSAGE[0], MESSAGE[1] + "}"),
            headers=headers,
            bulk=False,
        )

    def environ(self, sink: Sink, database: Server, cache: Server) -> Mapping[str, str]:
        """Its defaults."""
        return os.environ | {
            "CONVOY_DB_HOST": "127.0.0.1",
            "CONVOY_DB_PORT": str(database.port),
            "CONVOY_DB_USERNAME": "arke",
            "CONVOY_DB_PASSWORD": "none",
            "CONVOY_DB_DATABASE": "postgres",
            "CONVOY_DB_OPTIONS": "sslmode=disable",
            "CONVOY_REDIS_SCHEME": "redis",
            "CONVOY_REDIS_HOST": "127.0.0.1",
            "CONVOY_REDIS_PORT": str(cache.port),
            "CONVOY_JWT_SECRET": "peers-jwt-secret",
            "CONVOY_JWT_REFRESH_SECRET": "peers-refresh-secret",
            "CONVOY_ANALYTICS_ENABLED": "false",
            "CONVOY_LOGGER_LEVEL": "error",
            "SSL_CERT_FILE": str(sink.ca_file),
        }
