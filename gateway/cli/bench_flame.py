"""A flame graph of sampled stacks: callers below, what they call above, as wide as the time they took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape

Stack = tuple[str, ...]

WIDTH, ROW, MARGIN, TOP = 1200, 17, 10, 44
LEAST = 1.5
"""Narrower boxes, in pixels, are left out: nobody could see them."""
LETTER = 6.2

COLOURS: Mapping[str, str] = {
    "gateway.observe": "#86b6e8",
    "gateway.observing": "#86b6e8",
    "gateway.wire": "#f2a65a",
    "gateway": "#f6c667",
    "uvicorn": "#a8d5a2",
    "litestar": "#a8d5a2",
    "asyncio": "#c9c9c9",
}
"""By the module's name, the longest that fits."""
OTHER = "#dedede"
LEGEND = (("the gateway", "#f6c667"), ("its wire", "#f2a65a"), ("telemetry", "#86b6e8"), ("web server", "#a8d5a2"))


def read(folded: str) -> Counter[Stack]:
    """Lines of ``outermost;…;innermost count``. What starts the program is left out."""
    stacks: Counter[Stack] = Counter()
    for line in folded.splitlines():
        names, _, count = line.rpartition(" ")
        stack = tuple(names.split(";"))
        last = max((at for at, name in enumerate(stack) if name in STARTING), default=-1)
        stacks[stack[last + 1 :] or ("event loop",)] += int(count)
    return stacks


STARTING = frozenset(("gateway.cli.serve:run_worker", "asyncio.runners:Runner.run", "gateway.cli.server:Server.serve"))
"""Below these nothing is of a request."""


def picture(stacks: Mapping[Stack, int], title: str) -> str:
    total = sum(stacks.values()) or 1
    deepest = max(map(len, stacks), default=1)
    height = TOP + deepest * ROW + MARGIN
    scale = (WIDTH - 2 * MARGIN) / total
    boxes = "".join(_box(*each, scale, total, height) for each in _boxes(sorted(stacks.items())))
    legend = "".join(
        f'<rect x="{WIDTH - 440 + at * 110}" y="12" width="11" height="11" fill="{colour}"/>'
        f'<text x="{WIDTH - 424 + at * 110}" y="22">{name}</text>'
        for at, (name, colour) in enumerate(LEGEND)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" '
        f'font-size="10" fill="#222">\n<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n'
        f'<text x="{MARGIN}" y="22" font-size="13">{escape(title)} ({total} samples)</text>{legend}\n{boxes}</svg>\n'
    )


def _boxes(stacks: Sequence[tuple[Stack, int]], depth: int = 0, left: int = 0) -> Iterator[tuple[str, int, int, int]]:
    """Name, depth, left end and width in samples. The stacks are sorted: equal callers stand together."""
    at = 0
    while at < len(stacks):
        stack, count = stacks[at]
        if len(stack) <= depth:
            at, left = at + 1, left + count
            continue
        name, end, width = stack[depth], at, 0
        while end < len(stacks) and len(stacks[end][0]) > depth and stacks[end][0][depth] == name:
            width += stacks[end][1]
            end += 1
        yield name, depth, left, width
        yield from _boxes(stacks[at:end], depth + 1, left)
        at, left = end, left + width


def _box(name: str, depth: int, left: int, width: int, scale: float, total: int, height: int) -> str:
    wide = width * scale
    if wide < LEAST:
        return ""
    x, y = MARGIN + left * scale, height - MARGIN - (depth + 1) * ROW
    label = name.rpartition(":")[2]
    shown = label[: int((wide - 4) / LETTER)]
    text = f'<text x="{x + 2:.1f}" y="{y + 12}">{escape(shown)}</text>' if len(shown) > 2 else ""
    return (
        f'<g><title>{escape(name)} {width / total:.1%}</title><rect x="{x:.1f}" y="{y}" width="{wide:.1f}" '
        f'height="{ROW - 1}" fill="{_colour(name)}" rx="1"/>{text}</g>\n'
    )


def _colour(name: str) -> str:
    module = name.partition(":")[0]
    known = [prefix for prefix in COLOURS if module == prefix or module.startswith(f"{prefix}.")]
    return COLOURS[max(known, key=len)] if known else OTHER
