"""``python -m dashboards`` writes the JSON of every dashboard; with ``--check`` it only says which would change."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from dashboards import agents, cost, overview, providers, routing, status, telemetry
from dashboards.board import as_json
from dashboards.reading import FOLDER

# In the order in which the links between them are listed.
BOARDS = (status, overview, providers, routing, agents, cost, telemetry)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 if ``--check`` finds a file that is not what its module makes."""
    parser = argparse.ArgumentParser(prog="python -m dashboards", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if a file is out of date")
    check = parser.parse_args(arguments).check
    stale = out_of_date()
    for path, text in stale.items():
        print(f"{'out of date' if check else 'written'}: {path.relative_to(FOLDER.parent)}")
        if not check:
            path.write_text(text, encoding="utf-8")
    return int(check and bool(stale))


def out_of_date() -> dict[Path, str]:
    """The files whose committed text is not what it should be, with the text it should be."""
    return {path: text for path, text in texts().items() if not path.exists() or path.read_text("utf-8") != text}


def texts() -> dict[Path, str]:
    return {
        FOLDER / f"{module.__name__.rpartition('.')[2]}.json": json.dumps(
            as_json(module.board()), indent=2, ensure_ascii=False
        )
        + "\n"
        for module in BOARDS
    }


if __name__ == "__main__":
    sys.exit(main())
