"""Texts of replicas that differ: "shop: memory_bytes of pod shop-x2 at 2 GiB, its 5 peers at 0.9 GiB to 1 GiB"."""

from collections.abc import Mapping

from core.domain import Signal
from core.entities import entity_of
from core.formatting import format_duration, format_value

#: The name of the detector, and of the factor that tells about the peers.
PEERS = "peers"
#: Labels that may name a replica, and a disk of it.
_REPLICA, _PARTS = ("pod", "instance"), ("device", "volume")


def replica_name(service: str, labels: Mapping[str, str]) -> str:
    """What people call a replica; empty: the replica is a host, and a service of its own.

    Examples:
        >>> replica_name("shop", {"pod": "shop-x2", "instance": "10.0.0.1:80"}), replica_name("web1", {})
        ('pod shop-x2', '')
        >>> replica_name("web1", {"instance": "web1:9100", "device": "sda"})
        'device sda'
    """
    words = [f"{name} {labels[name]}" for name in _PARTS if labels.get(name)]
    for name in _REPLICA:
        if labels.get(name):
            if name == "pod" or entity_of(service, {name: labels[name]}):
                words.insert(0, f"{name} {labels[name]}")
            break
    return " ".join(words)


def peers_text(count: int, low: float, high: float, unit: str) -> str:
    """`its 5 peers at 0.11 s to 0.14 s`."""
    lowest, highest = format_value(low, unit), format_value(high, unit)
    return f"its {count} peers at {lowest}" + ("" if lowest == highest else f" to {highest}")


def usual_share(expected: float, unit: str) -> str:
    """The value of a replica whose peers are unequal, so that their values do not tell what is wrong."""
    return f"its usual share is {format_value(expected, unit)}"


def is_about_peers(signal: Signal) -> bool:
    """Whether a signal is about a replica that differs from its peers."""
    return any(one.detector == PEERS for one in signal.detectors)


def peer_value(signal: Signal) -> str:
    """`memory_bytes of pod shop-x2 at 2 GiB, its 5 peers at ...`."""
    replica = replica_name(signal.service, signal.labels)
    value = "" if signal.value is None else f" at {format_value(signal.value, signal.unit)}"
    peers = next((f", {one.text}" for one in signal.factors if one.name == PEERS), "")
    return f"{signal.metric}{f' of {replica}' if replica else ''}{value}{peers}"


def peer_summary(signal: Signal, lasted_s: float) -> str:
    """One sentence about a replica that differs from its peers."""
    return f"{signal.service}: {peer_value(signal)}, for {format_duration(lasted_s)}"
