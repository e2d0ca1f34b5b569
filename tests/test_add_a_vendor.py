"""What docs/add-a-vendor.md says works: its YAML and its package, through a real gateway to an Acme of our own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway import config

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "add-a-vendor.md").read_text()
KEY = "acme-0123456789"
ASKED = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Hello"}],
    "max_completion_tokens": 50,
    "logit_bias": {"1": 2},
    "user": "ann",
    "n": 2,
    "temperature": 0.5,
}


def blocks(language: str) -> list[str]:
    return [text for named, text in re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.M | re.S) if named == language]


WITH_DATA, WITH_DELTAS, WITH_CODE = blocks("yaml")
[MODULE] = blocks("python")
[PROJECT] = blocks("toml")
[TOLD] = blocks("")


class Acme(ThreadingHTTPServer):
    """Remembers every call, and answers as the page says that Acme does."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def chats(self) -> list[dict[str, Any]]:
        return [call for call in self.calls if call["body"]]


class Handler(BaseHTTPRequestHandler):
    server: Acme

    def do_GET(self) -> None:
        self._answer({"object": "list", "data": [{"id": "acme-mini", "object": "model"}]})

    def do_POST(self) -> None:
        message = {"role": "assistant", "content": "Hello from Acme"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "acme-mini"}
        self._answer({**answer, "choices": [choice], "usage": usage})

    def _answer(self, answer: dict[str, Any]) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.calls.append({"path": self.path, "headers": headers, "body": json.loads(body) if body else None})
        written = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def acme() -> Iterator[Acme]:
    server = Acme()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# In a process of its own, so that the package is installed for the gateway and for nobody else.
THROUGH_A_GATEWAY = """
import json, sys, httpx
from tests.running import running_gateway
text, env, body = json.load(sys.stdin)
with running_gateway(text, env) as gateway:
    answer = httpx.post(gateway.base_url + "/chat/completions", json=body, timeout=30)
    listed = httpx.get(gateway.base_url + "/models", timeout=30).json()["data"]
    vendors = {name: each.vendor for name, each in gateway.runtime.config.providers.items()}
    notes = gateway.runtime.config.notes
print(json.dumps({"status": answer.status_code, "answer": answer.json(), "vendors": vendors, "notes": notes,
                  "listed": [each["id"] for each in listed]}))
"""


def through_a_gateway(text: str, installed: Path | None = None, **more: Any) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-c", THROUGH_A_GATEWAY],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(installed or "")},
        input=json.dumps([text, {"ACME_API_KEY": KEY}, {**ASKED, **more}]),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(ran.stdout.splitlines()[-1]))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The page's package, as an installer leaves it: the module, and beside it what it is and what it brings."""
    project = tomllib.loads(PROJECT)["project"]
    (tmp_path / "acme_skein.py").write_text(MODULE)
    about = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"]
    lines = [f"[{group}]\n" + "\n".join(f"{n} = {v}" for n, v in points.items()) for group, points in groups.items()]
    (about / "entry_points.txt").write_text("\n".join(lines))
    return tmp_path


def test_vendor_of_data_is_called_as_the_page_says() -> None:
    with acme() as server:
        said = through_a_gateway(WITH_DATA.replace("https://llm.acme.example", server.url))
        [call] = server.chats()
    assert (said["status"], said["notes"]) == (200, [])
    assert said["answer"]["choices"][0]["message"]["content"] == "Hello from Acme"
    assert call["path"] == "/api/chat"
    assert call["headers"]["x-api-key"] == KEY
    assert call["headers"]["x-acme-edition"] == "enterprise"
    assert "authorization" not in call["headers"]
    kept = {name: ASKED[name] for name in ("messages", "user", "n", "temperature")}
    assert call["body"] == {**kept, "model": "acme-mini", "max_tokens": 50}


def test_vendor_of_a_package_is_called_as_the_page_says(package: Path) -> None:
    with acme() as server:
        elsewhere = f'base_url: "{server.url}/api", region: us'
        assert "region: us" in WITH_CODE
        said = through_a_gateway(WITH_CODE.replace("region: us", elsewhere), package, model="acme-mini")
        [call] = server.chats()
    assert (said["status"], said["notes"], said["vendors"]) == (200, [], {"acme": "acme"})
    assert call["path"] == "/api/chat"
    assert call["headers"]["x-api-key"] == KEY
    assert call["headers"]["x-acme-user"] == "ann"
    kept = {name: ASKED[name] for name in ("messages", "temperature")}
    assert call["body"] == {**kept, "model": "acme-mini", "max_tokens": 50}


def test_package_locates_itself_and_its_key_alone_makes_a_provider(package: Path) -> None:
    code = f"""
import json
from gateway import config
from gateway.vendors import routes
found = config.parse({WITH_CODE!r}, {{"ACME_API_KEY": {KEY!r}}})
alone = config.from_environment({{"ACME_API_KEY": {KEY!r}}})
urls = [routes(each.vendors["acme"], each.providers["acme"].account).url("chat") for each in (found, alone)]
print(json.dumps([urls, found.notes, alone.notes]))
"""
    env = {**os.environ, "PYTHONPATH": str(package)}
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    hosts = [f"https://{region}.llm.acme.example/api/chat" for region in ("us", "eu")]
    assert json.loads(ran.stdout) == [hosts, [], []]


def test_package_that_cannot_be_loaded_is_a_note(package: Path) -> None:
    (package / "acme_skein.py").write_text("import no_such_module_here")
    said = through_a_gateway("providers: {simulator: {}}", package, model="simulator/echo")
    what = "the vendor of the entry point acme of acme-skein 1.0 is left out: ModuleNotFoundError: No module named"
    assert said["status"] == 200
    assert [note.startswith(what) for note in said["notes"]] == [True]


def test_mistake_is_told_as_the_page_says() -> None:
    slip = WITH_DATA.replace("auth: x-api-key", "auth: x-api-kay")
    assert [f"{problem}\n" for problem in config.problems(slip, {"ACME_API_KEY": KEY})] == [TOLD]


def test_deltas_change_what_they_say() -> None:
    made = config.parse(WITH_DELTAS, {"ACME_API_KEY": KEY, "OPENAI_API_KEY": KEY})
    assert made.vendors["acme-eu"].base_url == "https://eu.llm.acme.example/api"
    assert made.vendors["acme-eu"].drop == {"seed"}
    assert made.vendors["openai"].headers == {"x-cost-centre": "42"}
    assert made.notes == ()
