"""What the probe needs to know of a destination: from a URL and options, or from a catalog."""

from __future__ import annotations

import ssl
from pathlib import Path

import msgspec

from arke.catalog.load import load_catalog
from arke.delivery.https.egress import EgressPolicy
from arke.delivery.https.endpoint import Endpoint, parse_endpoint
from arke.errors import InvalidInput
from arke.receiver.references import resolve_secret
from arke.receiver.verifier import SigningKey


class ProbeTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint with everything needed to talk to it. Secrets are resolved, and kept out of `repr`."""

    endpoint: Endpoint
    client_id: str = "74323"
    destination_id: str = "423"
    user_dpid: int = 12345
    segment_id: str = "14356"
    keys: tuple[SigningKey, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    token_endpoint: Endpoint | None = None
    credentials: str = ""
    success: tuple[int, ...] = (200,)
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    allow_cidrs: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"ProbeTarget({self.endpoint})"

    def policy(self) -> EgressPolicy:
        return EgressPolicy(self.allow_cidrs)

    def tls_context(self) -> ssl.SSLContext:
        """Verification is always on; with a CA file only that CA is trusted."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(f"{self.ca_file}: cannot load the CA: {error}") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if self.client_cert is not None:
            try:
                context.load_cert_chain(self.client_cert, self.client_key)
            except (OSError, ssl.SSLError) as error:
                raise InvalidInput(f"{self.client_cert}: not a usable client certificate: {error}") from None
        return context


def target_from_catalog(file: Path, destination: str, *, allow_cidrs: tuple[str, ...]) -> ProbeTarget:
    """The destination with this id in a catalog file. CatalogError when the catalog cannot be applied."""
    catalog = load_catalog(file).catalog
    found = next((item for item in catalog.destinations if str(item.id) == destination), None)
    if found is None:
        listed = ", ".join(str(item.id) for item in catalog.destinations) or "none"
        raise InvalidInput(f"{file}: there is no destination {destination}; it lists: {listed}")
    oauth = found.oauth2
    target = ProbeTarget(
        endpoint=parse_endpoint(found.url),
        client_id=found.client_id,
        destination_id=str(found.id),
        user_dpid=found.user_dpids[0],
        keys=tuple(
            SigningKey(secret=resolve_secret(item.key), header=item.header, algorithm=item.algorithm)
            for item in found.signatures
        ),
        token_endpoint=None if oauth is None else parse_endpoint(oauth.token_url),
        credentials="" if oauth is None or oauth.credentials is None else text_secret(oauth.credentials),
        success=found.success,
        ca_file=_path(found.tls.ca_file),
        client_cert=_path(found.tls.client_cert),
        client_key=_path(found.tls.client_key),
        allow_cidrs=allow_cidrs,
    )
    segments = {segment.id: segment for segment in catalog.segments}
    for mapping in found.segments:
        if mapping.segment in segments:
            alias = found.alias(mapping, segments[mapping.segment])
            return msgspec.structs.replace(target, segment_id=alias)
    return target


def text_secret(reference: str) -> str:
    """A secret that goes into a header: it must be visible ASCII."""
    value = resolve_secret(reference)
    if not all(0x21 <= byte <= 0x7E for byte in value):
        raise InvalidInput(f"{reference}: the credentials must be visible ASCII without spaces")
    return value.decode("ascii")


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)
