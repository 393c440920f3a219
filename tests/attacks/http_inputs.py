"""What a fuzzer sends: mutations of good requests, and junk by HTTP's own grammar. A seed makes the same bytes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from attacks.doors import Door

MARK: Final = "mark8151x"
"""In every input: what may not turn up in a log."""
UUID: Final = "0" * 30 + "12345678"

METHODS: Final = ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PRI", "get", "FOO", ""]
VERSIONS: Final = ["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "http/1.1", "HTTP/1.", "HTCPCP/1.0", ""]
ENDS: Final = ["\n", "\r", "\r\r\n", "\n\n", " \r\n"]
HOSTS: Final = ["127.0.0.1", "[::1]:1", "evil.example", "", "a b", "[", "localhost:99999", "\xff", ","]
TARGETS: Final = {
    "intake": ["/event", "/event?d_rtbd=json", "/ibs:dpid=1&dpuuid=x", "/demoptout", "/v1/events", "/id?d_cb=f",
               "/event?d_rd=https%3A%2F%2Fa%2F%3F%25d_x%25", "/event?gdpr=1&gpp=DBABBg~BVqqqqpY", "/dest5.html",
               "/healthz", "/readyz"],
    "admin": ["/v1/status", "/v1/explain?uuid=1", "/v1/catalog", "/v1/estimate", "/v1/onboard?name=x", "/metrics",
              "/v1/privacy/requests", "/healthz", "/v1/tokens", "/v1/batches/1?destination=1", "/v1/undelivered"],
    "socket": ["/v1/explain?uuid=1", "/v1/explain?id=1:x", "/v1/estimate?sample=5", "/v1/catalog?dry_run=1",
               "/healthz",
               "/v1/batches/1?destination=1", "/v1/onboard/x", "/v1/undelivered?destination=1", "/v1/audit?after=1",
               "/v1/privacy/requests?before=1", "/v1/onboard?name=x&check=1", "/metrics", "/v1/tokens/x"],
}  # fmt: skip
QUERY: Final = [
    "?",
    "&",
    "=",
    "%",
    "%zz",
    "%00",
    "%ff",
    "%C2%A0",
    "%C2%B2",
    "=%D9%A3",
    "+",
    "#",
    ";",
    "//",
    "..",
    "%2e%2f",
    "é",
    "\x7f",
]
NAMES: Final = [
    "Content-Length", "Transfer-Encoding", "Connection", "Expect", "Upgrade", "Authorization", "Content-Encoding",
    "Content-Type", "Cookie", "X-Forwarded-For", "Origin", "Accept", "Referer", "TE", "Trailer", "Range", "X", "",
    "Host ", " Host", "X\0", "X:Y", "(", "\xe9",
]  # fmt: skip
VALUES: Final = [
    "0", "1", "5", "-1", "+5", "5,5", "0x5", "5 5", "99999999999999999999", "9" * 400, "chunked", "Chunked", "gzip",
    "gzip, chunked", "chunked, chunked", "identity", "xchunked", "close", "keep-alive", "Upgrade", "websocket",
    "h2c",
    "100-continue", "200-ok", "Bearer arke_x", "Bearer", "Basic eDp5", f"demdex={UUID}", "demdex=x; demdex=y",
    "=;=;;",
    "application/x-www-form-urlencoded", "text/plain", "application/json", "gzip", "br", "1.2.3.4, 5.6.7.8", "null",
    "", "\0", "\x01", "\t", "\xff\xfe", "a\r\n b", "a\rb", "a\nb", "x" * 5_000, "x" * 70_000,
]  # fmt: skip
BODIES: Final = [
    "", "{}", "{}\n", "c_a=1", '{"traits":[1]}\n' * 3, "\0\xff", "x" * 5_000, "[" * 2_000,
    '{"ids":[{"dpid":1,"id":"x"}]}',
    "5\r\nhello\r\n0\r\n\r\n", "0\r\n\r\n", "0\r\nX: y\r\n\r\n", "5;a=b\r\nhello\r\n0\r\n\r\n",
    "fffffffffffffffff\r\n",
    "-1\r\n", "5\r\nhel", "5\nhello\n0\n\n", "zz\r\n", "1\r\nx\r\n" * 50, "1\r\nxx",
    f"5;{'x' * 3_000}\r\nhello\r\n0\r\n\r\n",
]  # fmt: skip


def inputs(seed: int, count: int, door: Door) -> Iterator[tuple[int, bytes]]:
    """`count` inputs for a door, each with the seed that makes it again: `one(seed, door)`."""
    for number in range(seed, seed + count):
        yield number, one(number, door)


def one(seed: int, door: Door) -> bytes:
    chance = random.Random(f"{seed} {door}")
    made = chance.choice(MAKERS)(chance, door)
    for _ in range(chance.choice([0, 0, 0, 0, 1, 1, 2, 5])):
        made = chance.choice(CHANGES)(chance, made)
    return made[:200_000]


def _good(chance: random.Random, door: Door) -> bytes:
    """A request that a door takes, or refuses by its own rules."""
    target = chance.choice(TARGETS[door])
    host = f"Host: localhost\r\nX-Mark: {MARK}\r\n"
    if chance.random() < 0.5:
        return f"GET {target} HTTP/1.1\r\n{host}\r\n".encode()
    body = chance.choice(BODIES).encode("latin-1")
    if chance.random() < 0.5:
        return f"POST {target} HTTP/1.1\r\n{host}Content-Length: {len(body)}\r\n\r\n".encode() + body
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]) if part)
    return (
        f"POST {target} HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"
    )


def _grammar(chance: random.Random, door: Door) -> bytes:
    """Every part by itself is something that HTTP knows, or nearly; most of them are in order."""

    def mostly(good: str, odd: list[str]) -> str:
        return good if chance.random() < 0.9 else chance.choice(odd)

    end = mostly("\r\n", ENDS)
    path = chance.choice(TARGETS[door])
    long = "x" * chance.choice([9_000, 70_000])
    odd = [path + "".join(chance.choices(QUERY, k=chance.randint(1, 6))) for _ in range(9)]
    odd += [f"http://{host}{path}" for host in HOSTS]
    odd += [
        "http://localhost" + path,
        "localhost:80",
        "*",
        "",
        "/",
        "//",
        "x",
        f"/{MARK}",
        f"/{long}",
        f"{path}?{long}",
    ]
    gap = mostly(" ", ["", "  ", "\t"])
    method = mostly(chance.choice(["GET", "POST"]), METHODS)
    target = path if chance.random() < 0.6 else chance.choice(odd)
    lines = [f"{method}{gap}{target}{gap}{mostly('HTTP/1.1', VERSIONS)}", f"X-Mark: {MARK}"]
    hosts = 1 if chance.random() < 0.93 else chance.choice([0, 2])
    lines += [f"Host: {mostly('localhost', HOSTS)}" for _ in range(hosts)]
    for _ in range(chance.choice([0, 0, 0, 1, 1, 2, 3, 200])):
        lines.append(f"{chance.choice(NAMES)}{mostly(': ', [':', ' : ', '', '::'])}{chance.choice(VALUES)}")
    return (end.join(lines) + end + end + chance.choice(BODIES)).encode("latin-1", "replace")


def _framing(chance: random.Random, door: Door) -> bytes:
    """Contradictions about where a body ends."""
    lines = [f"POST {chance.choice(TARGETS[door])} HTTP/1.1", "Host: localhost", f"X-Mark: {MARK}"]
    lines += [
        f"{chance.choice(NAMES[:2])}{chance.choice([': ', ':', ' : '])}{chance.choice(VALUES[:17])}"
        for _ in range(chance.randint(1, 3))
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + chance.choice(BODIES)).encode("latin-1")


def _pipeline(chance: random.Random, door: Door) -> bytes:
    count = chance.choice([2, 3, 20, 60])
    return b"".join(chance.choice([_good, _good, _grammar])(chance, door) for _ in range(count))


def _noise(chance: random.Random, door: Door) -> bytes:
    begin = [b"", b"\x16\x03\x01\x02\x00\x01\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n" * 9]
    return chance.choice(begin) + chance.randbytes(chance.choice([1, 20, 400, 20_000]))


MAKERS: Final[list[Callable[[random.Random, Door], bytes]]] = [
    _good, _good, _good, _good, _grammar, _grammar, _grammar, _grammar, _framing, _pipeline, _noise,
]  # fmt: skip


def _flip(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data) or 1)
    return data[:at] + chance.randbytes(1) + data[at + 1 :]


def _cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _drop(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data) or 1)
    return data[:at] + data[at + chance.choice([1, 2, 10]) :]


def _insert(chance: random.Random, data: bytes) -> bytes:
    at = chance.randrange(len(data) + 1)
    what = chance.choice([b"\0", b"\r", b"\n", b" ", b":", b"\xff", b"%", b"\r\n", b"\r\n\r\n", b"x" * 300])
    return data[:at] + what + data[at:]


def _repeat(chance: random.Random, data: bytes) -> bytes:
    at, size = chance.randrange(len(data) or 1), chance.choice([1, 10, 100])
    return data[:at] + data[at : at + size] * chance.choice([2, 50]) + data[at:]


CHANGES: Final[list[Callable[[random.Random, bytes], bytes]]] = [
    _flip, _flip, _cut, _drop, _insert, _insert, _repeat,
]  # fmt: skip
