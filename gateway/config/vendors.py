"""The vendors there are: those that come along, those of installed packages, those of the file's ``vendors``."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import msgspec

from gateway.config.findings import Findings, child, either, listed, quoted
from gateway.config.settings import CustomVendor
from gateway.dialects import EGRESS
from gateway.errors import did_you_mean
from gateway.vendors import VENDORS, Account, Operation, Vendor, routes
from gateway.vendors.base_url import read_base_url
from gateway.vendors.locate import base_path

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "skein.vendors"
"""The entry points that are vendors: each a ``Vendor``, or a callable without arguments that makes one."""

DIALECTS_OF_CHAT = frozenset(EGRESS)
PLAIN: Mapping[str, str] = {"openai_chat": "openai_compatible", "anthropic_messages": "anthropic_compatible"}
"""Dialect -> the vendor that is laid out as servers of this dialect usually are."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_WORD = re.compile(r"[!-~]+")


class Installed(NamedTuple):
    vendors: Mapping[str, Vendor]
    notes: tuple[str, ...]
    """What could not be taken, and why."""


def find(name: str, vendors: Mapping[str, Vendor]) -> Vendor | None:
    """By its name, or by another name it is known by."""
    return vendors.get(name) or next((each for each in vendors.values() if name in each.aliases), None)


# Installed packages


@functools.cache
def installed() -> Installed:
    """Read once: what is installed does not change under a running program."""
    from importlib.metadata import entry_points  # only who reads a configuration pays for it

    vendors: dict[str, Vendor] = {}
    notes: list[str] = []
    for point in entry_points(group=GROUP):
        try:
            vendor = _loaded(point)
            _refuse(vendor, {**VENDORS, **vendors})
        except Exception as error:  # code of others, which raises what it likes
            said = f"{type(error).__name__}: {error}".removeprefix("OddVendor: ").partition("\n")[0]
            notes.append(f"the vendor of {origin(point)} is left out: {said[:200]}")
        else:
            vendors[vendor.name] = vendor
    return Installed(vendors, tuple(notes))


class OddVendor(Exception):
    """What was loaded cannot be a vendor."""


def _loaded(point: EntryPoint) -> Vendor:
    found = point.load()
    vendor = found() if callable(found) and not isinstance(found, Vendor) else found
    if not isinstance(vendor, Vendor):
        raise OddVendor(f"it is a {type(vendor).__name__}, not a gateway.vendors.Vendor")
    return vendor


def _refuse(vendor: Vendor, known: Mapping[str, Vendor]) -> None:
    if not _NAME.fullmatch(vendor.name):
        raise OddVendor(f"{quoted(str(vendor.name))} cannot be a vendor's name")
    if find(vendor.name, known):
        raise OddVendor(f"there is a vendor {vendor.name} already")
    for row in (vendor, *vendor.faces):
        if row.dialect not in DIALECTS_OF_CHAT:
            raise OddVendor(f"no dialect {quoted(row.dialect)} ({either(row.dialect, sorted(DIALECTS_OF_CHAT))})")
        routes(row, Account(base_url=row.base_url or "http://127.0.0.1:9", region="us-east-1", project="p"))


def origin(point: EntryPoint) -> str:
    """An entry point and its package, in words."""
    package = f" of {point.dist.name} {point.dist.version}" if point.dist else ""
    return f"the entry point {point.name}{package}"


# The file's own


def built(custom: Mapping[str, CustomVendor], known: Mapping[str, Vendor], found: Findings) -> dict[str, Vendor]:
    """All vendors. One of the file may extend another one of the file, wherever that stands."""
    vendors = dict(known)
    waiting = {name: each for name, each in custom.items() if _may_be_called(name, each, known, found)}
    while waiting:
        ready = [name for name, each in waiting.items() if each.extends == name or each.extends not in waiting]
        for name in ready:
            vendor = _made(name, waiting.pop(name), vendors, found)
            if vendor is not None:
                vendors[name] = vendor
        if not ready:
            first = next(iter(waiting))
            what = f"leads back to itself: {listed(waiting)}"
            found.add(child(child("vendors", first), "extends"), what, "extend one that is there")
            break
    return vendors


def _may_be_called(name: str, said: CustomVendor, known: Mapping[str, Vendor], found: Findings) -> bool:
    path, taken = child("vendors", name), find(name, known)
    is_name = _NAME.fullmatch(name) is not None
    if not is_name:
        remedy = "a name starts with a small letter or digit, then also . _ -, and holds no slash or capital"
        found.add(path, "cannot be a vendor's name", remedy)
    elif taken and not said.extends and not found.spoiled(child(path, "extends")):
        remedy = f"choose another name, or write extends: {taken.name} and only what differs"
        found.add(path, f"there is a vendor {taken.name} already", remedy)
    return is_name


def _made(name: str, said: CustomVendor, vendors: Mapping[str, Vendor], found: Findings) -> Vendor | None:
    path = child("vendors", name)
    if said.dialect is not None and said.dialect not in DIALECTS_OF_CHAT:
        remedy = either(said.dialect, sorted(DIALECTS_OF_CHAT))
        found.add(child(path, "dialect"), f"no dialect {quoted(said.dialect)}", remedy)
    base = find(said.extends, vendors) if said.extends else _plain(said.dialect or "openai_chat", vendors)
    if base is None:
        near = did_you_mean((said.extends or "")[:200], vendors) or f"there is {listed(vendors, 40)}"
        if not found.spoiled(child("vendors", said.extends or "")):
            found.add(child(path, "extends"), f"no vendor {quoted(said.extends or '')}", near)
        return None
    _check(said, path, base, vendors, found)
    return None if found.spoiled(path) else _changed(name, said, base)


