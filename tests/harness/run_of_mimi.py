"""What a run of the pipeline with Kyutai's weights leaves behind, with numbers of another codec."""

import json
import shutil
from pathlib import Path

from ruamel.yaml import YAML

from mimi_dynamics.codec.mimi import MIMI_SHA256
from mimi_dynamics.pipeline.metrics import detail_path
from mimi_dynamics.studies.codec_row.records import row_path
from mimi_dynamics.studies.codec_row.subjects import RUN
from tests.harness import ROOT

MEASURED = row_path(RUN)


def change(path: Path, **values: object) -> None:
    """Set keys of a JSON file; None removes one."""
    content = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: of for key, of in content.items() if of is not None}))


def write_run_of_mimi(folder: Path) -> None:
    """Write settings that name Mimi, and the committed metrics as if they were of it."""
    for name in (MEASURED, detail_path("ingest"), detail_path("normalize"), Path("params.yaml")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    yaml = YAML()
    settings = yaml.load(folder / "params.yaml")
    settings["codec"]["name"] = "mimi"
    yaml.dump(settings, folder / "params.yaml")
    origin = json.loads((ROOT / MEASURED).read_text())["origin"]
    origin["settings"]["codec"]["name"] = "mimi"
    origin["weights_sha256"] = MIMI_SHA256
    change(folder / MEASURED, origin=origin)
