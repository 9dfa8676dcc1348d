"""Hosts of the network: which are this machine, and which are given in digits."""

import ipaddress


def is_ip_address(host: str) -> bool:
    """Return whether a host is given as an IP address, in digits."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine itself, so that nothing sent to it passes a network."""
    name = host.strip("[]").lower()
    return name == "localhost" or (is_ip_address(name) and ipaddress.ip_address(name).is_loopback)
