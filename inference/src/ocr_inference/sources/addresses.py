"""Which addresses are public: the only ones that a client's URL may lead to.

Python's `is_global` alone is not enough: it lets through multicast, addresses that hold another in
them (6to4, NAT64, ISATAP), and what clouds keep for themselves.
https://www.iana.org/assignments/iana-ipv4-special-registry
https://www.iana.org/assignments/iana-ipv6-special-registry
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

_NOT_PUBLIC_V4 = tuple(
    IPv4Network(network)
    for network in (
        "100.64.0.0/10",  # between a provider and its customers; Alibaba's metadata
        "168.63.129.16/32",  # Azure's host, reachable from its machines alone
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.88.99.0/24",  # 6to4 relays
    )
)

_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
"""All that was ever given out. Mapped, compatible, NAT64, local and multicast are outside of it."""

_NOT_PUBLIC_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: holds an IPv4 address
        "3fff::/20",  # documentation
    )
)

_ISATAP = 0x5EFE
_ISATAP_FLAGS = 0x02000000
"""An interface identifier `[02]00:5efe:a.b.c.d` holds an IPv4 address (RFC 5214, 6.1)."""


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could reach it, and so gains nothing by asking us to."""
    if isinstance(address, IPv4Address):
        return (
            address.is_global
            and not address.is_multicast
            and not address.is_reserved
            and not any(address in network for network in _NOT_PUBLIC_V4)
        )
    return (
        address in _GLOBAL_UNICAST_V6
        and address.is_global
        and address.scope_id is None
        and not any(address in network for network in _NOT_PUBLIC_V6)
        and (int(address) >> 32) & 0xFFFFFFFF & ~_ISATAP_FLAGS != _ISATAP
    )
