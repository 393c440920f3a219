"""Who visits the shop and what each does when: seeded journeys, the same for the same seed. Pure.

Some come by the web site, whose pages call `/event` and `/ibs:` themselves with a cookie; others by the app,
whose events a collector bundles and posts as NDJSON. Nothing here stands for a real person: ids are random.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import msgspec

from arke.demo.catalog import ACCOUNT_DPID, ANDROID_DPID, IOS_DPID, LIKELY_TO_LEAVE, WEB_DPID

if TYPE_CHECKING:
    from collections.abc import Iterator

PRICES: Final = {"camera": (449, 2_899), "lens": (199, 2_199), "tripod": (49, 499), "bag": (39, 249)}
REGIONS: Final = (6, 7, 9, 11)

WEB_SHARE: Final = 0.3
SYNCED_SHARE: Final = 0.85
"""Web visitors that get a partner id; about the others no partner can be told anything."""
ACCOUNT_SHARE: Final = 0.5
LEAVING_SHARE: Final = 0.3
"""Account holders that the warehouse takes for leaving; every second one it takes back later."""
NEW_COOKIE_SHARE: Final = 0.04
"""Web visitors that delete their cookies and are recognised by their partner id on a new device."""
OPT_OUT_SHARE: Final = 0.02
FAULTY_SHARE: Final = 0.01
"""Events that a buggy client makes unreadable; each costs only itself."""

FAULTY_LINES: Final = (
    b'{"ids": [{"dpid": 12345, "id": "cut off',
    b'{"uuid": "123", "signals": {"c_event": "view"}}',
    b'{"signalz": {"c_event": "view"}}',
    b'{"ids": [{"dpid": 99999, "id": "a"}], "signals": {"c_event": "view"}}',
    b'{"ids": [{"dpid": 67890, "id": "a"}], "memberships": {"20001": 1}}',
)
"""Cut off; no UUID; a misspelt field; an unknown data source; telling a segment that has a rule."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a web visitor does, `at_s` seconds after the start.

    `signals` are an event; `sync` declares the partner id; `fresh` deletes the cookie first; `faulty` spoils
    the request; `opt_out` says never again.
    """

    at_s: float
    signals: dict[str, str] = {}
    sync: bool = False
    fresh: bool = False
    faulty: bool = False
    opt_out: bool = False


class WebVisitor(msgspec.Struct, frozen=True):
    """A browser with its partner id, and its steps in order."""

    partner_id: str
    steps: tuple[Step, ...]


class AppLine(msgspec.Struct, frozen=True):
    """One NDJSON line of the app's collector, due `at_s` seconds after the start."""

    at_s: float
    line: bytes


class Plan(msgspec.Struct, frozen=True):
    """Everything that will happen. `partner_ids` are all (DPID, id) that anybody has."""

    visitors: int
    web: tuple[WebVisitor, ...]
    app: tuple[AppLine, ...]
    partner_ids: tuple[tuple[int, str], ...]

    @property
    def events(self) -> int:
        """Sightings in the plan, faulty ones included; an opt-out is none."""
        return len(self.app) + sum(not step.opt_out for visitor in self.web for step in visitor.steps)


def plan_visits(visitors: int, length_s: float, seed: int) -> Plan:
    """The journeys of that many visitors, spread over `length_s` seconds."""
    chance = random.Random(seed)  # noqa: S311 - what visitors do is no secret
    web: list[WebVisitor] = []
    app: list[AppLine] = []
    ids: list[tuple[int, str]] = []
    on_web = round(visitors * WEB_SHARE)
    for number in range(visitors):
        times, shopping = _times(chance, length_s), list(_shopping(chance))
        if number < on_web:
            visitor = WebVisitor(f"{chance.getrandbits(64):016x}", tuple(_web_steps(chance, times, shopping)))
            web.append(visitor)
            ids.append((WEB_DPID, visitor.partner_id))
        else:
            app.extend(_app_lines(chance, times, shopping, ids))
    app.sort(key=lambda line: line.at_s)
    return Plan(visitors, tuple(web), tuple(app), tuple(ids))


def _times(chance: random.Random, length_s: float) -> Iterator[float]:
    """Ascending moments of one visit: it starts somewhere in the first half and never leaves the length."""
    at = chance.random() * length_s / 2
    while True:
        yield at
        at += (length_s - at) * chance.uniform(0.02, 0.2)


def _shopping(chance: random.Random) -> Iterator[dict[str, str]]:
    """The events of one visit: looks, then for some a full cart, then for some of those a purchase."""
    favourite = chance.choice(list(PRICES))
    price = 0
    for _ in range(chance.randint(2, 8)):
        category = favourite if chance.random() < 0.7 else chance.choice(list(PRICES))
        price = chance.randint(*PRICES[category])
        yield {"c_event": "view", "c_category": category, "c_price": str(price)}
    if chance.random() < 0.5:
        yield {"c_event": "cart", "c_category": favourite, "c_price": str(price)}
        if chance.random() < 0.5:
            yield {"c_event": "purchase", "c_category": favourite, "c_price": str(price)}


def _web_steps(
    chance: random.Random, times: Iterator[float], shopping: list[dict[str, str]]
) -> Iterator[Step]:
    synced = chance.random() < SYNCED_SHARE
    for number, signals in enumerate(shopping):
        if chance.random() < FAULTY_SHARE:
            yield Step(at_s=next(times), signals=signals, faulty=True)
        yield Step(at_s=next(times), signals=signals)
        if synced and number == 0:
            yield Step(at_s=next(times), sync=True)
    if synced and chance.random() < NEW_COOKIE_SHARE:
        yield Step(at_s=next(times), signals=shopping[0], fresh=True)
        yield Step(at_s=next(times), sync=True)
    elif chance.random() < OPT_OUT_SHARE:
        yield Step(at_s=next(times), opt_out=True)
        yield Step(at_s=next(times), signals=shopping[0])


def _app_lines(
    chance: random.Random,
    times: Iterator[float],
    shopping: list[dict[str, str]],
    ids: list[tuple[int, str]],
) -> Iterator[AppLine]:
    device = _advertising_id(chance)
    declared = [{"dpid": device[0], "id": device[1]}]
    ids.append(device)
    account = None
    if chance.random() < ACCOUNT_SHARE:
        account = {"dpid": ACCOUNT_DPID, "id": f"account-{chance.getrandbits(48):012x}", "state": 1}
        ids.append((ACCOUNT_DPID, str(account["id"])))
    region = chance.choice(REGIONS)
    for number, signals in enumerate(shopping):
        if chance.random() < FAULTY_SHARE:
            yield AppLine(next(times), chance.choice(FAULTY_LINES))
        known = [*declared, account] if account is not None and number >= 1 else declared
        yield _line(next(times), {"ids": known, "signals": signals, "region": region})
    if account is not None and chance.random() < LEAVING_SHARE:
        yield _line(next(times), {"ids": [account], "memberships": {str(LIKELY_TO_LEAVE): 1}})
        if chance.random() < 0.5:
            yield _line(next(times), {"ids": [account], "memberships": {str(LIKELY_TO_LEAVE): 0}})


def _advertising_id(chance: random.Random) -> tuple[int, str]:
    digits = f"{chance.getrandbits(128):032x}"
    text = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return (IOS_DPID, text.upper()) if chance.random() < 0.5 else (ANDROID_DPID, text)


def _line(at_s: float, event: dict[str, object]) -> AppLine:
    return AppLine(at_s, msgspec.json.encode(event))
