"""Who serves models, and where: one file of facts a vendor, and the URLs that follow from them."""

from __future__ import annotations

import importlib
import pkgutil

from gateway.vendors.locate import base_from_host as base_from_host
from gateway.vendors.locate import routes as routes
from gateway.vendors.vendor import Account as Account
from gateway.vendors.vendor import Adapted as Adapted
from gateway.vendors.vendor import Auth as Auth
from gateway.vendors.vendor import Identity as Identity
from gateway.vendors.vendor import Operation as Operation
from gateway.vendors.vendor import Routes as Routes
from gateway.vendors.vendor import Vendor as Vendor


def discovered() -> dict[str, Vendor]:
    """Adding a vendor is adding a file: every module here that has a ``VENDOR``."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    rows = (getattr(module, "VENDOR", None) for module in modules)
    return {row.name: row for row in rows if isinstance(row, Vendor)}


VENDORS = discovered()
