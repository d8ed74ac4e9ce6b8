"""Every wrong setting ends in one line that names the key, its value and what is allowed."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from mimi_dynamics.pipeline.definitions import load_stages
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.pipeline.settings import check_settings
from tests.harness import ROOT
from tests.harness.small_pipeline import OWN_CORPUS, put_over


def write_settings(folder: Path, name: str, key: str, value: Any) -> Path:  # noqa: ANN401
    """A file of the repository's settings with one of them changed, or removed if `...`."""
    settings = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    *path, last = key.split(".")
    section = settings
    for part in path:
        section = section[part]
    if value is ...:
        del section[last]
    else:
        section[last] = value
    file = folder / name
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return file


def test_repository_settings_are_valid() -> None:
    """The committed params.yaml loads."""
    assert load_params(ROOT / "params.yaml").horizon >= 1


def test_settings_of_the_small_pipeline_are_valid() -> None:
    """Every key of tests.yaml is one of params.yaml, and it is small where that is not."""
    settings, small = (
        yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
        for name in ("params.yaml", "tests.yaml")
    )
    put_over(settings, small)
    put_over(settings, OWN_CORPUS)
    params = check_settings(settings, Params)
    assert (params.predict.width, params.calm.layers) == (16, 1)
    with pytest.raises(KeyError, match="widht"):
        put_over(settings, {"predict": {"widht": 16}})


def test_settings_of_make_quick_are_valid(tmp_path: Path) -> None:
    """As DVC writes them, from the line of the Makefile."""
    overrides = re.findall(r"-S '([^']+)'", (ROOT / "Makefile").read_text(encoding="utf-8"))
    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    apply_overrides(path, overrides)
    assert load_params(path).ingest.asterisk.languages == ["it"]


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("horizon", 0, "horizon = 0: input should be greater than or equal to 1"),
        ("horizon", -3, "horizon = -3"),
        ("horizon", 1.5, "horizon = 1.5: input should be a valid integer"),
        ("horizon", "8", "horizon = '8': input should be a valid integer"),
        ("horizon", True, "horizon = True"),
        ("horizon", None, "horizon = None"),
        ("horizon", ..., "horizon: missing"),
        ("horizons", [2, 8], "horizons: [2, 8]: must have 1, the step of rollouts"),
        ("horizn", 8, "horizn: unknown setting"),
        ("predict.lrr", 0.1, "predict.lrr: unknown setting"),
        ("predict.lr", "fast", "predict.lr = 'fast': input should be a valid number"),
        ("predict.lr", float("nan"), "predict.lr = nan"),
        ("predict.lr", float("inf"), "predict.lr = inf"),
        ("predict.dropout", 1.0, "predict.dropout = 1.0: input should be less than 1"),
        ("predict.heads", [], "predict.heads = []"),
        ("predict.heads", ["mnd"], "predict.heads.0 = 'mnd': input should be 'gaussian', 'mdn'"),
        ("codec.name", "encodec", "codec.name: 'encodec': must be one of mimi-mini"),
        ("codec.name", "hf:", "codec.name: 'hf:': must be one of"),
        ("codec.name", 8, "codec.name = 8: input should be a valid string"),
        ("ingest.corpora", ["asterix"], "ingest.corpora.0 = 'asterix'"),
        ("ingest.corpora", ["folder"], "folder.path = 'sources/none': must name a directory"),
        ("ingest.corpora", ["latents"], "latents.path = 'sources/none': must name a folder"),
        ("ingest.corpora", ["latents", "asterisk"], "'latents' must be alone: it has no audio"),
        ("ingest.latents.frame_rate", -1.0, "ingest.latents.frame_rate = -1.0"),
        ("codec.mini.corpora", ["latents"], "codec.mini.corpora.0 = 'latents'"),
        ("ingest.splits.train", 0.9, "train + validation + test = 1.1: must sum to 1"),
        ("ingest.splits.test", -0.1, "ingest.splits.test = -0.1"),
        ("ingest.engine", "dask", "ingest.engine = 'dask': input should be 'local' or 'ray'"),
        ("ingest.min_seconds", 500.0, "min_seconds = 500: must be below max_seconds"),
        ("ingest.voice_pattern", "*/*", "'*/*': must have {voice} in it once, as in '*/{voice}/*'"),
        ("ingest.voice_pattern", "{voice}/{voice}", "must have {voice} in it once"),
        ("latents.dim", 0, "latents.dim = 0"),
        ("calm.head", "flow_matching", "sampling_steps = 1: must be 2 or more"),
        ("predict", [1], "predict = [1]"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, key: str, value: Any, problem: str) -> None:  # noqa: ANN401
    """In one line."""
    with pytest.raises(InputError) as caught:
        load_params(write_settings(tmp_path, "params.yaml", key, value))
    message = str(caught.value)
    assert problem in message
    assert "\n" not in message
    assert message.endswith("`git restore params.yaml`")


@pytest.mark.parametrize("stage", ["ingest", "encode"])
def test_a_stage_depends_on_all_of_its_settings_but_where_it_runs(stage: str) -> None:
    stages = load_stages(ROOT / "dvc.yaml")
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))[stage]
    own = {name for name in stages[stage]["params"] if name.startswith(stage)}
    assert own == {f"{stage}.{key}" for key in settings} - {f"{stage}.engine"}


