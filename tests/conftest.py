"""What every test shares: numerical libraries are imported as the commands import them."""

from flows.environment import one_thread_in_a_process

# Before any test imports NumPy: with as many threads as cores, small matrices mostly wait for one another.
one_thread_in_a_process()

from hypothesis import settings  # noqa: E402 - it imports NumPy if NumPy is there

# `make soak` repeats property tests this often; `any_float.many_examples` says how often a usual run does.
settings.register_profile("soak", settings.get_profile("ci"), max_examples=10_000)
