"""The benchmark makes latents that stages can read."""

from pathlib import Path

from mimi_dynamics.latents.row_groups import row_groups
from training_memory import CLIP_FRAMES, make_latents


def test_made_up_latents_are_as_many_as_asked_for(tmp_path: Path) -> None:
    make_latents(tmp_path, 40 * CLIP_FRAMES, 40)
    groups = row_groups(tmp_path / "data/latents")
    assert sum(group.frames for group in groups) == 40 * CLIP_FRAMES
    assert (tmp_path / "models/normalizer.safetensors").is_file()