@pytest.mark.parametrize("number", ["1e-05", "1E-5", "1.0e-5", "0.00001", ".00001"])
def test_exponents_are_numbers(tmp_path: Path, number: str) -> None:
    """DVC writes 1e-05 where a user sets 0.00001."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    file = tmp_path / "params.yaml"
    changed = re.sub(r"(\npredict:.*?\n  lr:) \S+", rf"\1 {number}", text, flags=re.DOTALL)
    assert changed != text
    file.write_text(changed, encoding="utf-8")
    assert load_params(file).predict.lr == 1e-5


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"horizon: [1", "not readable as YAML"),
        (b"", "must hold settings by name"),
        (b"- 1\n", "must hold settings by name"),
        (b"\xff\xfe\x00", "not readable as YAML"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, content: bytes, problem: str) -> None:
    """In one line, whatever the bytes."""
    file = tmp_path / "params.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        load_params(file)
    assert "\n" not in str(caught.value)


def test_missing_file_says_where_to_run(tmp_path: Path) -> None:
    """A stage started in the wrong folder."""
    with pytest.raises(InputError, match="run from the repository's top folder"):
        load_params(tmp_path / "params.yaml")


def lists(settings: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted keys of all lists."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from lists(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield prefix + key


LISTS = list(lists(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))))


def set_by_dvc(folder: Path, setting: str) -> Path:
    """A copy of the repository's settings with one set as `dvc exp run -S` does it."""
    path = folder / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    apply_overrides(path, [setting])
    return path


@pytest.mark.parametrize("key", LISTS)
def test_any_list_can_be_emptied_and_the_file_stays_whole(tmp_path: Path, key: str) -> None:
    """DVC's writer breaks the file where a list is emptied that has a comment beside its key."""
    path = set_by_dvc(tmp_path, f"{key}=[]")
    if key == "ingest.test_voices":
        assert load_params(path).ingest.test_voices == []
        return
    with pytest.raises(InputError, match=rf"{re.escape(key)} = \[\]: list should have at least 1"):
        load_params(path)


def test_a_file_that_dvc_broke_ends_in_one_line(tmp_path: Path) -> None:
    """As when someone puts a comment beside the key of a list."""
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("horizons:\n", "horizons:   # of the sweep\n"), encoding="utf-8")
    apply_overrides(path, ["horizons=[]"])
    with pytest.raises(InputError, match="not readable as YAML") as caught:
        load_params(path)
    assert "\n" not in str(caught.value)


def test_voices_called_by_number_are_names(tmp_path: Path) -> None:
    """As README has it for LibriSpeech; true, null and 1.5 must be in quotes to be voices."""
    path = set_by_dvc(tmp_path, "ingest.test_voices=[84,june]")
    assert load_params(path).ingest.test_voices == ["84", "june"]
    for value in ("true", "null", "1e5", "1.5"):
        path = set_by_dvc(tmp_path, f"ingest.test_voices=[{value}]")
        with pytest.raises(InputError, match=r"ingest\.test_voices\.0: .* in double quotes"):
            load_params(path)


# Folders as people have them, and voices that look like something else.
PATHS = """/data/audio|/data/my audio|/data/lang=en|/data/голос|/data/a,b|/data/a(1)|/data/o'brien
/data/#1|/data/a:b|/data/100%|/data/a&b|/data/[x]|C:\\audio|/data/$HOME|/data/a+b|/data/a@b
/data/a~b|/data/{x}|/data/a;b|/data/é|- x|: x|!x|*|`x`|/data/a\\b"""
VOICES = "0011|p225|84|no|null|true|1e5|1_000|josé|a b|1.0|a.b|2026-01-02|12:30:45|0x1f|+1|~|it's"


@pytest.mark.parametrize("path", re.split(r"[|\n]", PATHS))
def test_a_path_in_double_quotes_arrives_as_typed(tmp_path: Path, path: str) -> None:
    """The README's form, for one experiment and for the queue, which looks for sweeps first."""
    setting = f'ingest.folder.path="{path}"'
    queued = get_hydra_sweeps({"params.yaml": [setting]})
    for form in (setting, *(one["params.yaml"][0] for one in queued)):
        assert load_params(set_by_dvc(tmp_path, form)).ingest.folder.path == path
    assert len(queued) == 1


@pytest.mark.parametrize("path", ["/data/my audio", "/data/o'brien", "/data/$HOME", "C:\\audio #1"])
def test_the_command_of_the_readme_passes_a_path_on(tmp_path: Path, path: str) -> None:
    """As a shell reads it, with the path in a variable."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [argument] = re.findall(r'"ingest\.folder\.path=.+?\\""', readme)
    command = ["bash", "-c", f"audio={shlex.quote(path)}; printf %s {argument}"]
    setting = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert load_params(set_by_dvc(tmp_path, setting)).ingest.folder.path == path


PATTERNS = ("{voice}/**", "*/{voice}/*", "**/{voice}_*", "*/sub-{voice}/a,b=c #1/*", "*{voice}*")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_of_voices_in_double_quotes_arrives_as_typed(
    tmp_path: Path, pattern: str
) -> None:
    setting = f'ingest.voice_pattern="{pattern}"'
    [queued] = get_hydra_sweeps({"params.yaml": [setting]})
    for form in (setting, queued["params.yaml"][0]):
        assert load_params(set_by_dvc(tmp_path, form)).ingest.voice_pattern == pattern


@pytest.mark.parametrize("voice", VOICES.split("|"))
def test_a_voice_in_double_quotes_arrives_as_typed(tmp_path: Path, voice: str) -> None:
    setting = f'ingest.test_voices=["{voice}","ann"]'
    [queued] = get_hydra_sweeps({"params.yaml": [setting]})
    for form in (setting, queued["params.yaml"][0]):
        path = set_by_dvc(tmp_path, form)
        assert load_params(path).ingest.test_voices == [voice, "ann"]
