"""The cache that threads share gives each question its own value."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

from core.cache import NewestBySeries


def test_threads_that_ask_different_questions_of_one_series_never_get_the_value_of_another() -> None:
    cache = NewestBySeries[int]()
    together = Barrier(8)

    def ask(question: int) -> list[int]:
        together.wait()
        return [cache.get(1, question, lambda: question) for _ in range(2_000)]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ask, range(8)))
    assert found == [[question] * 2_000 for question in range(8)]


def test_only_the_newest_question_of_a_series_is_kept() -> None:
    cache, computed = NewestBySeries[str](), list[str]()

    def compute(value: str) -> str:
        computed.append(value)
        return value

    for question in ("now", "now", "later", "now"):
        assert cache.get(1, question, partial(compute, question)) == question
    assert cache.get(2, "now", lambda: compute("other series")) == "other series"
    assert computed == ["now", "later", "now", "other series"]
