"""Every strategy that comes along, by the name it has in the configuration.

Adding one is adding a file here: ``lead_worker.py`` ends with ``STRATEGY = LeadWorker``, and is ``strategy:
lead_worker`` from then on. The struct holds the settings of one configured model, each with its docstring, and has the
methods of ``gateway.routing.Strategy``. Those of installed packages are in ``gateway.config.strategies``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from gateway import routing
from gateway.routing import Strategy


def discovered() -> dict[str, type[Strategy]]:
    """Every module beside this one that has a ``STRATEGY``, by the module's name."""
    names = [found.name for found in pkgutil.iter_modules(routing.__path__)]
    modules = {name: importlib.import_module(f"{routing.__name__}.{name}") for name in names}
    return {name: module.STRATEGY for name, module in modules.items() if hasattr(module, "STRATEGY")}


STRATEGIES: Mapping[str, type[Strategy]] = discovered()
