"""The tables of docs/vendors.md, made of the vendors' data: ``python -m tests.vendors.pages`` writes them anew."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from gateway.config.retries import ENDINGS, PREFIXES
from gateway.config.signing_in import PACKAGES, takes_keys
from gateway.dialects import EGRESS
from gateway.vendors import VENDORS, Account, Identity, Operation, Vendor, routes
from gateway.vendors.foreign import ANSWERED, MARKERS, THOUGHTS
from tests.vendors.told import SAYINGS, all_told, unsaid

PAGE = Path(__file__).parents[2] / "docs" / "vendors.md"
BLOCK = re.compile(r"<!-- made: (\w+) -->\n(.*?)<!-- end -->\n", re.DOTALL)

EXAMPLES: Mapping[str, Account] = {
    "anthropic_compatible": Account(base_url="https://llm.example"),
    "azure_openai": Account(base_url="https://my-resource.openai.azure.com"),
    "bedrock": Account(region="us-east-1"),
    "databricks": Account(base_url="https://dbc-1.cloud.databricks.com"),
    "databricks_v2": Account(base_url="https://dbc-1.cloud.databricks.com"),
    "openai_compatible": Account(base_url="https://llm.example"),
    "sagemaker": Account(region="us-east-1"),
    "sagemaker_tgi": Account(region="us-east-1"),
    "snowflake": Account(base_url="https://my-org-my-account.snowflakecomputing.com"),
    "vertex": Account(project="my-project", region="global"),
}
"""For the vendors whose addresses depend on the account."""
MARKER = "`cache_control`"
NO_VARIABLES = ("databricks_v2",)
OPERATIONS: Mapping[Operation, str] = {
    "chat": "chat",
    "chat_stream": "chat, streamed",
    "models": "models",
    "completions": "completions",
    "count_tokens": "counts of tokens",
    "embeddings": "embeddings",
}
IDENTITIES: Mapping[Identity, str] = {
    "entra": "Entra ID",
    "google": "Google's credentials",
    "aws": "AWS's credentials",
    "databricks": "OAuth of a service principal",
    "github": "a token that `skein login` got",
}
HOW: Mapping[str, str] = {"yes": "yes", "no": "–", "some": "some models", "fetched": "fetched first"}


def overview() -> Iterator[str]:
    yield from ("| vendor | `vendor:` | speaks | signs in by | operations |", "|---|---|---|---|---|")
    for vendor in _in_order():
        names = ", ".join(f"`{name}`" for name in (vendor.name, *vendor.aliases))
        dialects = ", ".join(dict.fromkeys(f"`{row.dialect}`" for row in _chats(vendor)))
        having = {name for row in _rows(vendor) for name in row.paths}
        operations = ", ".join(words for name, words in OPERATIONS.items() if name in having - {"chat_stream"})
        yield f"| [{vendor.title}](#{_anchor(vendor.title)}) | {names} | {dialects} | {_ways(vendor)} | {operations} |"


def details() -> Iterator[str]:
    for number, vendor in enumerate(_in_order()):
        yield from ("",) if number else ()
        yield from (f"### {vendor.title}", "")
        yield from _table(vendor)
        yield ""
        yield from (f"- {line}" for line in _facts(vendor))


def dialects() -> Iterator[str]:
    names = list(EGRESS)
    found = {name: dict(all_told(plain(name))) for name in names}
    yield f"| what a client says | {' | '.join(f'`{name}`' for name in names)} |"
    yield f"|---|{'---|' * len(names)}"
    for label in SAYINGS:
        yield f"| {label} | {' | '.join(HOW[found[name][label]] for name in names)} |"


BLOCKS: Mapping[str, Callable[[], Iterable[str]]] = {"overview": overview, "details": details, "dialects": dialects}


def written(page: str) -> dict[str, str]:
    return dict(BLOCK.findall(page))


def made() -> dict[str, str]:
    return {name: "".join(f"{line}\n" for line in lines()) for name, lines in BLOCKS.items()}


def renewed(page: str) -> str:
    known = made()
    return BLOCK.sub(lambda block: f"<!-- made: {block[1]} -->\n{known[block[1]]}<!-- end -->\n", page)


# One vendor -----------------------------------------------------------------------------------------------------------


def _in_order() -> list[Vendor]:
    return sorted(VENDORS.values(), key=lambda vendor: vendor.title.lower())


def _rows(vendor: Vendor) -> tuple[Vendor, ...]:
    return (vendor, *vendor.faces)


def _chats(vendor: Vendor) -> list[Vendor]:
    return [row for row in _rows(vendor) if "chat" in row.paths]


@cache
def _usual(dialect: str) -> Mapping[str, str]:
    """What the dialect has no words for, whoever speaks it."""
    return unsaid(plain(dialect))


def plain(dialect: str) -> Vendor:
    """A vendor with nothing of its own."""
    return Vendor(name=dialect, title=dialect, docs="", base_url=None, paths={}, dialect=dialect)


def _anchor(title: str) -> str:
    """As GitHub makes one of a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def _ways(vendor: Vendor) -> str:
    ways = [] if vendor.auth == "none" or not takes_keys(vendor) else ["a key"]
    if vendor.identity:
        ways.append(IDENTITIES[vendor.identity])
    elif ways and not vendor.key_required:
        ways.append("nothing")
    return " or ".join(ways) or "nothing"


