"""Hosts of AWS: which partition a region is in, and which region a host is in. Pure."""

from __future__ import annotations

import re

# The partitions of botocore's own table: https://github.com/boto/botocore/blob/develop/botocore/data/partitions.json
SUFFIXES = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "eu-isoe-": "cloud.adc-e.uk",
    "us-isof-": "csp.hci.ic.gov",
}
"""Beginnings of regions -> what their hosts end in; all others are in the commercial partition or its GovCloud."""
COMMERCIAL = "amazonaws.com"

_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+){1,3}-\d{1,2}")
_SUFFIX = "|".join(map(re.escape, (*SUFFIXES.values(), COMMERCIAL, "api.aws")))
_HOST = re.compile(rf"(?:^|\.)({_REGION.pattern})\.(?:vpce\.)?(?:{_SUFFIX})$")


def host(service: str, region: str | None) -> str:
    """Of a service in a region. Raises ``ValueError`` when that is not a region."""
    if not region:
        raise ValueError("AWS is called in one region: set region (or AWS_REGION), such as us-east-1")
    if not _REGION.fullmatch(region):
        raise ValueError("the region is not one of AWS: write it as us-east-1")
    suffix = next((suffix for begin, suffix in SUFFIXES.items() if region.startswith(begin)), COMMERCIAL)
    return f"{service}.{region}.{suffix}"


def region_of(host: str) -> str | None:
    """The region of a host of AWS's own; None for any other host."""
    found = _HOST.search(host.lower())
    return found[1] if found else None
