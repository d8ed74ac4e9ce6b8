"""The second corpus, of read speech."""

from pathlib import Path

from mimi_dynamics.pipeline.params import load_params
from mimi_dynamics.studies.codec_row.subjects import codec_of, read_speech, weights_of
from tests.harness import ROOT
from tests.harness.audio_files import ingest_params, tone, write_sound

PARAMS = load_params(ROOT / "params.yaml")


def test_read_speech_is_of_both_corpora_and_holds_no_voice_out(tmp_path: Path) -> None:
    """Whatever corpora and voices the settings name."""
    names = {"kathleen": "arctic_a{:04d}_1592748422.ogg", "kerstin": "de_rhasspy-{:04d}.ogg"}
    for number, (corpus, name) in enumerate(names.items()):
        for prompt in range(20):
            path = tmp_path / "mirror" / corpus / name.format(prompt)
            write_sound(path, tone(0.3, 300 + 20 * prompt + 7 * number))
    asked = ingest_params(
        corpora=["asterisk"], test_voices=["june"], mirror=str(tmp_path / "mirror")
    )
    params = PARAMS.model_copy(update={"ingest": asked})
    manifest = read_speech(params, tmp_path / "audio")
    assert manifest.groupby("voice").size().to_dict() == dict.fromkeys(names, 20)
    assert set(manifest["split"]) == {"train", "validation", "test"}


def test_a_row_of_read_speech_has_the_codec_of_its_name() -> None:
    assert codec_of("read_codec", PARAMS).weights_sha256 == weights_of("codec", PARAMS)
    for row in ("codec", "lyra", "untrained"):
        assert weights_of(f"read_{row}", PARAMS) == weights_of(row, PARAMS)
