"""Prometheus' and Alertmanager's own tools accept the committed files, and the rules' unit tests pass."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.deploy.rules import PROMETHEUS, ROOT, RULE_FILES, TEST_FILES

COMMANDS = {
    "check-config": ("promtool", "check", "config", str(PROMETHEUS / "prometheus.yml")),
    "check-rules": ("promtool", "check", "rules", "--lint=all", "--lint-fatal", *map(str, RULE_FILES)),
    "test-rules": ("promtool", "test", "rules", *map(str, TEST_FILES)),
    "check-alertmanager": ("amtool", "check-config", str(ROOT / "deploy" / "alertmanager.yml")),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_tool_has_nothing_to_say_against_it(name: str):
    tool, *arguments = COMMANDS[name]
    program = shutil.which(tool)
    if program is None:
        message = f"{tool} is not installed; on Debian: apt-get install prometheus prometheus-alertmanager"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    ended = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
