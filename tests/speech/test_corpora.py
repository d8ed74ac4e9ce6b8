"""Each corpus from archives of the right shape: mirrors, sums, transcripts, hostile archives."""

import functools
import http.server
import io
import re
import tarfile
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import CorpusName
from mimi_dynamics.speech.corpora import (
    CORPORA,
    asterisk,
    debian,
    fetching,
    list_recordings,
    rhasspy,
)
from mimi_dynamics.speech.corpora import librispeech as librispeech_corpus
from mimi_dynamics.speech.ingestion import ingest_corpora
from tests.harness.audio_files import encode, ingest_params, tone, write_sound

PACKAGE = "asterisk-core-sounds-en-g722"
SOUNDS = "./usr/share/asterisk/sounds/en_US_f_Allison"


@pytest.fixture(autouse=True)
def _no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Public homes cannot be reached, no package manager is there, and nobody waits."""
    monkeypatch.setattr(debian.shutil, "which", lambda _: None)
    monkeypatch.setattr(fetching, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(fetching, "DOWNLOADS", tmp_path / "downloads")
    monkeypatch.setattr(debian, "DOWNLOADS", tmp_path / "downloads")
    monkeypatch.setattr(asterisk, "HOME", "http://127.0.0.1:9/sounds")
    monkeypatch.setattr(rhasspy, "HOME", "http://127.0.0.1:9/{voice}.tar.gz")


def test_every_corpus_that_settings_may_name_is_there() -> None:
    assert set(get_args(CorpusName)) == CORPORA.keys()


def g722(sound: np.ndarray) -> bytes:
    """16 kHz float [samples] as a bare G.722 stream."""
    return encode(sound, "g722", "g722", 16_000)


@pytest.fixture
def prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Some prompts by name, with their sums pinned in place of the real ones."""
    files = {
        f"digits/{index}.g722": g722(tone(0.5, 300 + 20 * index, 16_000)) for index in range(30)
    }
    files["silence/1.g722"] = g722(np.zeros(16_000))
    files["is.g722"] = b""
    sums = tmp_path / "sums"
    lines = [f"{sha256(content).hexdigest()}  en/{name}\n" for name, content in files.items()]
    sums.write_text("".join(lines))
    monkeypatch.setattr(asterisk, "SUMS", sums)
    return files


def tarball(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def package(path: Path, files: dict[str, bytes], compression: str = "xz") -> Path:
    """A Debian package that holds `files` in the place of the English prompts."""
    inner = {f"{SOUNDS}/{name}": content for name, content in files.items()}
    if compression == "zst":
        plain = tarball(path.with_name("plain"), inner, "w:").read_bytes()
        data = pa.compress(plain, "zstd", asbytes=True)
    else:
        data = tarball(path.with_name("plain"), inner, f"w:{compression}").read_bytes()
    content = b"!<arch>\n"
    for name, part in {"debian-binary": b"2.0", f"data.tar.{compression}": data}.items():
        header = f"{name:16}{0:<12}{0:<6}{0:<6}{'100644':8}{len(part):<10}`\n"
        content += header.encode() + part + b"\n" * (len(part) % 2)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("way", ["xz", "gz", "zst", "upstream"])
def test_asterisk_is_the_same_from_package_and_tarball(
    tmp_path: Path, prompts: dict[str, bytes], way: str
) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    if way == "upstream":
        tarball(mirror / f"{PACKAGE}-1.6.1.tar.gz", {"CREDITS": b"x", **prompts})
    else:
        package(mirror / f"{PACKAGE}_1.6.1-1_all.deb", prompts, way)
    params = ingest_params(corpora=["asterisk"], mirror=str(mirror))
    manifest, rejected = ingest_corpora(params, tmp_path / "data" / "audio")
    assert len(manifest) == 30
    assert set(manifest["voice"]) == {"allison"}
    assert set(manifest["language"]) == {"en"}
    assert dict(zip(manifest["clip_id"], manifest["sha256"], strict=True)) == {
        f"allison/en/{name.removesuffix('.g722')}": sha256(content).hexdigest()
        for name, content in prompts.items()
        if name.startswith("digits")
    }
    assert rejected.to_numpy().tolist() == [
        ["asterisk/en/is.g722", "empty"],
        ["asterisk/en/silence/1.g722", "silent"],
    ]


def test_the_real_sums_name_every_prompt_once() -> None:
    lines = asterisk.SUMS.read_text().splitlines()
    names = [line[66:] for line in lines]
    assert len(set(names)) == len(names) == 2_831
    assert {name.partition("/")[0] for name in names} == set(asterisk.VOICES)
    assert all(len(line.split("  ")[0]) == 64 for line in lines)


def error_of(tmp_path: Path, corpus: str, mirror: Path | str) -> str:
    setting = "mirror_url" if "://" in str(mirror) else "mirror"
    params = ingest_params(corpora=[corpus], **{setting: str(mirror)})
    with pytest.raises(InputError) as error:
        ingest_corpora(params, tmp_path / "data" / "audio")
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "data").iterdir())
    return str(error.value)


