"""A new configuration goes to work at once, takes nothing from what runs, and is not taken when it is wrong."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import app, events
from tests.running import running_gateway
from tests.scripted import Answer, ScriptedVendor, Silent, Status, rate_limited

from .setting import QUICK, SHORT, Stand, at, body, eventually, merged


@pytest.fixture(autouse=True)
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed file is read when a test says so, and not by itself a second later as well."""
    monkeypatch.setattr(app, "LOOK_EVERY", 60.0)


class Editable(Stand):
    """A stand whose configuration lies in a file."""

    file: Path

    def config(self, *names: str, **changes: Any) -> dict[str, Any]:
        config = {
            "providers": {name: at(self.vendors[name].base_url, name) for name in names},
            "models": {"m": {"targets": [f"{name}/gpt-4.1" for name in names]}},
            "resilience": QUICK,
        }
        return merged(config, changes)

    def write(self, *names: str, **changes: Any) -> None:
        self.file.write_text(json.dumps(self.config(*names, **changes)))

    def reload(self) -> bool:
        return self.gateway.call(self.gateway.runtime.reload)


@contextlib.contextmanager
def editable(tmp_path: Path, *names: str, serving: tuple[str, ...] = (), **changes: Any) -> Iterator[Editable]:
    with contextlib.ExitStack() as stack:
        vendors = {name: stack.enter_context(ScriptedVendor.in_thread()) for name in names}
        s = Editable(None, vendors)  # type: ignore[arg-type]
        s.file = tmp_path / "skein.yaml"
        s.write(*(serving or names), **changes)
        s.gateway = stack.enter_context(running_gateway(s.file.read_text(), path=str(s.file)))
        yield s


def test_a_new_configuration_serves_the_next_request(tmp_path: Path) -> None:
    with editable(tmp_path, "old", "new", serving=("old",)) as s:
        assert s.ask().headers["x-skein-provider"] == "old"
        s.write("new", models={"other": {"targets": ["new/gpt-4.1-mini"]}}, aliases={"nick": "other"})
        assert s.reload()
        assert s.of(events.ConfigReloaded)[0].needs_restart == ()
        assert s.ask().headers["x-skein-provider"] == "new"
        assert s.ask(model="nick").headers["x-skein-model"] == "gpt-4.1-mini"
        assert s.ask(model="old/gpt-4.1").status == 404


def test_a_stream_under_way_ends_as_it_began(tmp_path: Path) -> None:
    with editable(tmp_path, "old", "new", serving=("old",)) as s, s.client() as client:
        s.old.otherwise = Silent("after_output", seconds=3.0)
        client.post(body(True))
        client.see(b"Hello")
        s.write("new", resilience={"timeouts": {"idle": SHORT, "total": "2s"}})
        assert s.reload()
        told = client.reply()
        assert (told.text, told.done) == ("Hello from the scripted vendor.", True)
        assert told.headers["x-skein-provider"] == "old"
        assert s.finished().outcome == "ok"
        assert s.ask().headers["x-skein-provider"] == "new"


def test_an_exchange_between_two_attempts_goes_on_with_the_plan_it_had(tmp_path: Path) -> None:
    slow = {"resilience": {"backoff": {"initial": "2s", "max": "2s", "jitter": "none"}}}
    with editable(tmp_path, "old", "new", serving=("old",), **slow) as s, s.client() as client:
        s.old.script(Status(503))
        client.post(body())
        eventually(lambda: s.faults())
        s.write("new")
        assert s.reload()
        told = client.reply()
        assert (told.status, told.headers["x-skein-provider"]) == (200, "old")


def test_breakers_and_keys_of_what_stays_are_kept(tmp_path: Path) -> None:
    settings = {"resilience": {"retries": 0, "breaker": {"consecutive": 2, "open_for": "60s"}}}
    with editable(tmp_path, "sick", "broke", "limited", "well", **settings) as s:
        s.sick.otherwise, s.broke.otherwise = Status(500), Status(401)
        s.limited.otherwise = rate_limited("seconds", 60)
        for _ in range(2):
            assert s.ask().headers["x-skein-provider"] == "well"
        assert (s.sick.count, s.broke.count, s.limited.count) == (2, 1, 1)
        s.write("sick", "broke", "limited", "well", **settings, aliases={"x": "m"})
        assert s.reload()
        assert s.ask().headers["x-skein-provider"] == "well"
        assert (s.sick.count, s.broke.count, s.limited.count) == (2, 1, 1)
        assert (s.keys("broke"), s.keys("limited")) == (["dead"], ["cooling"])


