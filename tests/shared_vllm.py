"""One vLLM for all tests that need a real one: it takes most of a minute to start."""

from __future__ import annotations

from tidegauge.demo.vllm_environment import ensure_environment
from tidegauge.demo.vllm_server import VllmServer, ensure_model
from tidegauge.runtime.processes.deployment import free_port


class SharedVllm:
    """Starts when it is first asked for, and ends when somebody needs the machine alone."""

    def __init__(self) -> None:
        self._server: VllmServer | None = None

    def url(self) -> str:
        if self._server is None:
            environment = ensure_environment(print)
            self._server = VllmServer(ensure_model(print), free_port(), environment=environment)
            self._server.start()
            self._server.wait_ready(progress=print)
        return self._server.url

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None
