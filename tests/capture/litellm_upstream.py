"""A small OpenAI-compatible server for the tests of the LiteLLM callback: plain, SSE, broken."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ("High ", "tide ", "at ", "noon.")


class Handler(BaseHTTPRequestHandler):
    """Answers every prompt the same."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Answer by the model's name and by ``stream``."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["model"] == "broken":
            self._send(500, {"error": {"message": "on fire", "type": "server_error"}})
        elif asked.get("stream"):
            self._stream(asked["model"])
        else:
            self._send(200, self._answer(asked["model"]))

    def _answer(self, model: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": "".join(WORDS)}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "system_fingerprint": "fp-1",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
        }

    def _stream(self, model: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        common = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model}
        for word in WORDS:
            delta = {"role": "assistant", "content": word}
            self._event({**common, "choices": [{"index": 0, "delta": delta}]})
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        self._event({**common, "choices": [end]})
        self._event({**common, "choices": [], "usage": self._answer(model)["usage"]})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()

    def _send(self, status: int, contents: dict[str, Any]) -> None:
        data = json.dumps(contents).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
