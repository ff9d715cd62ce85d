"""The pins are complete, verifiable, free of anything of one machine's, and fit pyproject.toml."""

import re
import tomllib
from pathlib import Path

import pytest


def entries(checkout: Path, lock: str) -> list[str]:
    """The logical lines of a lock: one per package, its hashes included."""
    text = (checkout / "requirements" / lock).read_text()
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("lock", ["build.txt", "lock.txt", "no-deps.txt"])
def test_each_package_has_one_version_and_hashes_and_no_address(checkout: Path, lock: str) -> None:
    locked = entries(checkout, lock)
    assert locked
    for entry in locked:
        assert re.match(r"^[a-z0-9-]+==[\w.]+ ", entry), entry
        assert re.search(r" --hash=sha256:[0-9a-f]{64}( |$)", entry), entry
    names = [entry.split("==")[0] for entry in locked]
    assert len(names) == len(set(names))
    text = (checkout / "requirements" / lock).read_text()
    assert not re.findall(r"://|--(?:extra-)?index|--find-links|--trusted|(?<!\w)/\w+/", text)


def test_the_lock_holds_what_pyproject_asks_for_and_the_constraints(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    wanted = sum(project["optional-dependencies"].values(), project["dependencies"])
    locked = {entry.split()[0] for entry in entries(checkout, "lock.txt")}
    assert {re.split(r"[<>=]", requirement)[0] for requirement in wanted} <= {
        pin.split("==")[0] for pin in locked
    }
    constraints = (checkout / "requirements" / "constraints.txt").read_text().splitlines()
    assert {line for line in constraints if not line.startswith("#")} <= locked
