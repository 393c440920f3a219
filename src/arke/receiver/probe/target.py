"""What the probe needs to know of a destination: from a URL and options, or from a catalog."""

from __future__ import annotations

import ssl
from pathlib import Path

import msgspec

from arke.catalog.load import load_catalog
from arke.delivery.authentication import secret_fields, token_request, token_secrets
from arke.delivery.https.egress import EgressPolicy
from arke.delivery.https.endpoint import Endpoint, parse_endpoint
from arke.delivery.https.proxy import ProxySetting
from arke.delivery.secrets import Secrets
from arke.delivery.signing import webhook_keys_of
from arke.domain.catalog import Catalog, HttpMethod, OAuth2
from arke.errors import InvalidInput
from arke.receiver.references import resolve_secret
from arke.receiver.verifier import SigningKey


class ProbeTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint with everything needed to talk to it. Secrets are resolved, and kept out of `repr`.

    A token is asked for as `oauth` says, with `credentials` and the secrets of its parameters.
    """

    endpoint: Endpoint
    client_id: str = "74323"
    destination_id: str = "423"
    user_dpid: int = 12345
    segment_id: str = "14356"
    keys: tuple[SigningKey, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    method: HttpMethod = "POST"
    content_type: str = "application/json"
    webhook_keys: tuple[bytes, ...] = ()
    token_endpoint: Endpoint | None = None
    credentials: str = ""
    oauth: OAuth2 = OAuth2(token_url="", credentials="")
    param_secrets: tuple[str, ...] = ()
    success: tuple[int, ...] = (200,)
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    allow_cidrs: tuple[str, ...] = ()
    proxy: str = ""

    def __repr__(self) -> str:
        return f"ProbeTarget({self.endpoint})"

    def policy(self) -> EgressPolicy:
        return EgressPolicy(self.allow_cidrs)

    def way_out(self) -> ProxySetting | None:
        """The proxy that everything leaves through, as `egress.proxy` has it. Raises InvalidInput."""
        return ProxySetting(self.proxy, Secrets()) if self.proxy else None

    def token_form(self, user_agent: str) -> tuple[list[tuple[str, str]], bytes]:
        """Header fields and body of the request for a token. Raises InvalidInput."""
        credentials = () if self.oauth.credentials is None else (self.credentials,)
        return token_request(self.oauth, (*credentials, *self.param_secrets), user_agent)

    def tls_context(self) -> ssl.SSLContext:
        """Verification is always on; with a CA file only that CA is trusted."""
        return _context(self.ca_file, self.client_cert, self.client_key)

    def token_tls_context(self) -> ssl.SSLContext:
        """The same for the token endpoint, which may have TLS of its own."""
        tls = self.oauth.tls
        if tls is None:
            return self.tls_context()
        return _context(_path(tls.ca_file), _path(tls.client_cert), _path(tls.client_key))


def _context(ca_file: Path | None, client_cert: Path | None, client_key: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(f"{ca_file}: cannot load the CA: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if client_cert is not None:
        try:
            context.load_cert_chain(client_cert, client_key)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(f"{client_cert}: not a usable client certificate: {error}") from None
    return context


def target_from_catalog(file: Path, destination: str, *, allow_cidrs: tuple[str, ...]) -> ProbeTarget:
    """The destination with this id in a catalog file. CatalogError when the catalog cannot be applied."""
    return target_in(load_catalog(file).catalog, str(file), destination, allow_cidrs=allow_cidrs)


def target_in(catalog: Catalog, where: str, destination: str, *, allow_cidrs: tuple[str, ...]) -> ProbeTarget:
    """The destination with this id in a catalog, which is `where` for people. Raises InvalidInput."""
    found = next((item for item in catalog.destinations if str(item.id) == destination), None)
    if found is None:
        listed = ", ".join(str(item.id) for item in catalog.destinations) or "none"
        raise InvalidInput(f"{where}: there is no destination {destination}; it lists: {listed}")
    oauth, secrets = found.oauth2, Secrets()
    constants = ((one.name, one.value) for one in found.headers if not one.secret)
    webhooks = found.standard_webhooks
    target = ProbeTarget(
        endpoint=parse_endpoint(found.url),
        client_id=found.client_id,
        destination_id=str(found.id),
        user_dpid=found.user_dpids[0],
        keys=tuple(
            SigningKey(
                secret=resolve_secret(item.key),
                header=item.header,
                algorithm=item.algorithm,
                encoding=item.encoding,
                prefix=item.prefix,
                signs=item.signs,
                timestamp_header=item.timestamp_header,
            )
            for item in found.signatures
        ),
        headers=(*constants, *secret_fields(found, secrets)),
        method=found.method,
        content_type=found.content_type,
        webhook_keys=() if webhooks is None else tuple(webhook_keys_of(webhooks, secrets)),
        token_endpoint=None if oauth is None else parse_endpoint(oauth.token_url),
        credentials="" if oauth is None or oauth.credentials is None else text_secret(oauth.credentials),
        oauth=oauth or OAuth2(token_url="", credentials=""),
        param_secrets=() if oauth is None else _param_secrets(oauth, secrets),
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


def _param_secrets(oauth: OAuth2, secrets: Secrets) -> tuple[str, ...]:
    return token_secrets(msgspec.structs.replace(oauth, credentials=None), secrets)


def text_secret(reference: str) -> str:
    """A secret that goes into a header: it must be visible ASCII."""
    value = resolve_secret(reference)
    if not all(0x21 <= byte <= 0x7E for byte in value):
        raise InvalidInput(f"{reference}: the credentials must be visible ASCII without spaces")
    return value.decode("ascii")


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)