def _table(vendor: Vendor) -> Iterator[str]:
    yield from ("| models | speaks | operation | URL |", "|---|---|---|---|")
    for row in _rows(vendor):
        urls = routes(row, EXAMPLES.get(vendor.name, Account())).urls
        serves, spoken = _serves(row, vendor), ""
        for operation, words in OPERATIONS.items():
            if operation in urls:
                speaks = "" if operation == "models" else row.speaks(operation)
                told = f"`{speaks}`" if speaks not in ("", spoken) else ""
                yield f"| {serves} | {told} | {words} | `{urls[operation]}` |"
                serves, spoken = "", speaks or spoken


def _serves(row: Vendor, vendor: Vendor) -> str:
    """1. What has no models of its own. 2. What is to be had in the first way as well. 3. Models that are only here."""
    globs = [glob for glob in row.serves if not glob.startswith("!") and glob != "*"]
    if "chat" not in row.paths:
        return _code(globs)
    if row is not vendor and vendor.serves == ("*",):
        clients = "by clients that speak it, or " if row.dialect == "openai_responses" else ""
        return f"{_code(globs)}{' ' if globs else ''}{clients}with `dialect: {row.dialect}`"
    if row.dialect == "openai_responses" and not globs:
        # Chat has most of these models, too, and who speaks chat gets them there.
        return "all with Responses, by clients that speak it; by all clients what chat has not"
    return _code(globs) or ("all" if row.serves == ("*",) else "all others")


def _facts(vendor: Vendor) -> Iterator[str]:
    yield f"Signs in: {', or '.join(_signs_in(vendor))}."
    variables = [_code((*vendor.key_env, *vendor.host_env, *vendor.base_env))]
    if vendor.identity not in ("", "github") and vendor.name not in NO_VARIABLES:
        variables.append("[those of the cloud](configuration.md#without-a-file)")
    if any(variables):
        yield f"Variables: {', and '.join(filter(None, variables))}."
    if vendor.name in PREFIXES:
        retries = _code(f"{PREFIXES[vendor.name]}_{ending}" for ending in ENDINGS)
        yield f"[How hard it is tried](configuration.md#how-hard-to-try-the-clouds): {retries}."
    if vendor.owns:
        yield f"Model ids that are its own: {_code(vendor.owns)}."
    elsewhere = {glob for row in vendor.faces if row.dialect != "openai_responses" for glob in row.serves}
    only = [glob[1:] for glob in vendor.serves if glob.startswith("!") and glob[1:] not in elsewhere]
    if only:
        yield f"Only by Responses, for clients of chat too: {_code(only)}."
    if vendor.no_tools_while_thinking:
        models = _code(vendor.no_tools_while_thinking)
        yield f"By Responses for clients of chat, too, where tools are on offer and it is to think: {models}."
    for row in _chats(vendor):
        if changes := list(_changes(row)):
            models = _serves(row, vendor).split(",")
            of = "" if len(_chats(vendor)) == 1 else f" for {models[0]}{', …' if len(models) > 1 else ''}"
            yield f"Requests{of}: {'; '.join(changes)}."
    yield f"[Its documentation]({vendor.docs})."


def _signs_in(vendor: Vendor) -> Iterator[str]:
    """By what each of its ways puts into a call."""
    if vendor.identity == "github":
        yield "with GitHub's token, which is exchanged for a short-lived one in `Authorization`"
        return
    if takes_keys(vendor):
        keys = dict.fromkeys(_header(row.auth) for row in _rows(vendor) if row.auth != "none")
        optional = "" if vendor.key_required or vendor.identity else ", if there is one"
        yield f"with a key in {', for embeddings in '.join(keys)}{optional}" if keys else "it asks for nothing"
    if vendor.identity:
        how = "with a signature of each call (SigV4)" if vendor.auth == "sigv4" else "with a token in `Authorization`"
        package = PACKAGES.get(vendor.identity)
        yield f"{how} by {IDENTITIES[vendor.identity]}{f' (`skein-gateway[{package.extra}]`)' if package else ''}"


def _header(auth: str) -> str:
    return "`Authorization`" if auth in ("bearer", "sigv4") else f"`{auth}`"


def _changes(row: Vendor) -> Iterator[str]:
    """What is done to requests, beside writing them in its dialect."""
    yield from (f"`{name}` becomes `{its}`" for name, its in row.rename.items())
    yield from (f"the role `{name}` becomes `{its}`" for name, its in row.roles.items())
    usual = _usual(row.dialect)
    lost = {label: how for label, how in unsaid(row).items() if usual.get(label) != how and label != MARKER}
    never = [label for label, how in lost.items() if how == "no"]
    never += [f"`{name}`" for name in sorted(row.drop - {"stream_options"}) if f"`{name}`" not in never]
    some = [label for label, how in lost.items() if how == "some"]
    if never:
        yield f"left out: {', '.join(never)}"
    if some:
        yield f"left out for some models: {', '.join(some)}"
    if left := list(_left_out_of_messages(row.drop_from_messages)):
        yield f"left out of messages: {', '.join(left)}"
    if row.replays:
        yield f"{_code(sorted(row.replays))} of a turn with tool calls is put back"


def _left_out_of_messages(names: frozenset[str]) -> Iterator[str]:
    if names & THOUGHTS:
        yield "other vendors' reasoning"
    if names >= MARKERS:
        yield MARKER
    if names >= ANSWERED:
        yield f"what only answers have ({_code(sorted(ANSWERED))})"
    yield from (f"`{name}`" for name in sorted(names - THOUGHTS - MARKERS - ANSWERED))


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
