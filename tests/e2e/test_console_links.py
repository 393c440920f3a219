"""Where the console leads: every link of every page that is reached from the first leads somewhere, also where it
is about what the catalog no longer has, or does not have yet.
"""

from __future__ import annotations

import json
import re
from html import unescape
from typing import TYPE_CHECKING, Any

from e2e.catalogs import catalog, destination
from e2e.console_visitor import Visitor
from e2e.engine_process import OPEN, EngineProcess

if TYPE_CHECKING:
    from pathlib import Path

PAGES = 400


def world(segments: list[int], destinations: list[int]) -> str:
    """A catalog with these."""
    found: dict[str, Any] = json.loads(
        catalog([destination(number, f"https://127.0.0.1:9/{number}") for number in destinations])
    )
    found["segments"] += [{"id": number, "name": f"Extra {number}", "rule": "1001T"} for number in segments]
    return json.dumps(found)


def links(body: str) -> set[str]:
    """Addresses within the console."""
    found = re.findall(r'<a [^>]*href="(/console/[^"#]*)', body)
    return {unescape(one) for one in found}


def walk(visitor: Visitor, first: str) -> dict[str, int]:
    """The status of every page that is reached."""
    found: dict[str, int] = {}
    waiting = [first]
    while waiting and len(found) < PAGES:
        target = waiting.pop(0)
        if target in found:
            continue
        reply = visitor.get(target)
        found[target] = reply.status
        waiting += sorted(links(reply.body.decode()) - found.keys())
    assert not waiting, f"{PAGES} pages are not all"
    return found


def test_every_link_leads_somewhere(tmp_path: Path) -> None:
    with EngineProcess(tmp_path, shards=1, settings=OPEN) as engine:
        engine.apply(world([70_001], [400, 401]))
        engine.apply(world([70_002], [400, 402]))
        engine.accept({"ids": [{"dpid": 12345, "id": "user1"}], "signals": {"c_see": "camera"}})
        visitor = Visitor(engine.admin)
        assert visitor.use(engine.client().create_token("admin", "links", None).secret).status == 303
        reached = walk(visitor, "/console/")
        assert {target: status for target, status in reached.items() if status != 200} == {}
        newer = visitor.get("/console/catalog/diff?old=1&new=2").body.decode()
        older = visitor.get("/console/catalog/diff?old=2&new=1").body.decode()
        for kind, there, gone in (("segment", 70_002, 70_001), ("destination", 402, 401)):
            for body in (newer, older):
                assert f"{kind} {gone}" in body
                assert f'href="/console/{kind}s/{gone}"' not in body
                assert f'href="/console/{kind}s/{there}"' in body
