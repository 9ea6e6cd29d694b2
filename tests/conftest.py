"""What every test shares: numerical libraries are imported as the commands import them."""

from flows.environment import one_thread_in_a_process

# Before any test imports NumPy: with as many threads as cores, small matrices mostly wait for one another.
one_thread_in_a_process()
