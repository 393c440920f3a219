"""Runs the reference server as a program: options to a configuration, a start line, a graceful end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from arke.errors import InvalidInput
from arke.receiver.config import ReceiverConfig
from arke.receiver.misbehaviour import parse_misbehaviour
from arke.receiver.references import NO_SCHEME, Scheme, hmac_algorithm, resolve_secret, signing_key
from arke.receiver.server import ReceiverServer

if TYPE_CHECKING:
    from collections.abc import Sequence


def configured(
    *,
    keys: Sequence[str],
    algorithm: str,
    token_client: str | None,
    misbehave: Sequence[str],
    scheme: Scheme = NO_SCHEME,
    **options: Any,
) -> ReceiverConfig:
    """The configuration behind the command's options; secrets are resolved here, once."""
    chosen = hmac_algorithm(algorithm)
    for text in misbehave:
        parse_misbehaviour(text)
    if options.get("certificate_key") is not None and options.get("certificate") is None:
        raise InvalidInput("--cert-key needs --cert; to require signatures give --key env:NAME or file:PATH")
    return ReceiverConfig(
        keys=tuple(signing_key(text, algorithm=chosen, scheme=scheme) for text in keys),
        token_credentials=None if token_client is None else resolve_secret(token_client),
        misbehave=tuple(misbehave),
        kept_requests=0,  # nobody looks at them here, and a stranger may send any number of large ones
        **options,
    )


def serve(config: ReceiverConfig, *, as_json: bool) -> None:
    """Run until SIGINT or SIGTERM, then stop gracefully."""
    uvloop.run(_serve(config, as_json=as_json))


async def _serve(config: ReceiverConfig, *, as_json: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with ReceiverServer(config) as server:
        sys.stdout.write(_start_line(server) if as_json else _start_text(server))
        sys.stdout.flush()
        await stop.wait()


def _facts(server: ReceiverServer) -> dict[str, str | int | None]:
    config = server.config
    return {
        "url": server.url,
        "port": server.port,
        "ca_file": None if server.ca_file is None else str(server.ca_file.absolute()),
        "token_url": server.token_url if config.token_credentials is not None else None,
        "stats_url": server.base_url + "/stats",
        "control_url": server.base_url + "/control/misbehave" if config.control else None,
        "pid": os.getpid(),
    }


def _start_line(server: ReceiverServer) -> str:
    return msgspec.json.encode(_facts(server)).decode() + "\n"


def _start_text(server: ReceiverServer) -> str:
    names = {
        "url": "messages to",
        "ca_file": "trust this CA",
        "token_url": "tokens from",
        "stats_url": "figures",
        "control_url": "control",
    }
    facts = _facts(server)
    lines = [f"{label:>14}  {facts[name]}" for name, label in names.items() if facts[name] is not None]
    config = server.config
    demands = [
        *(["a signature"] if config.keys else []),
        *(["a bearer token"] if config.token_credentials is not None else []),
        *(["a client certificate"] if config.client_ca is not None else []),
    ]
    lines.append(f"{'requires':>14}  {', '.join(demands) or 'nothing (give --key or --token-client)'}")
    lines += [f"{'misbehaves':>14}  {text}" for text in config.misbehave]
    if any(text.startswith("move-dns") for text in config.misbehave):
        cannot = "change what a name leads to: let it lead to both addresses, or change your hosts file"
        lines.append(f"{'it cannot':>14}  {cannot}")
    return "\n".join([*lines, f"{'stop':>14}  Ctrl-C", ""])
