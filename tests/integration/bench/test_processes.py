"""What the kernel tells of other processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from arke.bench.processes import cpu_s, listener, tree_cpu_s

BURN = "import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN!r}])
sys.stdout.write("burnt")
sys.stdout.flush()
sys.stdin.read()
"""


def test_who_listens_at_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listener(port) == os.getpid()
    assert listener(port) is None


def test_what_a_process_has_started_counts_also_once_it_has_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        assert parent.stdout.read(5) == b"burnt"
        assert tree_cpu_s(parent.pid) >= 0.2
        assert tree_cpu_s(os.getpid()) >= tree_cpu_s(parent.pid)
        parent.stdin.close()


def test_a_process_of_another_name_is_not_counted() -> None:
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    name = Path("/proc/self/comm").read_text().strip()
    assert cpu_s([os.getpid()], name) > 0
    assert cpu_s([os.getpid()], f"not {name}") == 0
