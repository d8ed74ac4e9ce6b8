"""How the first packet of a recording sounds, by codec, and what hears whether a packet is one."""

from dataclasses import dataclass

import av
import numpy as np

from mimi_dynamics.speech.holes import Holes
from mimi_dynamics.speech.samples import NOTHING, float_values, levels


@dataclass(frozen=True)
class Beginning:
    """How the first packet of a recording sounds if it is decoded alone.

    Attributes:
        samples: so many are of the time before the recording began.
        quiet: they are below this level, in dB of full scale.
        louder: what follows is so many dB above it, or it would be a pause.
        ended: or it is so many dB below what the packet before says of the same time.
        place: from which sample to which nothing of the packet before is heard any more, and
            nothing but what this one says of the time before; None if there is no such place.
        rise: what follows is so many dB above that place.
        delay: so many samples pass before the recording itself is heard.
    """

    samples: int
    quiet: float
    louder: float
    ended: float = np.inf
    place: tuple[int, int] | None = None
    rise: float = 0.0
    delay: int = 0

    def may_be(self, sound: np.ndarray, ahead: np.ndarray | None) -> np.ndarray:
        """Tell which packets are worth decoding alone, as (packets,) bool.

        In these, that place is quieter by `rise` than what follows it. In pauses and in most of
        speech it is not; to decode every packet twice took as long as all else.

        Args:
            sound: [packets, channels, samples] after the packets before.
            ahead: [channels, samples] of the packet after these.
        """
        if self.place is None:
            return np.ones(len(sound), bool)
        place = levels(sound[:, :, slice(*self.place)])
        if sound.shape[2] > self.delay:
            after = levels(sound[:, :, self.delay :])
        else:
            last = np.inf if ahead is None else levels(ahead[None])[0]
            after = np.append(levels(sound)[1:], last)
        return after > place + self.rise


# By codec: below what is left of the quietest pauses of speech. MP3 and MP2 do not blur sound into
# the time before it as the others do.
BEGINNINGS = {
    "aac": Beginning(1_024, -90.0, 12.0, 32.0, (992, 1_024), 14.0, 1_024),
    "ac3": Beginning(256, -93.0, 12.0, 30.0, (224, 256), 17.0, 256),
    "eac3": Beginning(256, -93.0, 12.0, 30.0, (224, 256), 17.0, 256),
    "mp2": Beginning(240, -101.0, 24.0, place=(320, 448), rise=9.0, delay=512),
    "mp3": Beginning(480, -60.0, 12.0, delay=480),
}


@dataclass(frozen=True)
class Ear:
    """What hears whether packets of one codec are first ones.

    Attributes:
        beginning: how those sound.
        decoder: decodes packets alone.
        holes: hears the packets after each other.
    """

    beginning: Beginning
    decoder: av.AudioCodecContext
    holes: Holes

    def hears_first(self, packet: av.Packet, heard: np.ndarray) -> bool:
        """Tell whether a packet is a first one if it is decoded alone.

        Args:
            packet: the packet.
            heard: [channels, samples] of it after those before.
        """
        first, content = self.beginning, bytes(packet)
        self.decoder.flush_buffers()
        alone = _decoded(self.decoder, content)
        if alone is None or alone.shape != heard.shape or alone.shape[1] < first.samples:
            return False
        before = alone[:, : first.samples]
        level = levels(before)
        if level <= NOTHING:  # A pause of digital silence, or one that was not worth any bits.
            return False
        said_before = heard[:, : first.samples] - before
        if level > first.quiet and levels(said_before) < level + first.ended:
            return False
        again = _decoded(self.decoder, content)  # With this, all that it says of the time after.
        rest = alone[:, first.samples :]
        after = rest if again is None else np.concatenate([rest, again], axis=1)
        return bool(levels(after) > level + first.louder)


def decoder_of(track: av.AudioStream) -> av.AudioCodecContext:
    """Give a decoder of a track's codec that has heard nothing."""
    decoder = av.CodecContext.create(track.codec_context.name, "r")
    if not isinstance(decoder, av.AudioCodecContext):
        raise TypeError(f"{track.codec_context.name}: is no codec of audio")
    return decoder


def _decoded(decoder: av.AudioCodecContext, content: bytes) -> np.ndarray | None:
    try:
        frames = decoder.decode(av.Packet(content))
    except (av.FFmpegError, ValueError):
        return None
    return float_values(frames[0]) if frames else None
