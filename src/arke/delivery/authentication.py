"""What a request proves itself with besides signatures: secret header fields, HTTP Basic, and the token request."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from arke.delivery.https.request import carried
from arke.domain.secret_text import is_reference, name_and_password
from arke.errors import InvalidInput, SecretUnresolved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.delivery.secrets import Secrets
    from arke.domain.catalog import BasicAuth, Destination, OAuth2

AUTHORIZATION = "Authorization"

Fields = list[tuple[str, str]]


def secret_fields(destination: Destination, secrets: Secrets) -> Fields:
    """The header fields of a message that hold secrets, but for a token. Raises SecretUnresolved."""
    confined = destination.confined
    fields: Fields = []
    if destination.basic_auth is not None:
        fields.append((AUTHORIZATION, _basic(destination.basic_auth, secrets, confined=confined)))
    for one in destination.headers:
        if one.secret:
            value = secrets.value(one.value, confined=confined)
            if not carried(value):
                raise SecretUnresolved(f"{one.value}: the secret has characters that a header cannot carry")
            fields.append((one.name, value))
    return fields


def _basic(auth: BasicAuth, secrets: Secrets, *, confined: bool) -> str:
    """The value of the header Authorization. Raises SecretUnresolved."""
    if auth.pair is not None:
        try:
            name, password = name_and_password(secrets.value(auth.pair, confined=confined))
        except InvalidInput as error:
            raise SecretUnresolved(f"{auth.pair}: {error}") from None
    else:
        name = auth.username
        if is_reference(name):
            name = secrets.value(name, confined=confined)
        password = secrets.value(auth.password or "", confined=confined)
        if ":" in name:
            raise SecretUnresolved(f"{auth.username}: a user name must not hold a colon")
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def token_secrets(oauth: OAuth2, secrets: Secrets, *, confined: bool = False) -> tuple[str, ...]:
    """The values of all secrets of a token request, the credentials first. Raises SecretUnresolved."""
    references = [one.value for one in oauth.params if one.secret]
    if oauth.credentials is not None:
        references.insert(0, oauth.credentials)
    return tuple(secrets.value(one, confined=confined) for one in references)


def token_request(oauth: OAuth2, secrets: Sequence[str], user_agent: str) -> tuple[Fields, bytes]:
    """The header fields and the form of a token request, with the values of `token_secrets`. Raises InvalidInput
    where one cannot be sent.
    """
    values = iter(secrets)
    credentials = None if oauth.credentials is None else next(values)
    form = [("grant_type", "client_credentials")]
    fields = [("User-Agent", user_agent)]
    if credentials is not None and oauth.auth == "body":
        form += zip(("client_id", "client_secret"), name_and_password(credentials), strict=True)
    elif credentials is not None:
        if not carried(f"Basic {credentials}"):
            raise InvalidInput("it has characters that a header cannot carry")
        fields.append((AUTHORIZATION, f"Basic {credentials}"))
    form += [(one.name, next(values) if one.secret else one.value) for one in oauth.params]
    fields.append(("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8"))
    return fields, urlencode(form).encode()
