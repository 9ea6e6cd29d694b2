"""The memory of bodies is bounded over all requests, and one tenant cannot take all of it."""

import asyncio
from collections.abc import Iterator

import pytest

from serving.contract.errors import RefusedError
from serving.state.limits import BodyMemory, Message, read_body


def test_bodies_take_memory_until_it_is_used_up_and_give_it_back() -> None:
    memory = BodyMemory(100)
    one, other = memory.lease(), memory.lease()
    one.owner, other.owner = "acme", "globex"
    one.take(30)
    one.take(20)
    other.take(50)
    third = memory.lease()
    with pytest.raises(RefusedError, match="try again in") as refused:
        third.take(1)
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "2")
    one.release()
    one.release()
    third.take(50)


def test_one_tenant_gets_half_of_the_memory() -> None:
    memory = BodyMemory(100)
    leases = [memory.lease() for _ in range(3)]
    for lease, owner in zip(leases, ("acme", "acme", "globex"), strict=True):
        lease.owner = owner
    leases[0].take(50)
    with pytest.raises(RefusedError):
        leases[1].take(1)
    leases[2].take(50)


def test_a_body_takes_memory_while_it_arrives() -> None:
    memory = BodyMemory(100)
    lease = memory.lease()
    parts: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"x" * 20, "more_body": more} for more in (True, True, True, False)]
    )

    async def receive() -> Message:
        return next(parts)

    with pytest.raises(RefusedError, match="memory"):
        asyncio.run(read_body(receive, None, 1_000, lease))
    assert lease.size == 40
    lease.release()
    whole = iter([{"type": "http.request", "body": b"x" * 50}])

    async def receive_whole() -> Message:
        return next(whole)

    assert asyncio.run(read_body(receive_whole, "50", 1_000, memory.lease())) == b"x" * 50
