"""AWS SageMaker endpoints that run text-generation-inference, in its own format."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.vendors.sagemaker import TGI

VENDOR = replace(TGI, serves=("*",))
