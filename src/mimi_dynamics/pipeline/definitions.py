"""What `dvc.yaml` says of each stage."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML


def load_stages(path: Path = Path("dvc.yaml")) -> dict[str, dict[str, Any]]:
    """Read the stages by name; of those that DVC makes for each item of a list, what all share.

    These have that list under `foreach`, as it stands there, and `${item}` in their paths.
    """
    stages = YAML(typ="safe", pure=True).load(path)["stages"]
    return {
        name: stage["do"] | {"foreach": stage["foreach"]} if "foreach" in stage else stage
        for name, stage in stages.items()
    }
