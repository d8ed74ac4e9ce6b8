"""`tools/measure_codec.py`: all that it does but run the stages, which `test_make_mimi.py` does."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

import measure_codec
from mimi_dynamics.codec.mimi import MIMI_FILE, MIMI_REPOSITORY, MIMI_REVISION, MIMI_SHA256
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import load_params
from mimi_dynamics.results.files import read
from mimi_dynamics.results.measured import RELEASES
from mimi_dynamics.results.row import as_text
from tests.harness import ROOT
from tests.harness.run_of_mimi import write_run_of_mimi

CONTENT = b"not what Kyutai published"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Mirror(BaseHTTPRequestHandler):
    """The one file of the hub, with other content."""

    asked: list[str]

    def do_HEAD(self) -> None:
        """Answer as the hub does, which names a file's commit and its hash."""
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("X-Repo-Commit", MIMI_REVISION)
        self.send_header("ETag", f'"{SHA256}"')
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()

    def do_GET(self) -> None:
        """Send the content too."""
        self.do_HEAD()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def mirror() -> Iterator[str]:
    """The address of a mirror of the hub on this machine."""
    Mirror.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def make_repository(folder: Path) -> str:
    """Make a folder a repository with one commit of nothing, and give the commit."""
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "none"], check=True)
    found = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return found.stdout.strip()


def test_a_fetched_file_with_another_hash(mirror: str, tmp_path: Path) -> None:
    """Ends in a line with the file, its hash and the right one, and nothing has run."""
    make_repository(tmp_path)
    hub = {"HF_ENDPOINT": mirror, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0"}
    result = subprocess.run(
        [sys.executable, "tools/measure_codec.py", str(tmp_path), "mimi"],
        cwd=ROOT,
        env=os.environ | {"NO_PROXY": "127.0.0.1"} | hub,
        capture_output=True,
        text=True,
    )
    assert re.fullmatch(
        rf"measure_codec: error: \S+/{MIMI_REVISION}/{re.escape(MIMI_FILE)}: "
        rf"sha256 is {SHA256}: must be {MIMI_SHA256}",
        result.stderr.splitlines()[-1],
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert set(Mirror.asked) == {f"/{MIMI_REPOSITORY}/resolve/{MIMI_REVISION}/{MIMI_FILE}"}


def test_a_row_is_written_here_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of what the clone holds after its stages have run, with its commit."""
    clone = tmp_path / "clone"
    write_run_of_mimi(clone)
    commit = make_repository(clone)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure_codec, "check_weights", lambda *_: MIMI_SHA256)
    monkeypatch.setattr(measure_codec, "run_pipeline", lambda *_: None)
    measure_codec.measure(clone, "mimi", None)
    (path,) = (tmp_path / "results").iterdir()
    row = read(path)
    assert row.project.commit == commit
    said = capsys.readouterr().out
    assert said.startswith(f"mimi: the published weights, {MIMI_REPOSITORY}@{MIMI_REVISION}\n")
    assert said.endswith(f"\n{as_text(row)}\n\n{path.relative_to(tmp_path)}\n")


@pytest.mark.parametrize("weights", [None, Path("/my codecs/a=b, c [1].safetensors")])
def test_settings_arrive_as_meant(weights: Path | None, tmp_path: Path) -> None:
    """As DVC writes them into a file."""
    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    apply_overrides(path, measure_codec.settings_of("mimi", weights))
    params = load_params(path)
    assert params.codec.name == "mimi"
    assert params.codec.mimi.weights == str(weights or "")
    assert params.horizons == [1, 2]


@pytest.mark.parametrize("codec", sorted(RELEASES))
def test_a_local_copy_that_is_not_there(codec: str, tmp_path: Path) -> None:
    """Is told with its path before anything runs."""
    if codec == "lyra" and importlib.util.find_spec("ai_edge_litert") is None:
        pytest.skip("LiteRT is not installed")
    path = tmp_path / "none.safetensors"
    with pytest.raises(InputError, match=f"{path}.* not readable"):
        measure_codec.check_weights(codec, path)


def test_a_folder_that_is_no_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends in a line before anything is fetched."""
    monkeypatch.setattr(sys, "argv", ["measure_codec", str(tmp_path), "mimi"])
    with pytest.raises(SystemExit, match="must be a clone of this repository; `make mimi` makes"):
        measure_codec.main()
