"""What a pull request costs: stages that ran again, what they keep on disk, and operations."""

import re
from collections.abc import Mapping
from typing import Any

from mimi_dynamics.report.differences import Row

COSTS = re.compile(r"(^|\.)(parameters|train_flops|flops_per_frame|network_evaluations_per_frame)$")


def bytes_kept(stage: Mapping[str, Any]) -> int:
    """Add up the bytes of the outputs of a stage, from its entry in `dvc.lock`."""
    return sum(out.get("size", 0) for out in stage.get("outs", []))


def cost_table(old: Mapping[str, Any], new: Mapping[str, Any], rows: list[Row]) -> str:
    """Write what ran again, the outputs on disk before and now, and costs that are other now.

    A stage ran again if its dependencies, settings or outputs are other in `dvc.lock`. No time is
    kept in results, so minutes are not told.

    Args:
        old: the stages of `dvc.lock` before, by name.
        new: those of now.
        rows: all metrics before and now.
    """
    again = [name for name in new if new[name] != old.get(name)]
    gone = [name for name in old if name not in new]
    parts = [f"{len(again)} of {len(new)} stages ran again: {listed(again)}." if again else ""]
    parts.append(f"No longer there: {listed(gone)}." if gone else "")
    before, now = (sum(map(bytes_kept, stages.values())) / 1e6 for stages in (old, new))
    parts.append(f"Outputs on disk: {before:,.0f} MB before, {now:,.0f} MB now.")
    costs = [row for row in rows if COSTS.search(row.key) and row.paired and row.old != row.new]
    parts += [
        f"`{row.path}`, `{row.key}`: {row.old:,.4g} before, {row.new:,.4g} now." for row in costs
    ]
    return "\n\n".join(part for part in parts if part)


def listed(names: list[str]) -> str:
    """Write names as code."""
    return ", ".join(f"`{name}`" for name in names)
