"""The Asterisk project's telephone prompts: G.722 at 16 kHz, five languages, four speakers.

Licences: CC-BY-SA 3.0 and CC-BY 3.0. The packages hold no texts. Every file's sha256 is pinned in
`asterisk.sha256`, so the data are the same whichever way they arrive; files of an archive that are
not pinned are not used.
"""

from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path, PurePosixPath

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.speech.corpora.debian import apt_download, unpack_deb
from mimi_dynamics.speech.corpora.fetching import (
    discard,
    download,
    fetch_corpus,
    from_mirror,
    unpack,
)
from mimi_dynamics.speech.corpora.recording import Recording

CORPUS = "asterisk"
VERSION = "1.6.1"
HOME = "https://downloads.asterisk.org/pub/telephony/sounds/releases"
SUMS = Path(__file__).with_name("asterisk.sha256")
# Allison recorded both English and Spanish.
VOICES = {"en": "allison", "es": "allison", "fr": "june", "it": "carlo", "ru": "ivrvoice"}


def list_recordings(languages: Sequence[str], mirror: str, workspace: Path) -> list[Recording]:
    """Get, unpack and check the prompts.

    Args:
        languages: Keys of `VOICES`.
        mirror: `ingest.mirror` or `.mirror_url`; asked first, if not ''.
        workspace: Folder to unpack into.

    Raises:
        InputError: a language cannot be had, or a file is missing or not the pinned one.
    """
    recordings = []
    for language in sorted(set(languages)):
        folder = workspace / CORPUS / language
        archive = _archive(language, mirror)
        if archive.suffix == ".deb":
            unpack_deb(archive, folder, _place_in_package)
        else:
            unpack(archive, folder, _place_in_tarball)
        recordings += [_recording(name, folder) for name in _checked(language, folder, archive)]
    return recordings


def _archive(language: str, mirror: str) -> Path:
    package = f"asterisk-core-sounds-{language}-g722"
    tarball = f"{package}-{VERSION}.tar.gz"
    ways = [partial(apt_download, package, VERSION), partial(download, f"{HOME}/{tarball}")]
    if mirror:
        ways.insert(0, partial(from_mirror, mirror, [f"{package}_{VERSION}-1_all.deb", tarball]))
    return fetch_corpus(f"{CORPUS} ({language})", ways)


def _place_in_package(member: str) -> str:
    """`./usr/share/asterisk/sounds/<set>/digits/1.g722` -> `digits/1.g722`."""
    _, inside, path = member.partition("usr/share/asterisk/sounds/")
    return _place_in_tarball(path.partition("/")[2]) if inside else ""


def _place_in_tarball(member: str) -> str:
    return member.removeprefix("./") if member.endswith(".g722") else ""


def _checked(language: str, folder: Path, archive: Path) -> list[str]:
    """Names such as `en/digits/1.g722` of all pinned files, each with its sum checked."""
    names = []
    for line in SUMS.read_text(encoding="utf-8").splitlines():
        pinned, name = line.split("  ", 1)
        if not name.startswith(f"{language}/"):
            continue
        path = folder.parent / name
        if not path.is_file():
            raise InputError(f"{archive}: {name} is missing; {discard(archive)}")
        actual = sha256(path.read_bytes()).hexdigest()
        if actual != pinned:
            raise InputError(
                f"{archive}: {name} has sha256 {actual[:12]}…, must be {pinned[:12]}…; "
                f"{discard(archive)}"
            )
        names.append(name)
    return names


def _recording(name: str, folder: Path) -> Recording:
    language, _, prompt = str(PurePosixPath(name).with_suffix("")).partition("/")
    return Recording(
        name=f"{CORPUS}/{name}",
        clip_id=f"{VOICES[language]}/{language}/{prompt}",
        corpus=CORPUS,
        voice=VOICES[language],
        language=language,
        prompt=f"{language}/{prompt}",
        path=folder.parent / name,
        container="g722",
    )
