"""A flood of the intake, in a process of its own: many clients send to one path as fast as the service takes it."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from servers.load import Address, Client, Tally, may_retry, post

JSON = "Content-Type: application/json\r\n"
SNAPPY = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n"


def flood(
    address: Address, path: str, bodies: Sequence[bytes], headers: str, clients: int, seconds: float
) -> Tally:
    """Send the bodies in turn by several clients, each with its own connection; what is refused is sent again."""
    tally = Tally()
    requests = [post(address, path, body, headers) for body in bodies]
    until = time.monotonic() + seconds

    def send(number: int) -> None:
        client = Client(address)
        while time.monotonic() < until:
            asked = time.monotonic()
            status, answered, body = client.ask(requests[number % len(requests)])
            tally.statuses[status] += 1
            if status < 300:
                tally.seconds.append(time.monotonic() - asked)
                number += clients
            elif may_retry(status, answered):
                time.sleep(0.1)
            else:
                tally.wrong.append(f"{status} {body[:300]!r}")
                break
        client.close()

    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(send, range(clients)))
    return tally
