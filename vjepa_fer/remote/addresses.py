"""The address of something elsewhere goes in; it comes out checked, and without anything that only its owner may see.

An address is stored in manifests, caches and runs, and printed. So it may hold no secret: one with a name and a password in it, or with a
signature behind a ``?``, is refused. Who may read is settled where each library settles it.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from vjepa_fer.doors import not_one_of
from vjepa_fer.errors import RemoteError

PROTOCOLS = ("s3", "gs", "hf", "https", "http", "file", "memory")

CREDENTIALS = {
    "s3": "AWS_PROFILE or AWS_ACCESS_KEY_ID in the environment, ~/.aws, or the machine's role",
    "gs": "`gcloud auth application-default login`, or GOOGLE_APPLICATION_CREDENTIALS",
    "hf": "`hf auth login`, or HF_TOKEN",
    "https": "~/.netrc",
    "http": "~/.netrc",
}
"""Where the library of each looks for a name and a password: nowhere else may they stand."""

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]{0,20}://\S+", re.IGNORECASE)
_LONGEST = 2000  # a server may put megabytes into what a library says of it
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def checked_address(text: str) -> str:
    """`text` as an address that may be stored and shown.

    Raises
    ------
    RemoteError
        Another protocol, no bucket or host, a way out of the folder, or a secret in it.
    """
    protocol, _, rest = text.partition("://")
    protocol, shown = protocol.lower(), shown_address(text)
    if protocol not in PROTOCOLS:
        raise RemoteError(f"{shown}: {not_one_of('protocol', protocol, PROTOCOLS)}")
    host, _, path = rest.partition("/")
    if "@" in host or (protocol in ("http", "https") and re.search("[?#]", rest)):
        where = CREDENTIALS.get(protocol, "no secret is needed for it")
        raise RemoteError(
            f"{shown}: the address holds a password or a signature, which would end in caches and logs. Leave everything before @ "
            f"and behind ? away; who may read is looked up in: {where}"
        )
    if not (host or path) or _CONTROL.search(text) or ".." in path.split("/"):
        raise RemoteError(f"{shown}: expected {protocol}://BUCKET/FOLDER, without .. and line breaks")
    return f"{protocol}://{rest}".rstrip("/")


def shown_address(text: str) -> str:
    """An address without name, password and query."""
    protocol, sign, rest = text.partition("://")
    if not sign:
        return text
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{protocol}://{host.rpartition('@')[2]}{slash}{path}"


def without_secrets(text: str) -> str:
    """What a library says, on one line: every address in it is shown as :func:`shown_address` does."""
    return _ADDRESS.sub(lambda found: shown_address(found[0].rstrip("\"'),")), " ".join(text[:_LONGEST].split()))[:300]


def is_web(address: str) -> bool:
    """Whether it is a web server's: one that lists nothing, and that nothing can be sent to."""
    return urlsplit(address).scheme in ("http", "https")