def test_a_changed_or_missing_prompt_is_named(tmp_path: Path, prompts: dict[str, bytes]) -> None:
    archive = tmp_path / "mirror" / f"{PACKAGE}-1.6.1.tar.gz"
    tarball(archive, prompts | {"digits/7.g722": b"other"})
    message = error_of(tmp_path, "asterisk", archive.parent)
    assert "en/digits/7.g722 has sha256" in message
    del prompts["digits/9.g722"]
    tarball(archive, prompts)
    assert "en/digits/9.g722 is missing" in error_of(tmp_path, "asterisk", archive.parent)


def test_a_corpus_out_of_reach_says_what_was_tried(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    message = error_of(tmp_path, "asterisk", tmp_path / "mirror")
    for tried in (f"{tmp_path}/mirror holds no", "apt-get", "127.0.0.1:9", "ingest.mirror"):
        assert tried in message
    assert "ingest.mirror = 'nowhere'" in error_of(tmp_path, "asterisk", "nowhere")
    assert "kathleen" in error_of(tmp_path, "kathleen", "")


@pytest.mark.parametrize("damage", ["cut", "noise", "not an archive"])
@pytest.mark.parametrize("kind", ["xz", "gz", "zst", "upstream"])
def test_a_damaged_archive_is_named(
    tmp_path: Path, prompts: dict[str, bytes], kind: str, damage: str
) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    if kind == "upstream":
        archive = tarball(mirror / f"{PACKAGE}-1.6.1.tar.gz", prompts)
    else:
        archive = package(mirror / f"{PACKAGE}_1.6.1-1_all.deb", prompts, kind)
    content = archive.read_bytes()
    middle = len(content) // 2
    changed = {
        "cut": content[:middle],
        "noise": content[:middle] + bytes(1_000) + content[middle + 1_000 :],
        "not an archive": b"<html>no such page</html>",
    }
    archive.write_bytes(changed[damage])
    assert archive.name in error_of(tmp_path, "asterisk", mirror)


@pytest.mark.parametrize("name", ["../../evil.flac", "/evil.flac", "a/../../evil.flac"])
def test_no_archive_writes_outside_its_folder(tmp_path: Path, name: str) -> None:
    archive = tarball(tmp_path / "a.tar.gz", {name: b"evil"})
    with pytest.raises(InputError, match="unsafe"):
        fetching.unpack(archive, tmp_path / "below" / "folder", lambda member: member)
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("kind", ["tar.gz", "deb"])
def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path, kind: str) -> None:
    """100 MB of zeros in 100 kB, before any of it is written."""
    zeros = {"a.flac": b"sound", "b.flac": bytes(10**8)}
    if kind == "deb":
        archive = package(tmp_path / "a.deb", zeros, "gz")
        (tmp_path / "plain").unlink(missing_ok=True)
    else:
        archive = tarball(tmp_path / "a.tar.gz", zeros)
    unpack = debian.unpack_deb if kind == "deb" else fetching.unpack
    with pytest.raises(InputError, match=r"unpacks to more than 50 times its size at .*b\.flac"):
        unpack(archive, tmp_path / "out", lambda member: Path(member).name)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.flac")) <= 5


