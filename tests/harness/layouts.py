"""Public corpora as they unpack: each writes its texts, and gives the voice of each recording.

Speakers and files are made up, but their names have the form of the real ones.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mimi_dynamics.speech.corpora import Recording, list_recordings
from tests.harness.audio_files import ingest_params

Voices = dict[str, str]  # by the path of a recording


def write_text(path: Path, *lines: str) -> None:
    """Write lines, each with its end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def touch(root: Path, *names: str) -> None:
    """Make empty files, with the folders that they are in."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def listed(root: Path, **changes: Any) -> dict[str, Recording]:  # noqa: ANN401
    """The recordings of a folder that may be opened, by their paths in it."""
    params = ingest_params(folder={"path": str(root)}, **changes)
    recordings = list_recordings("folder", params, root.parent / "clips")
    return {of.name.removeprefix("folder/"): of for of in recordings if not of.refused}


def voices_of(root: Path, **changes: Any) -> Voices:  # noqa: ANN401
    """Who speaks in each of them."""
    return {name: of.voice for name, of in listed(root, **changes).items()}


def timit(root: Path) -> Voices:
    """Four speakers, half of them in TEST."""
    voices = {}
    for part, speakers in {"TRAIN": ("FCJF0", "MDAB0"), "TEST": ("FELC0", "MWBT0")}.items():
        for speaker in speakers:
            for sentence in ("SA1", "SA2", "SX37", "SI1027"):
                name = f"{part}/DR1/{speaker}/{sentence}"
                voices[f"{name}.WAV"] = speaker
                write_text(root / f"{name}.TXT", "0 46797 She had your dark suit.")
                write_text(root / f"{name}.PHN", "0 2360 h#")
                write_text(root / f"{name}.WRD", "2360 4000 she")
    return voices


def timit_in_lower_case(root: Path) -> Voices:
    """As other copies of the disc have it."""
    voices = {
        f"{part}/dr4/{speaker}/{sentence}.wav": speaker
        for part, speaker in (("train", "fcjf0"), ("test", "mdab0"))
        for sentence in ("sa1", "sx37", "si1027")
    }
    for name in voices:
        write_text(root / name.replace(".wav", ".txt"), "0 46797 She had your dark suit.")
    return voices


def librispeech(root: Path) -> Voices:
    """Three speakers in two subsets."""
    voices = {}
    for subset, speakers in {"dev-clean": (84, 174), "train-clean-100": (1088,)}.items():
        for speaker in speakers:
            chapter = f"{speaker}-1211"
            names = [f"{chapter}-{number:04d}" for number in range(4)]
            folder = f"{subset}/{speaker}/1211"
            voices |= {f"{folder}/{name}.flac": str(speaker) for name in names}
            write_text(root / folder / f"{chapter}.trans.txt", *(f"{name} GO ON" for name in names))
    write_text(root / "SPEAKERS.TXT", "84 | F | dev-clean | 8 | name")
    return voices


def libritts(root: Path) -> Voices:
    """Two speakers."""
    voices = {}
    for speaker in ("84", "174"):
        for number in range(3):
            name = f"dev-clean/{speaker}/1211/{speaker}_1211_00000{number}_000000"
            voices[f"{name}.wav"] = speaker
            write_text(root / f"{name}.normalized.txt", "Go on.")
    return voices


def mls(root: Path) -> Voices:
    """Multilingual LibriSpeech: two speakers of German."""
    names = {f"{speaker}_9_{number:06d}": speaker for speaker in (10, 77) for number in range(3)}
    top = "mls_german/train"
    write_text(root / top / "transcripts.txt", *(f"{name}\tgeh weiter" for name in names))
    return {f"{top}/audio/{of}/9/{name}.flac": str(of) for name, of in names.items()}


def vctk(root: Path) -> Voices:
    """Version 0.92: three speakers, two microphones."""
    voices = {}
    for speaker in ("p225", "p315", "s5"):
        for number in (1, 2, 24):
            utterance = f"{speaker}/{speaker}_{number:03d}"
            write_text(root / f"txt/{utterance}.txt", "Please call Stella.")
            for mic in (1, 2):
                voices[f"wav48_silence_trimmed/{utterance}_mic{mic}.flac"] = speaker
    write_text(root / "wav48_silence_trimmed/log.txt", "p225_001 0 1")
    return voices


def vctk_of_before(root: Path) -> Voices:
    """Version 0.80: one microphone."""
    names = [
        f"{speaker}/{speaker}_{number:03d}" for speaker in ("p226", "p227") for number in (1, 2)
    ]
    for name in names:
        write_text(root / f"txt/{name}.txt", "Please call Stella.")
    return {f"wav48/{name}.wav": name[:4] for name in names}


def common_voice(root: Path) -> Voices:
    """Two languages with tables; speakers are hashes, and sentences have quotes of their own."""
    voices = {}
    for language in ("en", "sv-SE"):
        lines, others = [], []
        for number in range(8):
            name, speaker = f"common_voice_{language}_{number}.mp3", f"{number % 3:x}" * 128
            voices[f"{language}/clips/{name}"] = speaker
            (others if number > 5 else lines).append(f'{speaker}\t{name}\t"Hello", she said\t2\t0')
        header = "client_id\tpath\tsentence\tup_votes\tdown_votes"
        write_text(root / language / "validated.tsv", header, *lines)
        write_text(root / language / "train.tsv", header, *lines[:2])
        write_text(root / language / "other.tsv", header, *others)
        write_text(root / language / "clip_durations.tsv", "clip\tduration[ms]", "a.mp3\t900")
    return voices


def ljspeech(root: Path) -> Voices:
    """One speaker."""
    names = [f"LJ001-{number:04d}" for number in range(1, 5)]
    write_text(root / "metadata.csv", *(f"{name}|Printing, 1|Printing, one" for name in names))
    write_text(root / "README", "about")
    return {f"wavs/{name}.wav": "LJSpeech" for name in names}


def esd(root: Path) -> Voices:
    """Speakers of two languages; the same sentences in two emotions."""
    voices = {}
    for speaker in ("0003", "0011"):
        lines = []
        for number, emotion in ((1, "Neutral"), (2, "Neutral"), (351, "Angry"), (352, "Angry")):
            name = f"{speaker}_{number:06d}"
            voices[f"{speaker}/{emotion}/{name}.wav"] = speaker
            lines.append(f"{name}\tThe nine, the eggs, I keep.\t{emotion}")
        write_text(root / speaker / f"{speaker}.txt", *lines)
    return voices


def voxceleb(root: Path) -> Voices:
    """Two celebrities in the development set, one in the test set."""
    speakers = {"dev/wav/id10001": "id10001", "dev/wav/id10002": "id10002"}
    speakers |= {"test/wav/id10270": "id10270"}
    return {
        f"{folder}/1zcIwhmdeo4/{number:05d}.wav": speaker
        for folder, speaker in speakers.items()
        for number in (1, 2)
    }


def aishell(root: Path) -> Voices:
    """Three speakers of Mandarin, in its three parts."""
    speakers = {"train": "S0002", "dev": "S0724", "test": "S0764"}
    return {
        f"wav/{part}/{speaker}/BAC009{speaker}W{number:04d}.wav": speaker
        for part, speaker in speakers.items()
        for number in (121, 122)
    }


def arctic(root: Path) -> Voices:
    """CMU ARCTIC, and L2-ARCTIC, whose speakers have four capitals."""
    speakers = {
        "cmu_us_bdl_arctic": "bdl",
        "cmu_us_slt_arctic": "slt",
        "HKK": "HKK",
        "YBAA": "YBAA",
    }
    for folder in ("HKK", "YBAA"):
        write_text(root / folder / "transcript" / "arctic_a0001.txt", "Author of the danger trail.")
    return {
        f"{folder}/wav/arctic_a000{number}.wav": speaker
        for folder, speaker in speakers.items()
        for number in (1, 2)
    }


def audio_folder(root: Path) -> Voices:
    """As the Hugging Face hub has folders of sound: a table names files and speakers."""
    rows = {f"data/{number:02d}.wav": f"speaker {number % 2}" for number in range(4)}
    lines = (f'{name},"Hello, you",{speaker}' for name, speaker in rows.items())
    write_text(root / "metadata.csv", "file_name,transcription,speaker_id", *lines)
    return rows


LAYOUTS: dict[str, Callable[[Path], Voices]] = {
    "TIMIT": timit,
    "timit-in-lower-case": timit_in_lower_case,
    "LibriSpeech": librispeech,
    "LibriTTS": libritts,
    "mls": mls,
    "VCTK-Corpus-0.92": vctk,
    "VCTK-Corpus": vctk_of_before,
    "cv-corpus-17.0-2024-03-15": common_voice,
    "LJSpeech-1.1": ljspeech,
    "Emotional Speech Dataset (ESD)": esd,
    "voxceleb": voxceleb,
    "data_aishell": aishell,
    "arctic": arctic,
    "hub": audio_folder,
}
