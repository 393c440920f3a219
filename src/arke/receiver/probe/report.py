"""The probe's results as data, and the list of checks in the order they run."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Outcome = Literal["pass", "warn", "fail", "skip"]

CHECKS: Final = {
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
    "wrong_signature": "a message with a wrong signature is refused",
    "missing_signature": "a message without a signature is refused",
    "wrong_token": "a message with a wrong token is refused",
    "missing_token": "a message without a token is refused",
    "latency": "many messages in a row stay within 3000 ms",
    "status_0": "Status 0, which also takes back what the probe told",
}


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check's outcome with its reason."""

    name: str
    outcome: Outcome
    explanation: str

    @property
    def title(self) -> str:
        return CHECKS[self.name]


class ProbeReport(msgspec.Struct, frozen=True, kw_only=True):
    """All checks in order. `passed` is false as soon as one failed; warnings do not count."""

    endpoint: str
    passed: bool
    checks: tuple[Check, ...]
