"""What the probe finds: its checks by name, their outcomes, and the report of them all."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Outcome = Literal["pass", "warn", "fail", "skip"]

CHECKS: Final = {
    "addresses": "the addresses that the name leads to",
    "tls": "TLS 1.2 or newer with a certificate that is trusted and matches",
    "token": "the token endpoint issues a bearer token",
    "answers_200": "a plain message is answered with 200",
    "in_time": "the answer is complete within 3000 ms",
    "small_response": "the body of the answer is at most 4 KB",
    "keep_alive": "the connection can be used again",
    "numbers_as_strings": "every number comes as a string, with leading zeros",
    "ten_users": "ten users in one message",
    "regions_absent": "a message without AAM_Regions",
    "free_text_segment": "a Segment_ID of free text",
    "pipe_id": "a DataPartner_UUID with a pipe",
    "long_uuid": "an AAM_UUID of 43 digits, as in Adobe's sample",
    "unknown_segment": "a Segment_ID the destination does not know",
    "repeat": "the same message again",
    "charset": "Content-Type: application/json; charset=utf-8",
    "other_methods": "the same message by other methods",
    "poisoned_user": "a user whom it may not know how to read, among good ones",
    "wrong_signature": "a message with a wrong signature is refused",
    "missing_signature": "a message without a signature is refused",
    "wrong_token": "a message with a wrong token is refused",
    "missing_token": "a message without a token is refused",
    "burst": "many messages at once",
    "token_life": "how long a token is good, and whether a second one ends it",
    "connection_life": "how long a connection is kept",
    "well_formed": "all answers were well-formed HTTP",
    "latency": "many messages in a row stay within 3000 ms",
    "status_0": "Status 0, which also takes back what the probe told",
}


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One check's outcome with its reason, and what a program may want to know of it."""

    name: str
    outcome: Outcome
    explanation: str
    facts: dict[str, object] = {}

    @property
    def title(self) -> str:
        return CHECKS[self.name]


class ProbeReport(msgspec.Struct, frozen=True, kw_only=True):
    """All checks in order. `passed` is false as soon as one failed; warnings do not count. `requests` were sent,
    the latency's and those for tokens included.
    """

    endpoint: str
    passed: bool
    requests: int
    checks: tuple[Check, ...]
