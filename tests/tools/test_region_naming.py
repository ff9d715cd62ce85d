"""The tool on scenes of the synthetic world."""

import re

import pytest


@pytest.mark.slow
def test_it_prints_one_line_per_prompts_and_choice(small_world, run_program):
    arguments = ("--encoder", "embedded:lite0", "--prompts", "single", "vild")
    arguments += ("--dataset", "synthetic_stuff_zs_val")
    done = run_program(
        "tools/benchmark/region_naming.py", *arguments, DETECTRON2_DATASETS=small_world
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.match(r"\d+ regions", lines[0])
    assert [line.split()[0] for line in lines[1:]] == ["single", "single", "vild", "vild"]
    for line in lines[1:]:
        best, five = map(float, re.search(r"(\S+) \((\S+)\)$", line).groups())
        assert 0 < best <= five <= 100