def _plain(dialect: str, vendors: Mapping[str, Vendor]) -> Vendor:
    """A server of this dialect that has nothing of its own."""
    plain = vendors.get(PLAIN.get(dialect, ""))
    if plain is None:
        return Vendor(name="", title="", docs="", base_url=None, paths={}, dialect=dialect, key_required=False)
    return msgspec.structs.replace(plain, key_env=(), base_env=(), host_env=(), aliases=(), owns=())


def _check(said: CustomVendor, path: str, base: Vendor, vendors: Mapping[str, Vendor], found: Findings) -> None:
    _check_paths(said, child(path, "paths"), base, found)
    if said.base_url is not None:
        try:
            read_base_url(said.base_url)
        except ValueError as error:
            found.add(child(path, "base_url"), *str(error).split(": ", 1))
    if said.auth == "sigv4" and not (said.service or base.service):
        found.add(child(path, "service"), "is missing", "sigv4 signs under a name, such as service: bedrock")
    if said.service and (said.auth or base.auth) != "sigv4":
        found.add(child(path, "service"), "means nothing without auth: sigv4", "remove it")
    listings = {row.listing for each in vendors.values() for row in (each, *each.faces)}
    if said.listing is not None and said.listing not in listings:
        found.add(child(path, "listing"), f"no listing {quoted(said.listing)}", either(said.listing, sorted(listings)))
    for where, word in _words(said, path, found):
        if not _WORD.fullmatch(word):
            found.add(where, "holds a space or another character that cannot be there")


def _check_paths(said: CustomVendor, path: str, base: Vendor, found: Findings) -> None:
    for operation, below in (said.paths or {}).items():
        where = child(path, operation)
        if operation not in get_args(Operation):
            found.add(where, "is not an operation", either(operation, get_args(Operation)))
        elif below is not None and not below.startswith(("/", "{origin}/")):
            found.add(where, f"{quoted(below)} does not begin with a slash", f"write {quoted('/' + below)}")
        elif below is not None and (odd := set(re.findall(r"\{[^}]*\}?", below)) - {"{model}", "{origin}"}):
            found.add(where, f"{listed(sorted(odd))} is filled in by nothing", "{model} stands for the model's name")
    if "chat" not in _merged(base.paths, said.paths) and not found.spoiled(path):
        remedy = f"write it, or extends: a vendor that speaks {said.dialect or base.dialect}"
        found.add(child(path, "chat"), "is missing", remedy)


def _words(said: CustomVendor, path: str, found: Findings) -> Iterator[tuple[str, str]]:
    for name in ("drop", "drop_from_messages", "replays", "key_env", "serves", "owns", "strip"):
        for index, word in enumerate(getattr(said, name) or ()):
            yield found.item(child(path, name), index), word
    for field, word in (said.rename or {}).items():
        yield child(child(path, "rename"), field), word or field


def _changed(name: str, said: CustomVendor, base: Vendor) -> Vendor:
    """1. The face of the dialect asked for, alone. 2. The whole vendor; what all faces share is changed in each."""
    face = next((row for row in base.faces if row.dialect == said.dialect != base.dialect), None)
    row, faces = (face, ()) if face else (base, base.faces)
    other = name if name != base.name else None
    deltas = {
        "dialect": said.dialect,
        "paths": _merged(row.paths, said.paths),
        "rename": _merged(row.rename, said.rename),
        "roles": _merged(row.roles, said.roles),
        "drop": row.drop.union(said.drop or ()),
        "drop_from_messages": row.drop_from_messages.union(said.drop_from_messages or ()),
        "replays": row.replays.union(said.replays or ()),
        "flatten": said.flatten,
        "signer": said.signer,
        "listing": said.listing,
        # A face that is for those who ask for it serves all models where it is the only one.
        "serves": said.serves or (("*",) if row.serves == ("!*",) else None),
        "owns": said.owns,
        "strip": said.strip,
        "stream_usage": said.stream_usage,
        "prefill": said.prefill,
        "faces": tuple(_replaced(each, _shared(other, said, each)) for each in faces),
    }
    return _replaced(row, _shared(other, said, row) | deltas)


def _shared(name: str | None, said: CustomVendor, row: Vendor) -> dict[str, Any]:
    """What is true of an account, whichever way it is called. ``name``: if it is a new one."""
    key_required = said.key_required
    if key_required is None and not said.extends:
        key_required = bool(said.key_env)
    return {
        "name": name,
        "title": said.title or name,
        "docs": said.docs,
        "aliases": () if name else None,
        "base_url": said.base_url and _base(said, row),
        "auth": said.auth,
        "service": said.service,
        # Left out by whoever signs in another way: the identities were those of the vendor extended.
        "identity": None if said.auth in (None, row.auth) else "aws" if said.auth == "sigv4" else "",
        "headers": _merged(row.headers, said.headers),
        "key_env": said.key_env,
        "key_required": key_required,
        "prices": said.prices,
    }


def _base(said: CustomVendor, row: Vendor) -> str:
    """As a provider's ``base_url`` is understood, but for who has said where each path is: that stands as it is."""
    given = read_base_url(said.base_url or "")
    if row.locate is not None or (said.paths and not given.path):
        return given.url()
    return msgspec.structs.replace(given, path=base_path(row, given)).url()


def _replaced(row: Vendor, changes: Mapping[str, Any]) -> Vendor:
    return msgspec.structs.replace(row, **{name: value for name, value in changes.items() if value is not None})


def _merged(old: Mapping[Any, str], said: Mapping[str, str | None] | None) -> dict[Any, str]:
    return {name: value for name, value in {**old, **(said or {})}.items() if value is not None}
