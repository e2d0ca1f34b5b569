"""PromQL for the metrics of the catalogue, narrowed to what the viewer picked. A wrong metric or label is a KeyError.

All functions take and return text. ``matchers`` are written as PromQL has them (``outcome="ok"``); ``by`` are the
labels that stay.
"""

from __future__ import annotations

from gateway.observe.families import FAMILIES, Family

# What prometheus_client tells about every process: name -> its labels.
PROCESS: dict[str, tuple[str, ...]] = {
    "process_resident_memory_bytes": (),
    "process_cpu_seconds_total": (),
    "process_open_fds": (),
    "python_gc_collections_total": ("generation",),
    "python_info": ("implementation", "version"),
}
# The labels a viewer can pick by, and whose metrics list their values. Prometheus itself adds the first two.
SCRAPE = ("job", "instance")
PICKED = (*SCRAPE, "model", "provider", "target_model")

TARGET = ("provider", "target_model")

Labels = str | tuple[str, ...]
"""One or several."""

AS_ZOOMED = "$__rate_interval"
AS_SHOWN = "$__range"


def family_of(name: str) -> Family | None:
    """The family behind the name of a series, if it is in the catalogue."""
    if name in FAMILIES:
        return FAMILIES[name]
    base, _, suffix = name.rpartition("_")
    family = FAMILIES.get(base)
    return family if family and family.kind == "histogram" and suffix in ("bucket", "sum", "count") else None


def labels_of(name: str) -> tuple[str, ...]:
    """The labels of a series, without those that Prometheus adds. Raises KeyError for one that does not exist."""
    family = family_of(name)
    if family is None:
        return PROCESS[name]
    return (*family.labels, "le") if name.endswith("_bucket") and family.kind == "histogram" else family.labels


def series(name: str, *matchers: str) -> str:
    """A selector: ``matchers`` and, of the picked labels, those that the metric has."""
    known = (*SCRAPE, *labels_of(name))
    picked = [f'{label}=~"${label}"' for label in PICKED if label in known]
    return f"{name}{{{', '.join((*picked, *matchers))}}}"


def total(name: str, *matchers: str, by: Labels = ()) -> str:
    """A gauge, added up over the instances."""
    return f"sum {_by(by)}({series(name, *matchers)})"


def worst(name: str, *matchers: str, by: Labels = ()) -> str:
    """A gauge at the instance where it is highest."""
    return f"max {_by(by)}({series(name, *matchers)})"


def rate(name: str, *matchers: str, by: Labels = (), over: str = AS_ZOOMED) -> str:
    """Per second."""
    return f"sum {_by(by)}(rate({series(name, *matchers)}[{over}]))"


def increase(name: str, *matchers: str, by: Labels = (), over: str = AS_SHOWN) -> str:
    return f"sum {_by(by)}(increase({series(name, *matchers)}[{over}]))"


def counted(name: str, *matchers: str, by: Labels = (), over: str = AS_SHOWN) -> str:
    """How often something rare happened. Counts the first time too, which ``increase`` cannot see: a series that was
    not there ``over`` ago has all its value from since. (It errs after a gap of Prometheus', when that holds for all.)
    """
    these = series(name, *matchers)
    return f"sum {_by(by)}(({these} unless {these} offset {over}) or increase({these}[{over}]))"


def mean(name: str, *matchers: str, by: Labels = (), over: str = AS_ZOOMED) -> str:
    """Of a histogram."""
    return f"{rate(f'{name}_sum', *matchers, by=by, over=over)} / {rate(f'{name}_count', *matchers, by=by, over=over)}"


def quantile(share_below: float, name: str, *matchers: str, by: Labels = (), over: str = AS_ZOOMED) -> str:
    """Of a histogram, over all its instances."""
    kept = ("le", by) if isinstance(by, str) else ("le", *by)
    return f"histogram_quantile({share_below}, {rate(f'{name}_bucket', *matchers, by=kept, over=over)})"


def share(part: str, whole: str) -> str:
    """``part`` of ``whole``: 0 where only the whole exists, NaN where there is none of it. Sums go in parentheses."""
    return f"({part} or 0 * {whole}) / {whole}"


def _by(labels: Labels) -> str:
    labels = (labels,) if isinstance(labels, str) else labels
    return f"by ({', '.join(labels)}) " if labels else ""


# What an SLO counts: cancelled and rejected exchanges are nobody's failure to serve.

BAD = 'outcome=~"error|timeout"'
SERVED = 'outcome!~"cancelled|rejected"'


def bad_share(name: str, by: Labels = (), over: str = AS_ZOOMED) -> str:
    """Of the requests or attempts that someone waited for."""
    return share(rate(name, BAD, by=by, over=over), rate(name, SERVED, by=by, over=over))


def good_share(name: str, by: Labels = (), over: str = AS_ZOOMED) -> str:
    return f"1 - {bad_share(name, by, over)}"


def burn_rate(over: str, by: Labels = ()) -> str:
    """How many times faster than allowed the error budget is used up; at 1 it lasts exactly its period."""
    return f"{bad_share('skein_requests_total', by, over)} / (1 - $objective)"


def budget_left(by: Labels = ()) -> str:
    """Share of the error budget of the shown time range; below 0 when overspent."""
    return f"1 - {burn_rate(AS_SHOWN, by)}"
