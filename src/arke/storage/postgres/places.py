"""Where devices stand among a shard's profiles: at their hash, or behind others that were there first. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.traces import ERASED, found_again, is_trace
from arke.storage.keyed_hash import next_uid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from arke.domain.profile import Profile
    from arke.storage.keyed_hash import DeviceHashes


class Places:
    """What was looked at so far. `find` says what else has to be looked at, which is nothing for nearly all."""

    def __init__(self, hashes: DeviceHashes) -> None:
        self._hashes = hashes
        self._seen: dict[int, Profile | None] = {}
        self._hashed: dict[str, int] = {}

    def first(self, uuids: Iterable[str]) -> list[int]:
        """Where to look to begin with."""
        self._hashed = {uuid: self._hashes.uid(uuid) for uuid in uuids}
        return list(set(self._hashed.values()))

    def look(self, uids: Iterable[int], profiles: Mapping[int, Profile]) -> None:
        """Remember who stands at these uids: nobody, where there is no profile."""
        for uid in uids:
            self._seen[uid] = profiles.get(uid)

    def find(self, uuids: Iterable[str]) -> tuple[dict[str, tuple[int, Profile]], set[int], set[int]]:
        """Where these devices stand or, if they are not stored, will; the uids of the latter; and where to look
        before any of it counts. No two get one uid.
        """
        found: dict[str, tuple[int, Profile]] = {}
        fresh: set[int] = set()
        unseen: set[int] = set()
        for uuid in uuids:
            if uuid in found:
                continue
            uid = self._place(uuid, fresh)
            if uid not in self._seen:
                unseen.add(uid)
                continue
            profile = self._seen[uid]
            if profile is None or is_trace(profile):
                fresh.add(uid)
                profile = found_again(uuid, profile)
            found[uuid] = uid, profile
        return found, fresh, unseen

    def _place(self, uuid: str, fresh: set[int]) -> int:
        """The first place that is not another's, as far as was looked."""
        uid = self._hashed.get(uuid)
        if uid is None:
            uid = self._hashes.uid(uuid)
        while True:
            profile = self._seen.get(uid)
            taken = uid in fresh if profile is None else profile.uuid != uuid
            if not taken or (profile is not None and self._is_trace_of(uuid, profile)):
                return uid
            uid = next_uid(uid)

    def _is_trace_of(self, uuid: str, profile: Profile) -> bool:
        return is_trace(profile) and profile.uuid == ERASED + self._hashes.name(uuid)
