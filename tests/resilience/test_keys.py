"""A pool of keys: in turn, cooling per model, dead until a probe."""

from __future__ import annotations

from gateway.resilience.keys import COOL_FOR, PROBE_AFTER, Keys


def taken(keys: Keys, count: int, model: str = "m", now: float = 0.0) -> str:
    return "".join(keys.take(model, now) or "-" for _ in range(count))


def test_in_turn():
    assert taken(Keys("abc"), 7) == "abcabca"


def test_no_keys_are_the_key_none():
    keys = Keys(())
    assert keys.keys == (None,)
    assert keys.take("m", 0.0) is None
    assert keys.usable("m", 0.0)


def test_a_key_cools_for_one_model():
    keys = Keys("ab")
    keys.cool("a", "m", 7.0, now=100.0)
    assert taken(keys, 3, now=101.0) == "bbb"
    assert "a" in taken(keys, 2, "other", now=101.0)
    assert keys.states(101.0) == ["cooling", "alive"]
    assert sorted(taken(keys, 2, now=107.0)) == ["a", "b"]
    assert keys.states(107.0) == ["alive", "alive"]


def test_the_longer_deadline_stands():
    keys = Keys("a")
    keys.cool("a", "m", 30.0, now=0.0)
    keys.cool("a", "m", 1.0, now=5.0)
    assert not keys.usable("m", 29.9)
    assert keys.usable("m", 30.0)


def test_a_limit_without_a_time_cools_shortly():
    keys = Keys("a")
    keys.cool("a", "m", None, now=0.0)
    assert not keys.usable("m", COOL_FOR - 0.1)
    assert keys.usable("m", COOL_FOR)


def test_a_dead_key_is_dead_for_all_models_until_a_probe():
    keys = Keys("ab")
    keys.kill("a", now=0.0)
    assert taken(keys, 3) + taken(keys, 3, "other") == "bbbbbb"
    assert keys.states(1.0) == ["dead", "alive"]
    probes = taken(keys, 4, now=PROBE_AFTER)
    assert probes.count("a") == 1, "one call finds out; the others keep away meanwhile"
    keys.revive("a")
    assert sorted(taken(keys, 2, now=PROBE_AFTER)) == ["a", "b"]


def test_with_none_usable_the_nearest_to_it_is_taken():
    keys = Keys("abc")
    keys.kill("a", now=0.0)
    keys.cool("b", "m", 50.0, now=0.0)
    keys.cool("c", "m", 40.0, now=0.0)
    assert not keys.usable("m", 1.0)
    assert keys.take("m", 1.0) == "c"
    keys.cool("b", "m", PROBE_AFTER + 9, now=0.0)
    keys.cool("c", "m", PROBE_AFTER + 9, now=0.0)
    assert keys.take("m", 1.0) == "a"


def test_a_reload_keeps_what_is_known_of_keys_that_stay():
    keys = Keys("abc")
    keys.kill("a", now=0.0)
    keys.kill("b", now=0.0)
    keys.cool("c", "m", 50.0, now=0.0)
    old, keys = keys, Keys("bcd", keys)
    assert keys.states(1.0) == ["dead", "cooling", "alive"]
    assert taken(keys, 2, now=1.0) == "dd"
    assert old.keys == ("a", "b", "c"), "calls begun before go on with the keys they had"
    keys = Keys("a", keys)
    assert keys.states(1.0) == ["alive"], "a key that comes back is a new one"
    assert taken(keys, 2, now=1.0) == "aa"
