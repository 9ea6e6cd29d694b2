"""Which replicas are peers: the pods of one ReplicaSet, the instances of one service, the hosts of one pool."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.arrays import FloatArray, IntArray
from core.domain import Role, Series
from models.metrics.promql import PLACE_LABELS
from models.metrics.recipe import Recipe

#: The label of a pod names the replica, else the instance.
POD, INSTANCE = "pod", "instance"
#: Labels of disks: all disks of all replicas of a group are compared with each other.
DISK_LABELS = ("device", "volume")

_NUMBERED = re.compile(r"([a-z]+)\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerGroup:
    """Replicas that do the same work, and their values of one signal.

    Attributes:
        replicas: as series; they are not stored.
        times_s: of `recent`, in seconds since 1970.
        recent: shape (replicas, times), NaN = missing.
        past: one value an hour of the days before, shape (replicas, hours).
    """

    recipe: Recipe
    replicas: tuple[Series, ...]
    times_s: IntArray
    recent: FloatArray
    past: FloatArray

    @property
    def needs_past(self) -> bool:
        """Whether a replica must have changed to be an outlier.

        Load balancers send less traffic to canaries and to new replicas on purpose.
        """
        return self.recipe.role is Role.TRAFFIC


def peer_group(
    recipe: Recipe, series: Series, labels: Mapping[str, str], *, is_host: bool
) -> tuple[str, ...]:
    """Names the group of a replica; replicas with the same name are peers.

    Args:
        series: of the replica, with its service.
        labels: of the replica, as its source has them.
        is_host: the service is a host.
    """
    entity = [labels.get(name, "") for name in recipe.by if name not in (*DISK_LABELS, POD, INSTANCE)]
    place = [labels.get(name, "") for name in PLACE_LABELS]
    service = name_stem(series.service) if is_host else series.service
    return (service, labels.get("job", ""), pod_owner(labels.get(POD, "")), *place, *entity)


def pod_owner(pod: str) -> str:
    """What created a pod, by its name: a ReplicaSet with its hash, so that a canary or a new version is no peer.

    Examples:
        >>> [pod_owner(name) for name in ("shop-5d4f8c7b9-x2k4p", "shop-canary-7f9c6d5b8-abcde", "db-0", "")]
        ['shop-5d4f8c7b9', 'shop-canary-7f9c6d5b8', 'db', '']
    """
    return pod.rpartition("-")[0]


def name_stem(host: str) -> str:
    """The name of a host without what tells it from others of its pool.

    Examples:
        >>> [name_stem(name) for name in ("web1", "web12", "db1.example.com", "ip-10-0-3-7", "gke-pool-1-3f2a1b-x7qd")]
        ['web#', 'web#', 'db#.example.com', 'ip-#-#-#-#', 'gke-pool-#-#-#']
    """
    return "".join(_stem_of(part) for part in re.split(r"([-._])", host.lower()))


def _stem_of(part: str) -> str:
    match = _NUMBERED.fullmatch(part)
    if match:
        return f"{match[1]}#"
    return "#" if any(letter.isdigit() for letter in part) else part
