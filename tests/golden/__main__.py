"""Writes the golden files anew: ``python -m tests.golden``. What has changed is for you to judge."""

from __future__ import annotations

from tests.golden import ROOT, answers, requests, written

made = dict([*requests(), *answers()])
for old in ROOT.glob("*-*.json"):
    if old.name not in made:
        old.unlink()
for name, said in made.items():
    (ROOT / name).write_text(written(said))
print(f"{len(made)} files in {ROOT}")
