"""Grafana dashboards of the gateway: each ``<name>.json`` is written from ``<name>.py`` by ``python -m dashboards``."""
