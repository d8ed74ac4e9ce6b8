"""Corpora as they unpack: who speaks, in any depth and beside each other, and how to say it."""

from pathlib import Path

import pytest

from mimi_dynamics.pipeline.errors import InputError
from tests.harness.layouts import LAYOUTS, Voices, listed, touch, voices_of, write_text


def make(root: Path, layout: str) -> Voices:
    """Write a corpus with empty recordings."""
    voices = LAYOUTS[layout](root)
    touch(root, *voices)
    return voices


def but_readme(voices: Voices) -> Voices:
    """Without what has no ending, and will be found to be no sound."""
    return {name: voice for name, voice in voices.items() if not name.endswith("README")}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("above", ["", "a", "corpora/train"])
def test_voices_are_those_of_the_corpus_in_any_depth(
    tmp_path: Path, layout: str, above: str
) -> None:
    expected = make(tmp_path / "speech" / above / layout, layout)
    prefix = f"{above}/{layout}/" if above else f"{layout}/"
    found = but_readme(voices_of(tmp_path / "speech"))
    assert found == {prefix + name: voice for name, voice in expected.items()}
    assert but_readme(voices_of(tmp_path / "speech" / above / layout)) == expected


def test_corpora_beside_each_other_do_not_disturb_each_other(tmp_path: Path) -> None:
    root = tmp_path / "speech"
    expected = {
        f"{layout}/{name}": voice
        for layout in LAYOUTS
        for name, voice in make(root / layout, layout).items()
    }
    touch(root, "anna/one.wav", "train/bob/two.wav", "loose.wav")
    expected |= {"anna/one.wav": "anna", "train/bob/two.wav": "bob", "loose.wav": "unknown"}
    assert but_readme(voices_of(root)) == expected


@pytest.mark.parametrize(
    ("layout", "file", "language", "text"),
    [
        ("TIMIT", "TEST/DR1/FELC0/SA1.WAV", "en", "She had your dark suit."),
        ("timit-in-lower-case", "train/dr4/fcjf0/sa1.wav", "en", "She had your dark suit."),
        ("LibriSpeech", "dev-clean/84/1211/84-1211-0003.flac", "en", "GO ON"),
        ("LibriTTS", "dev-clean/84/1211/84_1211_000001_000000.wav", "en", "Go on."),
        ("mls", "mls_german/train/audio/77/9/77_9_000002.flac", "de", "geh weiter"),
        ("VCTK-Corpus-0.92", "wav48_silence_trimmed/s5/s5_024_mic2.flac", "en", "Please call"),
        ("VCTK-Corpus", "wav48/p226/p226_001.wav", "en", "Please call Stella."),
        ("cv-corpus-17.0-2024-03-15", "en/clips/common_voice_en_7.mp3", "en", '"Hello", she said'),
        ("cv-corpus-17.0-2024-03-15", "sv-SE/clips/common_voice_sv-SE_0.mp3", "sv-SE", '"Hello"'),
        ("LJSpeech-1.1", "wavs/LJ001-0002.wav", "en", "Printing, 1"),
        ("Emotional Speech Dataset (ESD)", "0003/Angry/0003_000351.wav", "zh", "The nine, the"),
        ("Emotional Speech Dataset (ESD)", "0011/Angry/0011_000351.wav", "en", "The nine, the"),
        ("arctic", "HKK/wav/arctic_a0001.wav", "en", "Author of the danger trail."),
        ("data_aishell", "wav/test/S0764/BAC009S0764W0122.wav", "zh", ""),
        ("hub", "data/02.wav", "", "Hello, you"),
    ],
)
def test_languages_and_texts_are_read_where_they_are_known(
    tmp_path: Path, layout: str, file: str, language: str, text: str
) -> None:
    make(tmp_path / layout, layout)
    recording = listed(tmp_path / layout)[file]
    assert recording.language == language
    assert recording.text.startswith(text)


@pytest.mark.parametrize(
    ("layout", "one", "other"),
    [
        ("VCTK-Corpus-0.92", "p225/p225_001_mic1.flac", "p225/p225_001_mic2.flac"),
        ("Emotional Speech Dataset (ESD)", "0011_000002.wav", "0011_000352.wav"),
    ],
)
def test_what_is_said_twice_by_one_voice_has_one_prompt(
    tmp_path: Path, layout: str, one: str, other: str
) -> None:
    make(tmp_path / layout, layout)
    recordings = listed(tmp_path / layout)
    prompts = [
        next(of.prompt for name, of in recordings.items() if name.endswith(end))
        for end in (one, other)
    ]
    assert prompts[0] == prompts[1]
    of_voice = [of.prompt for of in recordings.values() if of.voice == one[: one.find("_")][:4]]
    assert len(set(of_voice)) * 2 == len(of_voice)


