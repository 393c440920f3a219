"""`arke console`: a link that signs in once."""

from __future__ import annotations

import sys

from arke.cli.options import DATA, UNHEEDED, Config, Data, Insecure, Json, Token, Url, client, typed


def console(
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Print a link to the console that signs in once.

    With --url it may do what the token may, here everything.
    """
    import msgspec

    from arke.errors import InvalidInput

    if url is None and typed("token"):  # the link would do everything, for whoever asked for less
        raise InvalidInput(UNHEEDED)
    link = client(data, url, token, config, insecure=insecure).sign_in_link()
    if url is not None:  # the way that is known to work
        link = msgspec.structs.replace(link, url=url.rstrip("/") + link.path)
    if json:
        sys.stdout.write(msgspec.json.encode(link).decode() + "\n")
    else:
        sys.stdout.write(f"{link.url}\n")
        sys.stderr.write(f"it signs in once, until {link.expires}\n")
