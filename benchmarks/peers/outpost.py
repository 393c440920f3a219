"""Outpost: events published over its API, one webhook destination; with PostgreSQL, Redis and RabbitMQ."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from arke.demo.processes import free_port
from peers.contender import Running, answers, call, find, must, program, said
from peers.servers import missing_servers, postgres, rabbitmq, redis
from peers.wire import KEY, MESSAGE, Posting, Signature

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from peers.servers import Server
    from peers.wire import Sink

PROGRAM: Final = ("PEERS_OUTPOST", "outpost")
SERVER: Final = "outpost-server"
"""Lies beside the other, which brings the schema up."""
API_KEY: Final = "peers-api-key"
TENANT: Final = "peers"
TOPIC: Final = "membership.changed"
AT_ONCE: Final = "32"
"""Its default is one delivery at a time."""
_HEAD: Final = f'{{"tenant_id":"{TENANT}","topic":"{TOPIC}","eligible_for_retry":true,"data":'


class Outpost:
    """One process with all of its services."""

    name = "Outpost"
    users_a_request = 1
    keeps = True
    signature = Signature("X-Outpost-Signature", "sha256", "hex", "v0=")
    durability = (
        "answers when RabbitMQ has the message; Redis with a snapshot every 20 s; its log in PostgreSQL"
    )
    unlike = "webhooks of many tenants: each event is a message of its own; no identity, no segments; four services"

    def __init__(self) -> None:
        self._program = find(*PROGRAM)

    def missing(self) -> str:
        lacks = missing_servers(rabbitmq=True)
        if not self._program:
            lacks.insert(0, f"{PROGRAM[1]} is not on PATH, and {PROGRAM[0]} names none")
        elif not self._server.exists():
            lacks.insert(0, f"no {SERVER} is beside {PROGRAM[1]}")
        return "; ".join(lacks)

    @property
    def _server(self) -> Path:
        return Path(self._program).with_name(SERVER)

    def version(self) -> str:
        return said([self._program, "--version"]).strip()

    @contextmanager
    def running(self, directory: Path, sink: Sink) -> Iterator[Running]:
        port = free_port()
        with ExitStack() as stack:
            needed = [
                stack.enter_context(server) for server in (postgres(), redis(directory), rabbitmq(directory))
            ]
            environ = self.environ(port, sink, *needed)
            said([self._program, "migrate", "apply", "--yes"], env=environ, cwd=directory)
            started = stack.enter_context(program(directory, "outpost", [self._server], environ))
            started.until(lambda: answers(port, "/api/v1/healthz"))
            headers = {"Authorization": f"Bearer {API_KEY}"}
            tenant = f"/api/v1/tenants/{TENANT}"
            must(call(port, "PUT", tenant, headers=headers), "a tenant")
            destination = {
                "type": "webhook",
                "topics": ["*"],
                "config": {"url": sink.url},
                "credentials": {"secret": KEY},
            }
            must(call(port, "POST", f"{tenant}/destinations", destination, headers), "a destination")
            posting = Posting(
                port=port,
                path="/api/v1/publish",
                event=(_HEAD + MESSAGE[0], MESSAGE[1] + "}"),
                headers=headers,
                bulk=False,
            )
            yield Running(posting, (started.pid, *(server.pid for server in needed)))

    def environ(
        self, port: int, sink: Sink, database: Server, cache: Server, queue: Server
    ) -> Mapping[str, str]:
        """Its defaults, but for how much it does at once."""
        return os.environ | {
            "API_KEY": API_KEY,
            "API_JWT_SECRET": "peers-jwt-secret",
            "AES_ENCRYPTION_SECRET": "peers-encryption-secret-32-bytes",
            "API_PORT": str(port),
            "TOPICS": TOPIC,
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(cache.port),
            "POSTGRES_URL": f"postgres://arke@127.0.0.1:{database.port}/postgres?sslmode=disable",
            "RABBITMQ_SERVER_URL": f"amqp://guest:guest@127.0.0.1:{queue.port}",
            "PUBLISH_MAX_CONCURRENCY": AT_ONCE,
            "DELIVERY_MAX_CONCURRENCY": AT_ONCE,
            "LOG_MAX_CONCURRENCY": AT_ONCE,
            "PORTAL_REFERER_URL": "http://127.0.0.1",
            "DISABLE_TELEMETRY": "true",
            "LOG_LEVEL": "error",
            "SSL_CERT_FILE": str(sink.ca_file),
        }
