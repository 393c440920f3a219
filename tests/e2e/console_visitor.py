"""Somebody at a browser: keeps cookies, follows links, fills in forms, and says where it comes from."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from e2e.engine_process import request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from e2e.engine_process import Reply

ANTI_FORGERY: Final = "anti_forgery"
_FIELD: Final = re.compile(rf'name="{ANTI_FORGERY}" value="([^"]+)"')


class Visitor:
    """A browser that looks at one engine's console."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cookies: dict[str, str] = {}

    def get(self, target: str, headers: Mapping[str, str] | None = None) -> Reply:
        return self.ask("GET", target, None, headers or {})

    def post(
        self,
        target: str,
        fields: Mapping[str, str | Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        forged: bool = False,
    ) -> Reply:
        """A form that the engine has shown, unless it is `forged`."""
        sent = dict(fields or {})
        if not forged:
            sent[ANTI_FORGERY] = self.anti_forgery()
        own = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": f"http://{self.address}",
            "Sec-Fetch-Site": "same-origin",
        }
        return self.ask("POST", target, urlencode(sent, doseq=True).encode(), own | dict(headers or {}))

    def anti_forgery(self) -> str:
        found = _FIELD.search(self.get("/console/").body.decode())
        return unescape(found[1]) if found is not None else ""

    def ask(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        sent = {name: value for name, value in headers.items() if value}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        reply = request(self.address, method, target, body, sent)
        if "set-cookie" in reply.headers:
            name, _, value = reply.headers["set-cookie"].partition(";")[0].partition("=")
            self.cookies[name] = value
        return reply

    def open(self, link: str) -> Reply:
        """A link that signs in."""
        return self.get(link.removeprefix(f"http://{self.address}"))

    def use(self, token: str) -> Reply:
        """Sign in with a token."""
        return self.post("/console/sign-in", {"token": token}, forged=True)
