"""A URL as a client gave it, taken apart strictly.

Odd spellings are refused and not understood: two readers of one URL that disagree about its host
are how a check is passed by (`http://2130706433/`, `http://a@b/`, `http://0x7f.1/`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote, urljoin

from ocr_inference.sources.addresses import Address

LONGEST = 8192
"""Characters; presigned URLs have up to two thousand."""

PORTS = {"http": 80, "https": 443}
"""And no others: behind them are other protocols than HTTP."""

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[a-z0-9._-]{1,254}|\[[0-9a-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5})?)?"
    r"(?P<target>(?:[/?][^#]*)?)(?:#.*)?",
    re.IGNORECASE,
)
_NEVER = re.compile(r"[\x00-\x20\x7f\\]")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Blocked(Exception):
    """`reason` is for the metric. A client is told the same for all of them."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Target:
    """`host` is in lower case without a trailing dot or brackets, `address` is set where the URL
    names one, `path` holds the query as well and is ASCII."""

    scheme: str
    host: str
    port: int
    path: str
    address: Address | None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{self.path}"

    def redirected(self, location: str) -> Target:
        """Where `location` in the answer leads; not from https to http."""
        try:
            url = urljoin(str(self), location)
        except ValueError:  # brackets that hold no address
            raise Blocked("malformed") from None
        target = parse(url)
        if self.scheme == "https" and target.scheme != "https":
            raise Blocked("downgrade")
        return target


def parse(url: str) -> Target:
    """Raises `Blocked` for all that is no plain http or https URL on its scheme's own port."""
    found = None if len(url) > LONGEST or _NEVER.search(url) else _URL.fullmatch(url)
    if found is None:
        raise Blocked("malformed")
    scheme = found["scheme"].lower()
    port = int(found["port"] or PORTS[scheme])
    if port != PORTS[scheme]:
        raise Blocked("port")
    host, address = _host(found["host"].lower())
    path = found["target"] if found["target"].startswith("/") else f"/{found['target']}"
    # As browsers send it; everything ASCII is left as it was given.
    ascii_path = quote(path, safe="".join(map(chr, range(0x21, 0x7F))))
    return Target(scheme, host, port, ascii_path, address)


def is_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    """Whether `host` is in the list: a name, or `*.name` for every name below it. An empty list
    has every host."""
    return not allowed or any(
        host.endswith(entry[1:]) if entry.startswith("*.") else host == entry for entry in allowed
    )


def _host(written: str) -> tuple[str, Address | None]:
    if written.startswith("["):
        return written[1:-1], _address(written[1:-1])
    name = written.removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):  # browsers and C libraries read such a name as an address
        return name, _address(name)
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise Blocked("malformed")
    return name, None


def _address(written: str) -> Address:
    try:
        return ip_address(written)
    except ValueError:
        raise Blocked("malformed") from None
