"""The corpora that `ingest.corpora` may name, one module each."""

from collections.abc import Callable
from pathlib import Path

from mimi_dynamics.pipeline.params import IngestParams
from mimi_dynamics.speech.corpora import asterisk, folder, librispeech, rhasspy
from mimi_dynamics.speech.corpora.recording import Recording

__all__ = ["CORPORA", "Recording", "list_recordings"]


# By name: what lists the recordings of a corpus, given the settings and a folder for archives.
CORPORA: dict[str, Callable[[IngestParams, Path], list[Recording]]] = {
    "asterisk": lambda p, work: asterisk.list_recordings(p.asterisk.languages, p.archives, work),
    "librispeech": lambda p, work: librispeech.list_recordings(
        p.librispeech.subsets, p.archives, work
    ),
    "folder": folder.list_recordings,
    "kathleen": lambda p, work: rhasspy.list_recordings("kathleen", p.archives, work),
    "kerstin": lambda p, work: rhasspy.list_recordings("kerstin", p.archives, work),
}


def list_recordings(corpus: str, params: IngestParams, workspace: Path) -> list[Recording]:
    """Every source file of a corpus, fetched and unpacked where that is needed.

    Args:
        corpus: One of the names that `ingest.corpora` allows.
        params: Where to find it, and which parts.
        workspace: Folder for unpacked archives, which must outlive the recordings.

    Raises:
        InputError: the corpus cannot be had, or is not what it should be.
    """
    return CORPORA[corpus](params, workspace)
