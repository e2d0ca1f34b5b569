"""Who may come in with which key, and use which model."""

from __future__ import annotations

import pytest

from gateway.access.keys import ANYONE, Caller, Doorkeeper, presented_key

PRESENTED = {
    "nothing": ({}, None),
    "bearer": ({"authorization": "Bearer k"}, "k"),
    "bearer in any case": ({"authorization": "bearer  k "}, "k"),
    "api-key": ({"api-key": "k"}, "k"),
    "x-api-key": ({"x-api-key": "k"}, "k"),
    "x-goog-api-key": ({"x-goog-api-key": "k"}, "k"),
    "bearer before the others": ({"authorization": "Bearer k", "api-key": "other"}, "k"),
    "an empty bearer": ({"authorization": "Bearer ", "x-api-key": "k"}, "k"),
    "another scheme": ({"authorization": "Basic a2V5", "x-api-key": "k"}, "k"),
    "another scheme alone": ({"authorization": "Basic a2V5"}, None),
    "an empty key": ({"api-key": ""}, None),
    "no scheme": ({"authorization": "k"}, None),
}


@pytest.mark.parametrize(("headers", "key"), PRESENTED.values(), ids=PRESENTED)
def test_where_a_key_is_found(headers: dict[str, str], key: str | None):
    assert presented_key(headers) == key


CI, DEV = Caller("ci", ("fast",)), Caller("dev")
DOOR = Doorkeeper([(CI, "key-ci"), (DEV, "key-dev")], required=True)

ADMITTED = {
    "the first": ("key-ci", CI),
    "the last": ("key-dev", DEV),
    "unknown": ("key", None),
    "longer": ("key-ci ", CI),  # spaces around a token are not part of it
    "case matters": ("KEY-CI", None),
    "not ASCII": ("schlüssel", None),
    "not even text": ("\udcff", None),
}


@pytest.mark.parametrize(("key", "caller"), ADMITTED.values(), ids=ADMITTED)
def test_who_is_admitted(key: str, caller: Caller | None):
    assert DOOR.admit({"authorization": f"Bearer {key}"}) == caller


def test_no_key_no_entry():
    assert DOOR.admit({}) is None
    assert Doorkeeper([], required=True).admit({"api-key": "x"}) is None


def test_an_open_door():
    assert Doorkeeper([], required=False).admit({}) is ANYONE
    assert Doorkeeper([(CI, "key-ci")], required=False).admit({"api-key": "wrong"}) is ANYONE


def test_keys_are_kept_hashed():
    assert "key-ci" not in repr(vars(DOOR))


MODELS = {
    "all": (None, "anything", "a/b", True),
    "none": ((), "fast", "fast", False),
    "by the name asked for": (("fast",), "fast", "fast", True),
    "by the name it resolves to": (("fast",), "gpt-4o", "fast", True),
    "by glob": (("openai/*",), "gpt-5", "openai/gpt-5", True),
    "another": (("fast",), "smart", "smart", False),
    "case matters": (("fast",), "FAST", "other", False),
    "everything": (("*",), "x", "y", True),
}


@pytest.mark.parametrize(("models", "asked", "resolved", "may"), MODELS.values(), ids=MODELS)
def test_which_models(models: tuple[str, ...] | None, asked: str, resolved: str, may: bool):
    assert Caller("c", models).may_use(asked, resolved) == may
