"""The corpora that `ingest.corpora` may name, one module each."""

from pathlib import Path

from mimi_dynamics.pipeline.params import IngestParams
from mimi_dynamics.speech.corpora import asterisk, folder, librispeech, rhasspy
from mimi_dynamics.speech.corpora.recording import Recording

__all__ = ["Recording", "list_recordings"]


def list_recordings(corpus: str, params: IngestParams, workspace: Path) -> list[Recording]:
    """Every source file of a corpus, fetched and unpacked where that is needed.

    Args:
        corpus: One of the names that `ingest.corpora` allows.
        params: Where to find it, and which parts.
        workspace: Folder for unpacked archives, which must outlive the recordings.

    Raises:
        InputError: the corpus cannot be had, or is not what it should be.
    """
    if corpus == "asterisk":
        return asterisk.list_recordings(params.asterisk.languages, params.mirror, workspace)
    if corpus == "librispeech":
        return librispeech.list_recordings(params.librispeech.subsets, params.mirror, workspace)
    if corpus == "folder":
        return folder.list_recordings(params.folder.path, workspace)
    return rhasspy.list_recordings(corpus, params.mirror, workspace)
