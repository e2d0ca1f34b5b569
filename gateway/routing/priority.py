"""In the order written: the first target serves, the others stand by."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from gateway.chat import Facts
from gateway.routing import Fleet, Ordered, joined


class Priority(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    FIXED: ClassVar[bool] = True

    targets: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]

    def references(self) -> tuple[str, ...]:
        return self.targets

    def order(self, facts: Facts, fleet: Fleet) -> Ordered:
        joint = joined(self.targets, facts, fleet)
        return msgspec.structs.replace(joint, reason="in the order configured", rule="configured")


STRATEGY = Priority
