"""Choose one of several audio tracks of a file: a meeting, a film, a screen recording."""

from collections.abc import Callable

import av
import numpy as np

from mimi_dynamics.speech.decoding import DECODING_ERRORS
from mimi_dynamics.speech.samples import float_values

SILENT_POWER = 1e-6  # 60 dB below a square wave at full scale


def playable_tracks(media: av.container.InputContainer) -> list[av.AudioStream]:
    """Give the audio tracks for which FFmpeg has a decoder."""
    return [track for track in media.streams.audio if track.codec_context is not None]


def choose_track(
    media: av.container.InputContainer, on_sound: Callable[[float], None], min_seconds: float
) -> int:
    """Give the index, among `playable_tracks`, of the track to use.

    This is the one that the file marks as its default, unless that is silent or too short. If the
    file marks several, or none, it is the loudest of them. The whole file is decoded for this.

    Args:
        media: A file that has just been opened. It has to be opened anew to be decoded again.
        on_sound: Is called with the seconds of each frame that is not silent.
        min_seconds: A track that is shorter is used only if all are.
    """
    tracks = playable_tracks(media)
    powers, seconds = _powers(media, tracks, on_sound)
    usable = (powers > SILENT_POWER) & (seconds >= min_seconds)
    default = [bool(track.disposition & av.stream.Disposition.default) for track in tracks]
    for among in (usable & default, usable):
        if among.any():
            return int(np.where(among, powers, 0.0).argmax())
    return int(powers.argmax())


def _powers(
    media: av.container.InputContainer,
    tracks: list[av.AudioStream],
    on_sound: Callable[[float], None],
) -> tuple[np.ndarray, np.ndarray]:
    """Give of each track its loudest channel's power, without a constant offset, and seconds."""
    energy, seconds = np.zeros(len(tracks)), np.zeros(len(tracks))
    place = {track.index: index for index, track in enumerate(tracks)}
    packets = media.demux(tuple(tracks))
    while True:
        try:
            packet = next(packets, None)
        except DECODING_ERRORS:
            break
        if packet is None:
            break
        try:
            frames = packet.decode()
        except DECODING_ERRORS:
            continue
        for frame in frames:
            values = float_values(frame)
            power = float(np.nan_to_num(values.var(axis=1)).max(initial=0))
            length = frame.samples / frame.sample_rate
            energy[place[packet.stream.index]] += power * length
            seconds[place[packet.stream.index]] += length
            if power > SILENT_POWER:
                on_sound(length)
    return energy / np.maximum(seconds, 1e-9), seconds
