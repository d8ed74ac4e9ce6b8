"""Latents without audio, a decoder and codes: how a stage knows that it has them, and says so."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mimi_dynamics.pipeline.conventions import FRAME_RATE

if TYPE_CHECKING:
    import pandas as pd

OWN_CODEC = "own-latents"  # in place of a codec's name in data/latents
OWN_IN_WORDS = "latents of your own"  # the same for people
ENCODER_ALONE = "no_decoder"  # the kind, in data/latents, of those that no decoder turns into sound
NOTHING = "none"  # the only file of a folder of sounds if there are none


def has_audio(manifest: "pd.DataFrame") -> bool:
    """Tell whether the clips of a manifest are audio, rather than latents of somebody's own."""
    return bool((manifest["path"] != "").any())


def has_decoder(info: Mapping[str, Any]) -> bool:
    """Tell whether latents can be heard, by what `data/latents` says of them.

    Those of somebody's own have no codec, and some codecs have an encoder alone. Of those at
    another rate than a latent every 80 ms, what is decoded could not be laid beside frames, which
    sound is judged by.
    """
    decodable = info["codec"] != OWN_CODEC and info["latent_kind"] != ENCODER_ALONE
    return decodable and info["frame_rate"] == FRAME_RATE


def say_without(stage: str, lacking: str, left_out: str) -> None:
    """Say in one line what a stage leaves out because these latents lack something.

    Args:
        stage: its name.
        lacking: what there is not, such as `audio`.
        left_out: what is therefore not done, in words.
    """
    print(f"{stage}: these latents have no {lacking}: {left_out}", file=sys.stderr)
