"""A machine as people run it: nginx, a web shop, PostgreSQL and Redis under load, each with Debian's exporter."""

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import redis

from pipelines.processes.server_process import ServerProcess, free_port, start_server
from pipelines.stores.server_user import choose_server_user

PROGRAMS = (
    "nginx", "redis-server", "prometheus", "promtool", "prometheus-node-exporter", "prometheus-postgres-exporter",
    "prometheus-redis-exporter", "prometheus-nginx-exporter", "prometheus-blackbox-exporter", "mkfs.ext4",
)  # fmt: skip
DISK_MB = 400
#: What is used of the small disk while nothing is wrong.
FIRST_DISK_SHARE = 0.4
MOST_CONNECTIONS = 60
REDIS_MB = 64
REQUESTS_PER_S = 12.0
SCRAPE_S = 15
SHOP = Path(__file__).with_name("shop.py")


def missing_programs() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program) is None]


@dataclass
class RealFleet:
    """The running servers, and the faults that a test can cause."""

    folder: Path
    ports: dict[str, int]
    stack: ExitStack
    servers: dict[str, ServerProcess] = field(default_factory=dict)
    held: list[psycopg.Connection[tuple[object, ...]]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def disk(self) -> Path:
        return self.folder / "disk"

    @property
    def dsn(self) -> str:
        return f"host=127.0.0.1 port={self.ports['postgres']} user=postgres dbname=postgres"

    @property
    def prometheus_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['prometheus']}"

    def start(self, name: str, *command: object, ready: str | None = None, **environment: str) -> None:
        port = self.ports.get(name, 0)
        server = start_server(
            name,
            [str(part) for part in command],
            url=f"http://127.0.0.1:{port}",
            log=self.folder / f"{name}.log",
            env={**os.environ, **environment},
        )
        self.stack.callback(server.stop)
        self.servers[name] = server
        if ready is not None:
            server.wait_until_ready(ready)

    def start_shop(self, release: int) -> None:
        """Start a release of the shop, instead of the running one."""
        if "shop" in self.servers:
            self.servers["shop"].stop()
        port, redis_url = self.ports["shop"], f"redis://127.0.0.1:{self.ports['redis']}"
        self.start("shop", sys.executable, SHOP, port, self.dsn, redis_url, release, ready="/metrics")

    def start_prometheus(self) -> None:
        self.start(
            "prometheus", "prometheus", f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}", "--storage.tsdb.retention.time=60d",
            f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}", "--log.level=error", ready="/-/ready",
        )  # fmt: skip

    def kill(self, name: str) -> None:
        self.servers[name].stop()

    def break_shop(self, *, errors: float = 0.0, leak_kb: int = 0) -> None:
        url = f"http://127.0.0.1:{self.ports['shop']}/fault?errors={errors}&leak_kb={leak_kb}"
        httpx.post(url, trust_env=False).raise_for_status()

    def take_connections(self, count: int) -> None:
        """Open so many connections more, as a pool that never gives one back."""
        self.held += [psycopg.connect(self.dsn) for _ in range(count)]

    def give_connections_back(self) -> None:
        while self.held:
            self.held.pop().close()

    def write_to_disk(self, megabytes: float) -> None:
        """Append to a file on the small disk, and stop where it is full."""
        with (self.disk / "log").open("ab") as file:
            try:
                file.write(os.urandom(int(megabytes * 1e6)))
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                return

    def write_to_redis(self, megabytes: float) -> None:
        client = redis.Redis(port=self.ports["redis"])
        for _ in range(int(megabytes * 10)):
            try:
                client.set(f"leak:{random.random()}", os.urandom(100_000))
            except redis.ResponseError:  # it is full
                return

    def start_nginx_exporter(self) -> None:
        self.start(
            "nginx_exporter", "prometheus-nginx-exporter",
            f"--nginx.scrape-uri=http://127.0.0.1:{self.ports['nginx']}/stub_status",
            f"--web.listen-address=127.0.0.1:{self.ports['nginx_exporter']}", ready="/metrics",
        )  # fmt: skip

    def mend(self) -> None:
        """Undo all that was broken: the state is again the one before the first fault."""
        (self.disk / "log").unlink()
        self.write_to_disk(FIRST_DISK_SHARE * DISK_MB)
        redis.Redis(port=self.ports["redis"]).flushall()
        self.give_connections_back()
        self.start_nginx_exporter()
        self.start_shop(1)

    def load(self) -> None:
        """Requests at random moments, until the servers stop."""
        url = f"http://127.0.0.1:{self.ports['nginx']}/order"

        def ask() -> None:
            with httpx.Client(trust_env=False, timeout=10) as client:
                while not self.stopped.wait(random.expovariate(REQUESTS_PER_S / 4)):
                    try:
                        client.get(url)
                    except httpx.HTTPError:
                        time.sleep(0.5)

        for _ in range(4):
            threading.Thread(target=ask, daemon=True).start()


