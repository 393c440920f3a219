"""Runs within the sandbox of test_image.py, in place of a container: start, look, send, stop, and tell.

It has the container's Python and nothing of the tests.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import HTTPCookieProcessor, Request, build_opener, urlopen

PATIENCE_S = 240.0
CATALOG = """
data_sources: [{id: 12345, name: Shop, kind: cookie}]
traits: [{id: 1000, name: Camera, rule: 'c_category == "camera"'}]
segments: [{id: 14356, name: Cameras, rule: 1000T}]
destinations:
  - id: 423
    name: Acme
    url: https://dsp.example.com/segments/aam
    client_id: "74323"
    user_dpids: [12345]
    signatures: [{key: "file:/run/secrets/acme-key"}]
    segments: [{segment: 14356}]
"""
EVENT = b'{"ids": [{"dpid": 12345, "id": "abc"}], "signals": {"c_colour": "red"}}'


def healthy(check: list[str]) -> bool:
    return subprocess.run(check, capture_output=True).returncode == 0


def writes(folder: str) -> str:
    """The error with which a file cannot be made here, or nothing."""
    try:
        (Path(folder) / "probe").write_text("")
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    (Path(folder) / "probe").unlink()
    return ""


def arke(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["arke", *arguments], capture_output=True, text=True)


def accepted(token: str) -> object:
    request = Request("http://127.0.0.1:8080/v1/events", EVENT, {"Authorization": f"Bearer {token}"})
    with urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
        return json.loads(answer.read())


def console() -> dict[str, int]:
    """What the overview is made of, and how its server answers for each of them; signed in by a link."""
    link = arke("console").stdout.strip()
    browser = build_opener(HTTPCookieProcessor())
    browser.open(link, timeout=PATIENCE_S).read()
    page = browser.open("http://127.0.0.1:8081/console/", timeout=PATIENCE_S).read().decode()
    loaded = set(re.findall(r'(?:src|href)="(/console/static/[^"]+)"', page))
    return {one: browser.open(f"http://127.0.0.1:8081{one}", timeout=PATIENCE_S).status for one in loaded}


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    told: dict[str, object] = {"before": [healthy(check) for check in plan["health"]]}
    with subprocess.Popen(plan["starts"], stdout=sys.stderr) as engine:
        end = time.monotonic() + PATIENCE_S
        while not all(healthy(check) for check in plan["health"]):
            if engine.poll() is not None or time.monotonic() > end:
                sys.exit("the engine did not start")
        told["healthy"] = [healthy(check) for check in plan["health"]]
        told["user"] = os.getuid()
        status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
        told["capabilities"] = status["CapEff"]
        told["writes"] = {
            folder: writes(folder) for folder in ("/", "/opt/arke", "/etc/arke", "/data", "/tmp")
        }
        Path("/tmp/catalog.yaml").write_text(CATALOG)
        told["applied"] = arke("apply", "/tmp/catalog.yaml").returncode
        told["accepted"] = accepted(arke("token", "create", "--scope", "ingest").stdout.strip())
        told["console"] = console()
        engine.send_signal(signal.SIGTERM)
        told["ended"] = engine.wait(PATIENCE_S)
    told["explained"] = json.loads(arke("explain", "--id", "12345:abc", "--json").stdout)
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
