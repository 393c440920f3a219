"""What commands ask of an engine, whether it runs already or they open it themselves."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Protocol

from msgspec.structs import replace

from arke.api import parameters
from arke.api.table import (
    batches,
    callers,
    catalog,
    people,
    privacy,
    reconciliation,
    sources,
    state,
    undelivered,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from arke.api.endpoint import B, Endpoint, Listing, P, R
    from arke.api.session import FileProgress, Session
    from arke.onboarding.columns_file import Outgoing
    from arke.operations.callers import NewToken, TokenFacts
    from arke.operations.catalog import AppliedReport, Estimate
    from arke.operations.explain import Explanation
    from arke.operations.jobs import DestinationBatches, OwedDevice, Receipt, Refused, ReplayReport, RunFacts
    from arke.operations.privacy import Access, LiftAsk, LiftReport, PrivacyAsk, PrivacyReport
    from arke.operations.reconciliation import Counting, Samples, Statement
    from arke.operations.sign_in import SignInLink
    from arke.operations.sources import RefusedMessage
    from arke.operations.status import Status

BATCH_POLL_S = 0.2
"""How often a batch run that is followed is asked how far it is."""
POLL_S = 0.1


class Reach(Protocol):
    """A way to an engine."""

    def session(self, *, delivering: bool = False) -> AbstractContextManager[Session]:
        """`delivering`: what is asked is done when it is sent, so an engine of our own has to send."""
        ...


class Client:
    """The operations of one engine, as its admin API has them. Errors are raised as the engine raised them."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def ask(self, endpoint: Endpoint[P, B, R], given: P | None = None, body: B | BinaryIO | None = None) -> R:
        """One request to any endpoint. Raises ArkeError."""
        with self._reach.session() as engine:
            return engine.ask(endpoint, given, body)

    def every(self, listing: Listing[P, B, R], given: P | None = None) -> list[R]:
        """A whole list. Raises ArkeError."""
        with self._reach.session() as engine:
            return [*engine.every(listing, given)]

    def first(self, listing: Listing[P, B, R], given: P | None = None) -> list[R]:
        """The first page of a list. Raises ArkeError."""
        with self._reach.session() as engine:
            return engine.page(listing, given).items

    def status(self) -> Status:
        return self.ask(state.STATUS)

    def explain(self, uuid: str | None, partner: str | None) -> Explanation:
        return self.ask(people.EXPLAIN, parameters.Device(uuid, partner))

    def estimate(self, rule: str, sample: int | None) -> Estimate:
        return self.ask(catalog.ESTIMATE, parameters.Sample(sample), rule)

    def reconcile(
        self, segment: int, destination: int, show: Callable[[Counting], None], *, at_once: bool
    ) -> Statement:
        """Of a store that is too large to look at all at once, count all, unless `at_once`; `show` hears how far
        that is.
        """
        which, where = parameters.SegmentAt(segment, destination), parameters.OneDestination(destination)
        with self._reach.session() as engine:
            statement = engine.ask(reconciliation.STATEMENT, which)
            if statement.basis == "now" or at_once:
                return statement
            counting = engine.ask(reconciliation.COUNT, where)
            while counting.running:
                show(counting)
                engine.pause(BATCH_POLL_S)
                counting = engine.ask(reconciliation.SHOW_COUNT, where)
            show(counting)
            return engine.ask(reconciliation.STATEMENT, which)

    def sampled_users(self, destination: int, bucket: str, segment: int | None) -> Samples:
        return self.ask(reconciliation.SAMPLES, parameters.Bucket(destination, bucket, segment))

    def apply(self, path: Path, text: str, *, dry_run: bool) -> AppliedReport:
        file = parameters.CatalogFile(dry_run=dry_run, name=str(path), folder=str(path.resolve().parent))
        return self.ask(catalog.APPLY, file, text)

    def rollback(self, version: int | None, *, dry_run: bool) -> AppliedReport:
        return self.ask(catalog.ROLLBACK, parameters.Version(version, dry_run))

    def undelivered(self, destination: int | None) -> Iterator[OwedDevice]:
        with self._reach.session() as engine:
            yield from engine.each(undelivered.UNDELIVERED, parameters.AnyDestination(destination))

    def refused_of_sources(self, limit: int) -> list[RefusedMessage]:
        return self.ask(sources.REFUSED_OF_SOURCES, parameters.Newest(limit))

    def refusals(self, destination: int | None) -> list[Refused]:
        return self.ask(undelivered.REFUSALS, parameters.AnyDestination(destination))

    def replay(self, destination: int | None) -> ReplayReport:
        """Send what is owed; an engine of our own is stopped when it is sent."""
        with self._reach.session(delivering=True) as engine:
            report = engine.ask(undelivered.REPLAY, parameters.AnyDestination(destination))
            return replace(report, owed=engine.finish(destination))

    def batches(self) -> list[DestinationBatches]:
        return self.every(batches.LIST_BATCHES)

    def run_batch(
        self,
        destination: int,
        show: Callable[[RunFacts], None],
        *,
        resync: bool,
        restate: bool = False,
    ) -> RunFacts:
        """Begin a run and follow it to its end; `show` hears how far it is. `restate`: a resync with all 0s."""
        with self._reach.session(delivering=True) as engine:
            if resync:
                facts = engine.ask(batches.RESYNC, parameters.Resync(destination, restate))
            else:
                facts = engine.ask(batches.RUN_BATCH, parameters.OneDestination(destination))
            while facts.finished_at is None:
                show(facts)
                engine.pause(BATCH_POLL_S)
                facts = engine.ask(batches.SHOW_BATCH, parameters.OneBatch(facts.number, destination))
            show(facts)
            return facts

    def privacy_access(self, ask: PrivacyAsk) -> list[Access]:
        return self.ask(privacy.ACCESS, body=ask)

    def privacy_request(self, ask: PrivacyAsk, wait_s: float) -> list[PrivacyReport]:
        """The reports once the requests have ended, or after `wait_s`: the engine goes on by itself, or the next
        one does.
        """
        end = time.monotonic() + wait_s
        ended = []
        with self._reach.session(delivering=True) as engine:
            for report in engine.ask(privacy.REQUEST_PRIVACY, body=ask):
                one = parameters.OneRequest(report.number)
                while (
                    shown := engine.ask(privacy.SHOW_REQUEST, one)
                ).state != "done" and time.monotonic() < end:
                    engine.pause(POLL_S)
                ended.append(shown)
        return ended

    def privacy_lift(self, ask: LiftAsk) -> LiftReport:
        return self.ask(privacy.LIFT, body=ask)

    def privacy_list(self, before: int | None) -> list[PrivacyReport]:
        with self._reach.session() as engine:
            return engine.page(privacy.LIST_REQUESTS, parameters.Before(before)).items

    def privacy_show(self, number: int) -> PrivacyReport:
        return self.ask(privacy.SHOW_REQUEST, parameters.OneRequest(number))

    def onboard(self, files: Sequence[Outgoing], progress: FileProgress) -> Iterator[Receipt]:
        """Have files loaded, and wait until each is. None is unless every name is right."""
        with self._reach.session() as engine:
            yield from engine.load(files, progress)

    def sign_in_link(self) -> SignInLink:
        return self.ask(callers.SIGN_IN_LINK)

    def create_token(self, scopes: str, name: str, expires: str | None) -> NewToken:
        return self.ask(callers.CREATE_TOKEN, parameters.TokenWanted(scopes, name, expires))

    def list_tokens(self) -> list[TokenFacts]:
        return self.every(callers.LIST_TOKENS)

    def revoke_token(self, token_id: str) -> None:
        self.ask(callers.REVOKE_TOKEN, parameters.OneToken(token_id))