def test_who_is_demoted_for_its_error_rate_stays_so(tmp_path: Path) -> None:
    settings = {"resilience": {"retries": 0, "spike": {"min_requests": 2, "error_rate": 0.5, "trial": 1e-9}}}
    with editable(tmp_path, "sick", "well", **settings) as s:
        s.sick.otherwise = Status(500)
        for _ in range(3):
            assert s.ask().headers["x-skein-provider"] == "well"
        assert s.sick.count == 2
        s.write("sick", "well", **settings, aliases={"x": "m"})
        assert s.reload()
        assert s.ask().headers["x-skein-provider"] == "well"
        assert s.sick.count == 2
        s.sick.otherwise = Answer()
        s.write("sick", "well", resilience={"retries": 0, "spike": {"error_rate": 1}})
        assert s.reload()
        assert s.ask().headers["x-skein-provider"] == "sick"
        assert len(s.of(events.ProviderRestored)) == 1


def test_a_new_key_is_not_held_to_what_the_old_one_did(tmp_path: Path) -> None:
    with editable(tmp_path, "only") as s:
        s.only.decide = lambda call: Status(401) if "new" not in call.headers["authorization"] else None
        assert s.ask().status == 502
        s.write("only", providers={"only": {"api_key": "sk-new-key"}})
        assert s.reload()
        assert s.ask().status == 200
        assert s.only.received[-1].headers["authorization"] == "Bearer sk-new-key"


BAD = {
    "not_yaml": "models: [",
    "unknown_key": '{"modles": {}}',
    "no_such_provider": '{"models": {"m": {"targets": ["nobody/x"]}}}',
    "list": "[1, 2]",
    "not_text": "\x00\x01",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_and_the_old_one_goes_on(tmp_path: Path, name: str) -> None:
    with editable(tmp_path, "old") as s:
        s.file.write_text(BAD[name])
        assert not s.reload()
        refused = s.of(events.ConfigRefused)
        assert len(refused) == 1
        assert refused[0].problems
        assert refused[0].source == str(s.file)
        assert s.ask().status == 200
        s.write("old", aliases={"mended": "m"})
        assert s.reload()
        assert s.ask(model="mended").status == 200


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    with editable(tmp_path, "old") as s:
        s.file.unlink()
        assert not s.reload()
        assert len(s.of(events.ConfigRefused)) == 1
        assert s.ask().status == 200


def test_keys_of_callers_change_at_once(tmp_path: Path) -> None:
    def keys(*known: str) -> dict[str, Any]:
        return {"access": {"mode": "keys", "keys": [{"name": key[-3:], "key": key} for key in known]}}

    with editable(tmp_path, "only", **keys("sk-caller-one")) as s:

        def status(key: str) -> int:
            return s.ask(headers={"authorization": f"Bearer {key}"}).status

        assert (status("sk-caller-one"), status("sk-caller-two")) == (200, 401)
        s.write("only", **keys("sk-caller-two"))
        assert s.reload()
        assert (status("sk-caller-one"), status("sk-caller-two")) == (401, 200)


def test_limits_change_at_once_and_ports_need_a_restart(tmp_path: Path) -> None:
    with editable(tmp_path, "only") as s:
        s.write("only", server={"max_body": "1KiB", "port": 4999})
        assert s.reload()
        assert s.of(events.ConfigReloaded)[0].needs_restart == ("server.port",)
        assert s.ask(user="x" * 2000).status == 413


def test_the_file_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "LOOK_EVERY", 0.02)
    with editable(tmp_path, "old", "new", serving=("old",)) as s:
        assert s.ask().headers["x-skein-provider"] == "old"
        with s.file.open("a") as file:  # in place and in one write: half a file is never there to be read
            file.write("models: [")
        eventually(lambda: s.of(events.ConfigRefused))
        assert s.ask().headers["x-skein-provider"] == "old"
        # As editors do it: written beside, then renamed over.
        beside = s.file.with_suffix(".new")
        beside.write_text(json.dumps(s.config("new")))
        beside.rename(s.file)
        eventually(lambda: s.of(events.ConfigReloaded))
        assert s.ask().headers["x-skein-provider"] == "new"
        assert len(s.of(events.ConfigReloaded)) == 1


def test_many_reloads_leave_nothing_behind(tmp_path: Path) -> None:
    with editable(tmp_path, "a", "b") as s:
        s.a.otherwise = Answer("A.")
        for number in range(30):
            s.write(*(("a", "b") if number % 2 else ("a",)))
            assert s.reload()
            assert s.ask().text == "A."
        assert len(s.gateway.runtime.health.breakers()) <= 2
