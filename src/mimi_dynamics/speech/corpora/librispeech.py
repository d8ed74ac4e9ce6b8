"""LibriSpeech (OpenSLR 12): English audiobooks with transcripts, many speakers, CC BY 4.0.

An archive from OpenSLR must have its known sha256. One from `ingest.mirror` is taken as it is: it
may be a part of the original, and the manifest holds each file's own sum in any case.
"""

from collections.abc import Sequence
from functools import partial
from hashlib import file_digest
from pathlib import Path

from mimi_dynamics.speech.corpora.fetching import (
    FetchError,
    discard,
    download,
    fetch_corpus,
    from_mirror,
    unpack,
)
from mimi_dynamics.speech.corpora.recording import Recording, printable

CORPUS = "librispeech"
HOME = "https://www.openslr.org/resources/12"
SUMS = {
    "dev-clean": "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
    "dev-other": "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365",
    "test-clean": "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
    "test-other": "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29",
    "train-clean-100": "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
    "train-clean-360": "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf",
    "train-other-500": "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2",
}
TRANSCRIPTS = ".trans.txt"


def list_recordings(subsets: Sequence[str], mirror: str, workspace: Path) -> list[Recording]:
    """Get and unpack the subsets; a voice is a speaker's number, such as `84`.

    Args:
        subsets: Keys of `SUMS`.
        mirror: `ingest.mirror` or `.mirror_url`; asked first, if not ''.
        workspace: Folder to unpack into.

    Raises:
        InputError: a subset cannot be had, or is damaged.
    """
    recordings = []
    for subset in sorted(set(subsets)):
        folder = workspace / CORPUS / subset
        unpack(_archive(subset, mirror), folder, _place)
        texts = _texts(folder)
        recordings += [
            _recording(path, subset, texts.get(path.stem, ""))
            for path in sorted(folder.rglob("*.flac"))
        ]
    return recordings


def _archive(subset: str, mirror: str) -> Path:
    ways = [partial(_download, subset)]
    if mirror:
        ways.insert(0, partial(from_mirror, mirror, [f"{subset}.tar.gz"]))
    return fetch_corpus(f"{CORPUS} ({subset})", ways)


def _download(subset: str) -> Path:
    archive = download(f"{HOME}/{subset}.tar.gz")
    with archive.open("rb") as file:
        actual = file_digest(file, "sha256").hexdigest()
    if actual != SUMS[subset]:
        raise FetchError(
            f"{archive} has sha256 {actual[:12]}…, must be {SUMS[subset][:12]}…; {discard(archive)}"
        )
    return archive


def _place(member: str) -> str:
    """`LibriSpeech/dev-clean/84/121123/84-121123-0001.flac` -> the last three parts."""
    wanted = member.endswith((".flac", TRANSCRIPTS))
    return "/".join(member.split("/")[-3:]) if wanted else ""


def _texts(folder: Path) -> dict[str, str]:
    """Transcript by utterance, from lines such as `84-121123-0001 GO DO YOU HEAR`."""
    lines = [
        line.partition(" ")
        for path in sorted(folder.rglob(f"*{TRANSCRIPTS}"))
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    return {utterance: text.strip() for utterance, _, text in lines}


def _recording(path: Path, subset: str, text: str) -> Recording:
    utterance = printable(path.stem)
    voice = utterance.partition("-")[0]
    return Recording(
        name=f"{CORPUS}/{subset}/{utterance}.flac",
        clip_id=f"{CORPUS}/{voice}/{utterance}",
        corpus=CORPUS,
        voice=voice,
        language="en",
        prompt=text or utterance,
        path=path,
        text=text,
    )
