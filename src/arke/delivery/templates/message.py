"""What a body template is given: the facts of one message, and made-up messages to try a template on."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from arke.domain.message import SegmentState, UserEntry
from arke.domain.message_body import well_formed


class TemplateUser(msgspec.Struct, frozen=True, kw_only=True):
    """One user of a message with what only templates show. `partner_ids` maps DPID to id.

    Text that is not known is empty; `seen_ts` None means the time of the message.
    """

    entry: UserEntry
    partner_ids: dict[int, str] = {}
    user_agent: str = ""
    ip: str = ""
    seen_ts: int | None = None


class TemplateMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message to render. `generated_ts` is when the engine learnt of it; None means `process_ts`."""

    process_ts: float
    dpid: int
    client_id: str
    destination_id: int
    users: tuple[TemplateUser, ...]
    generated_ts: float | None = None

    @property
    def generation_time(self) -> int:
        return int(self.process_ts if self.generated_ts is None else self.generated_ts)

    def seen_time(self, user: TemplateUser) -> int:
        return int(self.process_ts) if user.seen_ts is None else user.seen_ts

    def random(self, user: TemplateUser) -> int:
        """31 bits that differ between messages and users, yet are the same when rendered again."""
        seed = f"{self.destination_id}\0{self.process_ts}\0{user.entry.uuid}\0{user.entry.partner_id}"
        digest = blake2b(well_formed(seed).encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big") >> 1


def segment_number(segment: SegmentState) -> str:
    """The segment's own id; a segment told without one is known by its alias."""
    return segment.alias if segment.segment_id is None else str(segment.segment_id)


def _sample(*users: TemplateUser) -> TemplateMessage:
    return TemplateMessage(
        process_ts=1_469_636_262, dpid=12345, client_id="74323", destination_id=423, users=users
    )


def _sample_user(
    uuid: str, partner_id: str, *, regions: tuple[int, ...], active: int, lost: int
) -> TemplateUser:
    segments = tuple(
        SegmentState(str(14356 + n), n < active, 1_469_636_242, 14356 + n) for n in range(active + lost)
    )
    return TemplateUser(
        entry=UserEntry(uuid, partner_id, regions, segments),
        partner_ids={12345: partner_id, 20914: 'quoted "id"'},
        user_agent="Mozilla/5.0",
        ip="192.0.2.1",
    )


SAMPLES = (
    _sample(
        _sample_user(
            "19393572368547369350319949416899715727", "4250948725049857", regions=(9, 6), active=2, lost=2
        ),
        _sample_user("05782407504875424568547369233199468997", 'a "b" \\ c', regions=(), active=1, lost=0),
        _sample_user("41223344556677889900112233445566778899", "x", regions=(9,), active=0, lost=1),
    ),
    _sample(_sample_user("19393572368547369350319949416899715727", "y", regions=(), active=0, lost=1)),
)
"""Made-up messages with and without regions, gained and lost segments, and characters that need escaping."""
