"""One pod of an HTTP service: histograms of its requests, its process, and metrics of its own."""

import numpy as np
from scipy.special import ndtr

from pipelines.sources.simulation.exporters.clock import FloatArray
from pipelines.sources.simulation.exporters.company import App
from pipelines.sources.simulation.exporters.go_process import show_go, show_process
from pipelines.sources.simulation.exporters.page import Page, labelled
from pipelines.sources.simulation.exporters.timeline import Pod
from pipelines.sources.simulation.exporters.world import World

#: The default buckets of the Prometheus clients, in seconds.
EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: Handler, method, share of the requests, factor of the latency, and the codes of requests that do not fail.
HANDLERS = (
    ("/api/v1/{name}", "GET", 0.75, 1.0, (("200", 0.985), ("404", 0.015))),
    ("/api/v1/{name}", "POST", 0.25, 1.8, (("201", 0.99), ("400", 0.01))),
)


def show_pod(page: Page, world: World, app: App, pod: Pod, started: FloatArray) -> None:
    """Add everything that the pod exposes."""
    requests = world.pod_traffic(app, pod)
    _show_requests(page, world, app, pod, requests)
    cpu = 0.005 + requests * app.cpu_s * world.chunk.wobble(f"{pod.name}cpu", 0.05)
    memory = world.pod_memory(app, pod)
    fds = 25 + requests * world.latency(app) * 2
    show_process(page, world.chunk, cpu=cpu, memory=memory, started=started, fds=fds)
    show_go(page, world.chunk, pod.name, memory=memory, cpu=cpu, version="go1.22.5")
    page.gauge("app_build_info", 1, labelled(version=pod.version, goversion="go1.22.5"))
    _show_business(page, world, app, pod, requests)


def _show_requests(page: Page, world: World, app: App, pod: Pod, requests: FloatArray) -> None:
    """Each bucket counts its own Poisson number of requests; the sum is that of the buckets' usual latencies."""
    chunk, errors = world.chunk, world.error_share(app)
    rng = chunk.rng(pod.name, "requests")
    flag = world.timeline.first("feature_flag")
    is_flagged = np.asarray(chunk.times >= flag.at) if flag is not None and flag.what == app.name else False
    for handler, method, share, factor, codes in HANDLERS:
        # the feature flag sends more orders
        wanted = share + np.where(is_flagged, 0.1 if method == "POST" else -0.1, 0.0)
        outcomes = [(code, (1 - errors) * part) for code, part in codes] + [("500", errors)]
        shares = _bucket_shares(world.latency(app) * factor, app.spread)
        for code, part in outcomes:
            found = rng.poisson(requests * wanted * part * chunk.step_s * shares).astype(np.float64)
            labels = labelled(code=code, handler=handler.format(name=app.name), method=method)
            seconds = (found * MIDDLES[:, None]).sum(axis=0) * rng.uniform(0.97, 1.03, world.steps)
            page.histogram("http_request_duration_seconds", EDGES, found, labels, seconds)
    busy = requests * world.latency(app)
    page.gauge("http_requests_in_flight", rng.poisson(busy).astype(np.float64))


def _bucket_shares(median: FloatArray, spread: float) -> FloatArray:
    """The share of requests in each bucket, buckets x steps, the last one beyond all edges."""
    below = ndtr((np.log(np.array(EDGES))[:, None] - np.log(median)[None, :]) / spread)
    full = np.concatenate([np.zeros((1, len(median))), below, np.ones((1, len(median)))])
    return np.asarray(np.diff(full, axis=0))


#: A usual latency within each bucket.
MIDDLES = np.array([0.003, *np.sqrt(np.array(EDGES[:-1]) * np.array(EDGES[1:])), 14.0])


def _show_business(page: Page, world: World, app: App, pod: Pod, requests: FloatArray) -> None:
    """Metrics that only this company knows: orders by status, a queue of jobs, a cache."""
    chunk = world.chunk
    rng = chunk.rng(pod.name, "business")
    ordered = requests * 0.04 * (1 - world.error_share(app)) * chunk.step_s
    for status, share in (("completed", 0.93), ("rejected", 0.07)):
        page.counter(
            f"{app.name}_orders_total",
            rng.poisson(ordered * share).astype(np.float64),
            labelled(status=status),
        )
    waiting = 4 + 25 * world.traffic(app) / app.rps + 300 * world.batch()
    page.gauge(f"{app.name}_queue_depth", rng.poisson(waiting / world.alive(app.name)).astype(np.float64))
    hits = rng.poisson(requests * chunk.step_s * 0.9).astype(np.float64)
    misses = rng.poisson(requests * chunk.step_s * 0.1).astype(np.float64)
    page.counter("cache_hits_total", hits, labelled(cache="sessions"))
    page.counter("cache_misses_total", misses, labelled(cache="sessions"))