@pytest.mark.parametrize("layout", ["LibriSpeech", "TIMIT", "VCTK-Corpus-0.92", "LJSpeech-1.1"])
def test_prompts_do_not_depend_on_where_a_corpus_lies(tmp_path: Path, layout: str) -> None:
    prompts = []
    for place in ("here", "elsewhere/below"):
        make(tmp_path / place / layout, layout)
        recordings = listed(tmp_path / place.partition("/")[0])
        prompts.append(sorted((of.voice, of.prompt) for of in recordings.values() if of.language))
    assert prompts[0] == prompts[1]


def test_a_folder_inside_a_corpus_knows_its_voice(tmp_path: Path) -> None:
    make(tmp_path / "TIMIT", "TIMIT")
    assert set(voices_of(tmp_path / "TIMIT/TEST/DR1/FELC0").values()) == {"FELC0"}
    make(tmp_path / "LibriSpeech", "LibriSpeech")
    assert set(voices_of(tmp_path / "LibriSpeech/dev-clean/84/1211").values()) == {"84"}


def test_a_pattern_says_who_speaks(tmp_path: Path) -> None:
    root = tmp_path / "speech"
    touch(root, "2024/anna/a.wav", "2024/bob/x/y/b.wav", "2025/bob_take1.wav", "c.wav")
    of_folders = voices_of(root, voice_pattern="*/{voice}/**")
    assert of_folders == {
        "2024/anna/a.wav": "anna",
        "2024/bob/x/y/b.wav": "bob",
        "2025/bob_take1.wav": "2025",
        "c.wav": "unknown",
    }
    of_names = voices_of(root, voice_pattern="**/{voice}_*")
    assert of_names["2025/bob_take1.wav"] == "bob"
    with pytest.raises(InputError, match=r"ingest\.voice_pattern = 'nothing/.*such as '2024/anna"):
        voices_of(root, voice_pattern="nothing/{voice}/*")


def test_home_is_known_where_a_stage_is_run_without_dvc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path / "speech", "a.wav")
    write_text(tmp_path / "voices.csv", "path,voice", "a.wav,anna")
    recordings = listed(Path("~/speech"), voice_table="~/voices.csv")
    assert [of.voice for of in recordings.values()] == ["anna"]
    with pytest.raises(InputError, match="must be a directory"):
        listed(Path("~nobody-of-this-name/speech"))


@pytest.mark.parametrize(
    "rows",
    [
        "path,voice,language,text|take1.wav,anna,de,Guten Tag|b/take2.wav,bob,fr,Bonjour",
        "file\tspeaker\tlocale|{root}/a/take1.wav\tanna\tde|./b/take2\tbob\tfr",
        '"path";"voice";"language"|"a/take1.flac";"anna";"de"|"b\\take2.wav";"bob";"fr"',
    ],
)
def test_a_table_says_who_speaks(tmp_path: Path, rows: str) -> None:
    root = tmp_path / "speech"
    touch(root, "a/take1.wav", "b/take2.wav", "c/take3.wav")
    table = tmp_path / "my voices.csv"
    write_text(table, *rows.format(root=root).split("|"))
    recordings = listed(root, voice_table=str(table))
    assert [of.voice for of in recordings.values()] == ["anna", "bob", "c"]
    assert [of.language for of in recordings.values()] == ["de", "fr", ""]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("name,who\na,b\n", "first line such as `path,voice`"),
        ("", "first line such as `path,voice`"),
        ("path,voice\n", "a line for each recording"),
        ("path,voice\nother.wav,anna\n", "says nothing of the 1 files"),
        (None, "cannot be read"),
    ],
)
def test_a_table_that_says_nothing_is_named(
    tmp_path: Path, content: str | None, problem: str
) -> None:
    root, table = tmp_path / "speech", tmp_path / "voices.csv"
    touch(root, "anna/a.wav")
    if content is not None:
        table.write_text(content)
    with pytest.raises(InputError, match=problem) as error:
        voices_of(root, voice_table=str(table))
    assert "ingest.voice_table = " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"path,voice",
        b"path,voice\n\x00\xff,\n",
        b'path,voice\n"a' + b"x" * 200_000,
    ],
)
def test_tables_of_any_bytes_do_no_harm(tmp_path: Path, content: bytes) -> None:
    touch(tmp_path / "speech", "anna/a.wav")
    for name in ("t.tsv", "anna/t.csv", "anna/LJ.txt"):
        (tmp_path / "speech" / name).write_bytes(content)
    assert voices_of(tmp_path / "speech") == {"anna/a.wav": "anna"}


def test_it_is_told_how_voices_were_found_and_how_to_say_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "speech/TIMIT", "TIMIT")
    touch(tmp_path / "speech", "anna/a.wav")
    voices_of(tmp_path / "speech")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["16", "4", "layout", "of", "TIMIT"] in lines
    assert lines[2][:4] == ["1", "1", "first", "folder"]
    assert {"ingest.voice_pattern", "ingest.voice_table"} < set(lines[-1])
