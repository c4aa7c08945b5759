"""Which IP addresses are public: everything else is somebody's inside, perhaps ours.

The lists are IANA's registries of special-purpose addresses (RFC 6890 and its updates) and the addresses at which clouds tell machines
about themselves. They are written out instead of asking the standard library, whose answers differ between its versions.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

IPAddress = IPv4Address | IPv6Address

_V4_REFUSED: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network (RFC 791)
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # shared by carriers (RFC 6598); Alibaba's metadata is in it
        "127.0.0.0/8",  # this machine
        "168.63.129.16/32",  # Azure's own services, at an address that looks public
        "169.254.0.0/16",  # link-local (RFC 3927): the metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments (RFC 6890); Oracle's metadata is in it
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.31.196.0/24",  # AS112 (RFC 7535)
        "192.52.193.0/24",  # AMT (RFC 7450)
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112 (RFC 7534)
        "198.18.0.0/15",  # benchmarks (RFC 2544)
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and the broadcast address
    )
)
_V6_GLOBAL: Final = IPv6Network("2000::/3")
"""All that is assigned to be routed (RFC 4291); the rest is loopback, private, link-local, multicast, or not assigned."""
_V6_REFUSED: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments (RFC 2928); Teredo, benchmarks and ORCHID are in it
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4 (RFC 3056): an IPv4 address inside
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation (RFC 9637)
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""IPv4 addresses as machines that have IPv6 alone reach them (RFC 6052)."""
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})
"""The middle of addresses that carry an IPv4 address in their last half (RFC 5214)."""
_PRIVATE: Final = tuple(
    [IPv4Network(network) for network in ("10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
    + [IPv6Network(network) for network in ("::1/128", "fc00::/7")]
)
_V6_METADATA: Final = IPv6Network("fd00:ec2::/32")


def is_public(address: IPAddress) -> bool:
    """Tell whether `address` is one of the public Internet, and so is every IPv4 address that it stands for."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _V4_REFUSED)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    if address not in _V6_GLOBAL or any(address in network for network in _V6_REFUSED):
        return False
    return (int(address) >> 32) & 0xFFFFFFFF not in _ISATAP


def is_public_or_private(address: IPAddress) -> bool:
    """Tell whether `address` is public, or one of this machine or its network: for development, never a cloud's metadata."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return is_public_or_private(address.ipv4_mapped)
    return is_public(address) or (
        any(address.version == network.version and address in network for network in _PRIVATE) and address not in _V6_METADATA
    )


def parsed(text: str) -> IPAddress | None:
    """Return the address that `text` writes, or `None` for a name."""
    try:
        return ip_address(text)
    except ValueError:
        return None
