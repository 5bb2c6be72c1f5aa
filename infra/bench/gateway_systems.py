"""The gateways that are compared, and how each is installed and started."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from shutil import which

from processes import Process, free_port
from tidegauge.gateway.policy import keys

ENVIRONMENTS = Path("build/bench-env")
_NGINX = """
worker_processes 1; daemon off; error_log stderr; pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    keepalive_requests 1000000;
    location / {{
      proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class System:
    """One gateway.

    Attributes:
        name: With its version.
        start: Given the upstream's port and a folder, starts it and yields its port, its
            process and what the load must send (key, headers); None for no gateway at all.
    """

    name: str
    start: Callable[[int, Path], AbstractContextManager[Started]] | None


@dataclass(frozen=True)
class Started:
    """A gateway that is ready.

    Attributes:
        port: Where it listens.
        process: What runs.
        key: What the load must send.
        headers: Further headers that it must send.
        lags: Where it tells how late its event loop is, if it can (see ``gateway_ours``).
    """

    port: int
    process: Process
    key: str = "none"
    headers: tuple[str, ...] = ()
    lags: Path | None = None


@contextmanager
def start_nginx(upstream: int, folder: Path) -> Iterator[Started]:
    """Debian's nginx as a plain reverse proxy."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, upstream=upstream, port=port))
    command = [str(which("nginx")), "-c", str(config), "-p", str(folder)]
    with Process(command, folder / "nginx.log") as process:
        process.wait_ready(f"http://127.0.0.1:{port}/v1/models")
        yield Started(port, process)


@contextmanager
def start_tidegauge(
    upstream: int, folder: Path, *, capture: bool = True, broker: str | None = None
) -> Iterator[Started]:
    """Ours, with keys, limits, checks, log, metrics and, unless told otherwise, capture.

    Without a broker what is captured stays in the outbox.
    """
    port = free_port()
    customer = keys.Customer(
        name="bench", key_id="", requests_per_minute=10**8, tokens_per_minute=10**11
    )
    key, record = keys.create(customer, created="now")
    keys.save(folder / "keys.json", [record])
    (folder / "models.yaml").write_text(
        f"models: {{bench: {{upstreams: [{{url: 'http://127.0.0.1:{upstream}', "
        "price: {input: 1, output: 2}}]}}"
    )
    environment = {
        "TIDEGAUGE_GATEWAY_PORT": str(port),
        "TIDEGAUGE_GATEWAY_CONFIG": str(folder / "models.yaml"),
        "TIDEGAUGE_GATEWAY_KEYS_FILE": str(folder / "keys.json"),
        "TIDEGAUGE_GATEWAY_REQUEST_LOG": str(folder / "requests.jsonl"),
        "TIDEGAUGE_CAPTURE_DIRECTORY": str(folder / "outbox"),
        "TIDEGAUGE_CAPTURE_DRAIN_SECONDS": "1",
        "KAFKA_BOOTSTRAP_SERVERS": broker or f"127.0.0.1:{free_port()}",
    }
    script = Path(__file__).with_name("gateway_ours.py")
    lags = folder / "lags.json"
    command = [sys.executable, str(script), "captured" if capture else "uncaptured", str(lags)]
    with Process(command, folder / "tidegauge.log", environment) as process:
        process.wait_ready(f"http://127.0.0.1:{port}/readyz")
        yield Started(port, process, key, lags=lags)


@contextmanager
def start_vllm_router(upstream: int, folder: Path) -> Iterator[Started]:
    """The router of the vLLM project (Rust)."""
    port, metrics = free_port(), free_port()
    command = [
        str(ENVIRONMENTS / "vllm-router/bin/vllm-router"),
        *("--worker-urls", f"http://127.0.0.1:{upstream}"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--prometheus-port", str(metrics), "--policy", "round_robin"),
    ]
    with Process(command, folder / "vllm-router.log") as process:
        process.wait_ready(f"http://127.0.0.1:{port}/health")
        yield Started(port, process)


@contextmanager
def start_smg(upstream: int, folder: Path) -> Iterator[Started]:
    """Shepherd Model Gateway (Rust)."""
    port, metrics = free_port(), free_port()
    command = [
        *(str(ENVIRONMENTS / "smg/bin/smg"), "launch"),
        *("--worker-urls", f"http://127.0.0.1:{upstream}"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--prometheus-port", str(metrics), "--policy", "round_robin"),
    ]
    with Process(command, folder / "smg.log") as process:
        process.wait_ready(f"http://127.0.0.1:{port}/health")
        yield Started(port, process)


@contextmanager
def start_litellm(upstream: int, folder: Path) -> Iterator[Started]:
    """LiteLLM's proxy (Python), one worker."""
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list: [{model_name: bench, litellm_params: {model: openai/bench, "
        f"api_base: 'http://127.0.0.1:{upstream}/v1', api_key: none}}}}]\n"
        "litellm_settings: {telemetry: false}\n"
    )
    command = [
        *(str(ENVIRONMENTS / "litellm/bin/litellm"), "--config", str(config)),
        *("--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"),
    ]
    key = f"sk-{token_hex(24)}"
    environment = {
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MASTER_KEY": key,
    }
    with Process(command, folder / "litellm.log", environment) as process:
        process.wait_ready(f"http://127.0.0.1:{port}/health/liveliness", 120)
        yield Started(port, process, key)


@contextmanager
def start_portkey(upstream: int, folder: Path) -> Iterator[Started]:
    """Portkey's gateway (Node)."""
    port = free_port()
    server = ENVIRONMENTS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
    command = [str(which("node")), str(server), f"--port={port}", "--headless"]
    with Process(command, folder / "portkey.log", {"NODE_ENV": "production"}) as process:
        process.wait_ready(f"http://127.0.0.1:{port}/")
        headers = (
            "x-portkey-provider: openai",
            f"x-portkey-custom-host: http://127.0.0.1:{upstream}/v1",
        )
        yield Started(port, process, headers=headers)


def install(*, wanted: set[str]) -> list[System]:
    """Return the systems that can be run here, installing peers into build/bench-env.

    Args:
        wanted: Names to keep; empty for all.
    """
    found = [System("direct", None)]
    if which("nginx"):
        text = _run([str(which("nginx")), "-v"]).stderr
        found.append(System("nginx " + text.strip().rpartition("/")[2], start_nginx))
    for package, start in (
        ("vllm-router", start_vllm_router),
        ("smg", start_smg),
        ("litellm[proxy]", start_litellm),
    ):
        name = package.partition("[")[0]
        if (not wanted or name in wanted) and (installed := _python_peer(name, package)):
            found.append(System(f"{name} {installed}", start))
    if (not wanted or "portkey" in wanted) and (installed := _portkey()):
        found.append(System(f"portkey {installed}", start_portkey))
    ours = version("tidegauge")
    found.append(System(f"tidegauge {ours}", start_tidegauge))
    found.append(
        System(
            f"tidegauge {ours} without capture",
            lambda upstream, folder: start_tidegauge(upstream, folder, capture=False),
        )
    )
    return [s for s in found if not wanted or any(s.name.startswith(name) for name in wanted)]


def _python_peer(name: str, package: str) -> str | None:
    folder = ENVIRONMENTS / name
    python = str(folder / "bin/python")
    if not (folder / "ready").exists():
        print(f"installing {package} into {folder}", flush=True)
        made = _run([sys.executable, "-m", "venv", str(folder)])
        installed = _run([python, "-m", "pip", "install", "-q", package])
        if made.returncode or installed.returncode:
            print(f"  {package} cannot be installed here: left out", flush=True)
            return None
        (folder / "ready").touch()
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    return _run([python, "-c", code]).stdout.strip()


def _portkey() -> str | None:
    folder = ENVIRONMENTS / "portkey"
    package = folder / "node_modules/@portkey-ai/gateway/package.json"
    if which("npm") is None:
        return None
    if not package.exists():
        print(f"installing @portkey-ai/gateway into {folder}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        step = [str(which("npm")), "install", "--silent", "--prefix", str(folder)]
        if _run([*step, "@portkey-ai/gateway"]).returncode:
            print("  portkey cannot be installed here: left out", flush=True)
            return None
    return str(json.loads(package.read_text())["version"])


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