def test_links_in_an_archive_are_left_out(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            member = tarfile.TarInfo(f"link{kind.decode()}.flac")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    fetching.unpack(tmp_path / "a.tar", tmp_path / "out", lambda member: member)
    assert not (tmp_path / "out").exists()


def test_two_readings_of_a_sentence_share_a_split(tmp_path: Path) -> None:
    folder = tmp_path / "mirror" / "kathleen"
    for prompt in range(30):
        for reading in range(2):
            sound = tone(0.3, 300 + 20 * prompt + 7 * reading)
            name = f"arctic_a{prompt:04d}_15927485{prompt:02d}{reading}.opus"
            write_sound(folder / name.replace("opus", "ogg"), sound)
    params = ingest_params(corpora=["kathleen"], mirror=str(folder.parent))
    manifest, _ = ingest_corpora(params, tmp_path / "data" / "audio")
    assert len(manifest) == 60
    prompts = manifest["clip_id"].str.rpartition("_")[0]
    assert prompts.nunique() == 30
    assert (manifest.groupby(prompts)["split"].nunique() == 1).all()


def test_kerstin_arrives_as_an_archive_too(tmp_path: Path) -> None:
    sound = write_sound(tmp_path / "a.flac", tone(0.5, 440)).read_bytes()
    files = {f"dataset-voice-kerstin-master/wav/de-{index}.flac": sound for index in range(3)}
    tarball(tmp_path / "mirror" / "kerstin.tar.gz", {**files, "top/README.md": b"about"})
    params = ingest_params(mirror=str(tmp_path / "mirror"))
    recordings = list_recordings("kerstin", params, tmp_path / "space")
    assert [recording.clip_id for recording in recordings] == [
        f"kerstin/wav/de-{index}" for index in range(3)
    ]
    assert {(r.voice, r.language) for r in recordings} == {("kerstin", "de")}


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    """A mirror with a small archive of LibriSpeech's shape: 2 speakers, 10 utterances each."""
    files = {"LibriSpeech/README.TXT": b"about"}
    for speaker in (84, 174):
        lines = ""
        for index in range(10):
            name = f"{speaker}-1000-{index:04d}"
            path = write_sound(tmp_path / "a.flac", tone(0.5, 300 + 20 * index + speaker, 16_000))
            files[f"LibriSpeech/dev-clean/{speaker}/1000/{name}.flac"] = path.read_bytes()
            lines += f"{name} SENTENCE {'I' * index} OF {speaker}\n"
        files[f"LibriSpeech/dev-clean/{speaker}/1000/{speaker}-1000.trans.txt"] = lines.encode()
    return tarball(tmp_path / "mirror" / "dev-clean.tar.gz", files).parent


@pytest.fixture
def server(librispeech: Path) -> Iterator[str]:
    """The mirror of `librispeech` behind a URL, on this machine."""
    handler = functools.partial(QuietHandler, directory=str(librispeech))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line on standard error for each."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_librispeech_has_speakers_and_texts(tmp_path: Path, librispeech: Path) -> None:
    params = ingest_params(corpora=["librispeech"], mirror=str(librispeech), test_voices=["174"])
    manifest, rejected = ingest_corpora(params, tmp_path / "data" / "audio")
    assert rejected.empty
    clip = manifest.set_index("clip_id").loc["librispeech/84/84-1000-0003"]
    assert (clip["voice"], clip["language"], clip["text"]) == ("84", "en", "SENTENCE III OF 84")
    assert set(manifest["split"][manifest["voice"] == "174"]) == {"test_voice"}


def test_a_url_mirror_is_asked_once(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = ingest_params(corpora=["librispeech"], mirror_url=server + "/")
    first, _ = ingest_corpora(params, tmp_path / "data" / "audio")
    monkeypatch.setattr(fetching.urllib.request, "urlopen", None)
    again, _ = ingest_corpora(params, tmp_path / "data" / "audio")
    assert again.equals(first)


def test_a_download_that_breaks_off_is_not_kept(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(_: QuietHandler, source: io.BufferedIOBase, target: io.BufferedIOBase) -> None:
        target.write(source.read(100))

    monkeypatch.setattr(QuietHandler, "copyfile", half)
    with pytest.raises(fetching.FetchError, match="broke off after 100 of"):
        fetching.download(f"{server}/dev-clean.tar.gz")
    assert not list((tmp_path / "downloads").iterdir())
    with pytest.raises(fetching.FetchError, match="404"):
        fetching.download(f"{server}/nothing.tar.gz")


ANSWERS = ("page", "half", "stall", "refused")


class BadHandler(QuietHandler):
    """Answers every request with what `answer` says."""

    answer = ""

    def do_GET(self) -> None:
        """A page in place of the archive, its first bytes, or nothing more after them."""
        if self.answer == "refused":
            self.send_error(503)
            return
        content = b"<!doctype html><title>Sign in</title>" * 9
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) + 99 * (self.answer != "page")))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()
        if self.answer == "stall":
            time.sleep(1)


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_bad_answer_is_named_and_not_kept(
    tmp_path: Path, librispeech: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """Sign-in page, end in the middle, stall, refusal: a line that says which, then all is well."""
    monkeypatch.setattr(fetching, "TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(librispeech_corpus, "HOME", "http://127.0.0.1:9")
    monkeypatch.setattr(BadHandler, "answer", answer)
    handler = functools.partial(BadHandler, directory=str(librispeech))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        mirror = f"http://127.0.0.1:{running.server_port}"
        message = error_of(tmp_path, "librispeech", mirror)
        expected = {
            "page": "cannot unpack it (",
            "half": "broke off after 333 of 432 bytes",
            "stall": "timed out",
            "refused": "503",
        }
        assert expected[answer] in message
        assert not list((tmp_path / "downloads").glob("*"))
        monkeypatch.setattr(BadHandler, "do_GET", QuietHandler.do_GET)
        params = ingest_params(corpora=["librispeech"], mirror_url=mirror)
        assert len(ingest_corpora(params, tmp_path / "data" / "audio")[0]) == 20
        running.shutdown()


def test_a_home_that_serves_another_file_is_named_and_it_is_not_kept(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(librispeech_corpus, "HOME", server)
    message = error_of(tmp_path, "librispeech", "")
    assert re.search(
        r"has sha256 \w{12}…, must be 76f87d090650…; it is removed: run again", message
    )
    assert not list((tmp_path / "downloads").iterdir())


@pytest.mark.slow
@pytest.mark.skipif(debian.shutil.which("apt-get") is None, reason="needs apt-get and a network")
def test_the_real_prompts_arrive_through_the_package_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(debian, "DOWNLOADS", tmp_path)
    recordings = list_recordings("asterisk", ingest_params(), tmp_path / "space")
    assert len(recordings) == 568
