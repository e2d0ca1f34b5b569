"""The figures of ``skein bench`` as bars: CPU time of each proxy, a panel for each case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from gateway.cli.bench_rounds import Figure

COLUMNS, PANEL, LEFT, BAR, GAP = 2, 430, 70, 16, 6
TOP, HEAD = 30, 30
INK: Mapping[str, str] = {"skein": "#c2410c", "url": "#c2410c", "nginx": "#1d4ed8"}
OTHER = "#a3a3a3"


def picture(figures: Sequence[Figure]) -> str:
    """SVG. Of streams the time per event, of the others per request; without CPU time the typical latency."""
    shown = [each for each in figures if each.proxy != "direct"]
    cases = list(dict.fromkeys(each.case for each in shown))
    panels = [[each for each in shown if each.case == case] for case in cases]
    heights = [HEAD + len(panel) * (BAR + GAP) + 24 for panel in panels]
    lines = [heights[at : at + COLUMNS] for at in range(0, len(heights), COLUMNS)]
    tops = [TOP + sum(max(line) for line in lines[:number]) for number in range(len(lines))]
    drawn = "".join(
        _panel(panel, LEFT + at % COLUMNS * (PANEL + LEFT + 60), tops[at // COLUMNS]) for at, panel in enumerate(panels)
    )
    width, height = COLUMNS * (PANEL + LEFT + 60) + 20, TOP + sum(map(max, lines))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11" fill="#444">\n<rect width="{width}" height="{height}" fill="#fff"/>\n{drawn}</svg>\n'
    )


def _panel(figures: Sequence[Figure], left: int, top: int) -> str:
    values = [_value(each) for each in figures]
    most = max((value for value, _ in values), default=0.0) or 1.0
    title = f"{figures[0].case}: {values[0][1]}"
    parts = [f'<text x="{left}" y="{top + 16}" font-size="14" fill="#111">{escape(title)}</text>\n']
    for at, (figure, (value, _)) in enumerate(zip(figures, values, strict=True)):
        y, width = top + HEAD + at * (BAR + GAP), max(value, 0.0) / most * PANEL
        of_nginx = f"  ({figure.of_nginx:.1f} × nginx)" if figure.of_nginx and figure.proxy != "nginx" else ""
        said = f"{value:.0f}{of_nginx}" if value >= 20 else f"{value:.1f}{of_nginx}"
        is_long = width > PANEL - 140
        inside, beside = f'x="{left + width - 6:.1f}" text-anchor="end" fill="#fff"', f'x="{left + width + 6:.1f}"'
        parts.append(
            f'<text x="{left - 6}" y="{y + 12}" text-anchor="end">{escape(figure.proxy)}</text>'
            f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{INK.get(figure.proxy, OTHER)}"/>'
            f'<text {inside if is_long else beside} y="{y + 12}">{escape(said)}</text>\n'
        )
    return "".join(parts)


def _value(figure: Figure) -> tuple[float, str]:
    """1. Per event. 2. Per request. 3. How long an answer takes."""
    if figure.cpu_us_per_event is not None:
        return figure.cpu_us_per_event, "CPU µs per event"
    if figure.cpu_us_per_request is not None:
        return figure.cpu_us_per_request, "CPU µs per request"
    return figure.p50_ms, "ms to the whole answer, typically"
