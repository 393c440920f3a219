"""What stays of devices that withdrew, so that what was decided before and comes late does not count."""

from __future__ import annotations

from typing import Final

from arke.domain.profile import Bar, Profile

ERASED: Final = "~"
"""Begins what stands in the place of the UUID where only a `Bar` is kept; a keyed hash follows."""


def trace_of(name: str, profile: Profile, edition: int) -> Profile:
    """What stays of a device that is erased where late events may come: its bar, under the hash of its UUID."""
    return Profile(ERASED + name, opted_out=profile.opted_out, bar=Bar(edition, erased=True))


def is_trace(profile: Profile) -> bool:
    """Whether only the bar of a device is left, which is not stored then."""
    return profile.uuid.startswith(ERASED)


def found_again(uuid: str, trace: Profile | None) -> Profile:
    """The profile of a device that is not stored, of which there may be a trace."""
    if trace is None:
        return Profile(uuid)
    return Profile(uuid, opted_out=trace.opted_out, bar=trace.bar)


def is_erased(profile: Profile) -> bool:
    """Whether all that is left of a device is what keeps late events out, or that it opted out."""
    return profile.bar is not None and profile.bar.erased


def admits(profile: Profile, edition: int) -> bool:
    """Whether something counts that was decided about this device, barred or opted out, by an edition of the
    suppression list; 0: that need not be asked. If the device had withdrawn, that was lifted since, and it is back.
    """
    if edition <= (profile.bar.edition if profile.bar is not None else 0):
        return False
    if profile.opted_out:
        profile.opted_out = 0
        if profile.bar is not None:
            profile.bar = Bar(profile.bar.edition)
    return True
