"""What the README promises is what CI runs and what exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) for line in block.splitlines()
]


def test_the_readme_opens_with_one_picture_and_two_commands():
    opening = README.split("## ")[0]
    assert opening.count("![") == 1
    assert len(COMMANDS) == opening.count("```bash") == 2


def test_ci_runs_the_readmes_test_command_and_nothing_else():
    script = (ROOT / ".ci/run").read_text().splitlines()
    steps = [line for line in script if line and not line.startswith(("#", "set ", "cd "))]
    assert " && ".join(steps) == COMMANDS[1]


def test_every_local_link_leads_somewhere():
    for page in [ROOT / "README.md", *ROOT.glob("packages/*/README.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page}: {target}"


def test_no_package_registry_is_named_outside_the_lock():
    for path in [ROOT / "noxfile.py", *ROOT.glob("**/pyproject.toml"), ROOT / ".ci/run"]:
        assert "/simple" not in path.read_text(), path