@contextmanager
def real_fleet(folder: Path) -> Iterator[RealFleet]:
    """Start everything; the small disk is an ext4 file system in a file, which needs root."""
    folder.chmod(0o755)
    names = ("nginx", "shop", "postgres", "redis", "prometheus", "node", "postgres_exporter", "redis_exporter",
             "nginx_exporter", "blackbox")  # fmt: skip
    ports = {name: free_port() for name in names}
    with ExitStack() as stack:
        fleet = RealFleet(folder, ports, stack)
        stack.callback(fleet.stopped.set)
        stack.callback(fleet.give_connections_back)
        _mount(fleet)
        _start_postgres(fleet)
        fleet.start(
            "redis", "redis-server", "--port", ports["redis"], "--maxmemory", f"{REDIS_MB}mb", "--save", "",
            "--maxmemory-policy", "noeviction", "--dir", folder,
        )  # fmt: skip
        time.sleep(1)
        fleet.start_shop(1)
        _start_nginx(fleet)
        _start_exporters(fleet)
        (folder / "prometheus.yml").write_text(_prometheus_config(fleet))
        fleet.start_prometheus()
        fleet.load()
        yield fleet


def _mount(fleet: RealFleet) -> None:
    image = fleet.folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(DISK_MB * 1_000_000)
    fleet.disk.mkdir()
    subprocess.run(["mkfs.ext4", "-q", image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", image, fleet.disk], check=True, capture_output=True)
    fleet.stack.callback(_unmount, fleet.disk)
    fleet.write_to_disk(FIRST_DISK_SHARE * DISK_MB)


def _unmount(disk: Path) -> None:
    subprocess.run(["umount", "--lazy", disk], check=False)


def _start_postgres(fleet: RealFleet) -> None:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    user = choose_server_user([])
    cluster = fleet.folder / "postgres"
    cluster.mkdir()
    user.own(cluster)
    initdb = user.run(
        [programs / "initdb", "-D", cluster, "-U", "postgres", "--auth=trust", "-E", "UTF8"], 60
    )
    assert initdb.returncode == 0, initdb.stderr
    options = (
        f"-c port={fleet.ports['postgres']} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        f" -c max_connections={MOST_CONNECTIONS}"
    )
    log = cluster / "log"
    started = user.run([programs / "pg_ctl", "start", "-w", "-D", cluster, "-l", log, "-o", options], 60)
    assert started.returncode == 0, started.stdout + started.stderr
    fleet.stack.callback(user.run, [programs / "pg_ctl", "stop", "-w", "-m", "fast", "-D", cluster], 60)


def _start_nginx(fleet: RealFleet) -> None:
    folder = fleet.folder / "nginx"
    folder.mkdir()
    temporary = "".join(
        f"{kind}_temp_path {folder / kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"pid {folder / 'pid'}; error_log {folder / 'error.log'}; worker_processes 1; daemon off; events {{}}\n"
        f"http {{ access_log off; {temporary}\n"
        f"server {{ listen 127.0.0.1:{fleet.ports['nginx']}; location /stub_status {{ stub_status; }}\n"
        f"location / {{ proxy_pass http://127.0.0.1:{fleet.ports['shop']}; }} }} }}\n"
    )
    fleet.start("nginx", "nginx", "-c", config, "-p", folder, ready="/stub_status")


def _start_exporters(fleet: RealFleet) -> None:
    ports = fleet.ports

    def listen(name: str) -> str:
        return f"--web.listen-address=127.0.0.1:{ports[name]}"

    fleet.start("node", "prometheus-node-exporter", listen("node"), ready="/metrics")
    dsn = f"postgresql://postgres@127.0.0.1:{ports['postgres']}/postgres?sslmode=disable"
    fleet.start(
        "postgres_exporter", "prometheus-postgres-exporter", listen("postgres_exporter"), ready="/metrics",
        DATA_SOURCE_NAME=dsn,
    )  # fmt: skip
    fleet.start(
        "redis_exporter", "prometheus-redis-exporter", f"-redis.addr=redis://127.0.0.1:{ports['redis']}",
        f"-web.listen-address=127.0.0.1:{ports['redis_exporter']}", ready="/metrics",
    )  # fmt: skip
    fleet.start_nginx_exporter()
    modules = fleet.folder / "blackbox.yml"
    modules.write_text("modules: {http_2xx: {prober: http}}\n")
    fleet.start(
        "blackbox",
        "prometheus-blackbox-exporter",
        f"--config.file={modules}",
        listen("blackbox"),
        ready="/metrics",
    )


def _prometheus_config(fleet: RealFleet) -> str:
    ports = fleet.ports
    jobs = {
        "node": "node", "shop": "shop", "postgres": "postgres_exporter", "redis": "redis_exporter",
        "nginx": "nginx_exporter", "prometheus": "prometheus",
    }  # fmt: skip
    static = "".join(
        f"- job_name: {job}\n  static_configs: [{{targets: ['localhost:{ports[name]}']}}]\n"
        for job, name in jobs.items()
    )
    return f"""global: {{scrape_interval: {SCRAPE_S}s}}
scrape_configs:
{static}- job_name: blackbox
  metrics_path: /probe
  params: {{module: [http_2xx]}}
  static_configs: [{{targets: ['http://127.0.0.1:{ports["nginx"]}/order']}}]
  relabel_configs:
  - {{source_labels: [__address__], target_label: __param_target}}
  - {{source_labels: [__param_target], target_label: instance}}
  - {{target_label: __address__, replacement: 'localhost:{ports["blackbox"]}'}}
"""
