"""The tool on three photos, linked to and never copied."""

import re

import pytest


@pytest.mark.slow
def test_it_prints_one_line_per_prompts_and_choice(real_data, tmp_path, run_program):
    for folder, suffix in (("train2017", "jpg"), ("stuffthingmaps/train2017", "png")):
        (tmp_path / "coco" / folder).mkdir(parents=True)
        for file in sorted((real_data / "coco" / folder).glob(f"*.{suffix}"))[:3]:
            (tmp_path / "coco" / folder / file.name).symlink_to(file)
    arguments = ("--encoder", "embedded:lite0", "--prompts", "single", "vild", "--data", tmp_path)
    done = run_program("tools/benchmark/region_naming.py", *arguments)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.match(r"\d+ regions", lines[0])
    assert [line.split()[0] for line in lines[1:]] == ["single", "single", "vild", "vild"]
    for line in lines[1:]:
        best, five = map(float, re.search(r"(\S+) \((\S+)\)$", line).groups())
        assert 0 < best <= five <= 100
