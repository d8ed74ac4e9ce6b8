"""Who speaks in each file of a directory, and how that was found out."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import VOICE_IN_PATTERN, IngestParams
from mimi_dynamics.speech.corpora.layouts import Sidecars, Told, tell_by_layout
from mimi_dynamics.speech.corpora.links import is_snapshots
from mimi_dynamics.speech.corpora.recording import composed, printable
from mimi_dynamics.speech.corpora.tables import OWN_TABLE, Table, read_own_table, read_table

NO_VOICE = "unknown"
OWN_PATTERN = "ingest.voice_pattern"
TABLES = {".csv", ".tsv"}
NO_VOICES = re.compile(
    r"(train|dev|test|valid|validation|eval|evaluation|clips|wavs?|flac|mp3|opus|ogg|audios?"
    r"|sounds?|recordings|speech|data|dataset|corpus|corpora)\d*",
    re.IGNORECASE,
)
ANY_FOLDERS, ANY, ONE = "**/", "**", "*"


def tell_all(
    params: IngestParams, root: Path, audio: dict[Path, str], texts: list[Path]
) -> dict[Path, Told]:
    """Tell who speaks in each recording, and what else is known of it.

    Args:
        params: `voice_pattern` and `voice_table`.
        root: the directory.
        audio: names of the recordings, from the directory.
        texts: text files below it.

    Raises:
        InputError: a pattern or table says nothing of any recording.
    """
    own = read_own_table(params.voice_table) if params.voice_table else None
    pattern = _compiled(params.voice_pattern) if params.voice_pattern else None
    tables = _tables(texts)
    sidecars = Sidecars({file.as_posix().lower(): file for file in texts})
    told = {}
    for file in audio:
        path = file.as_posix()
        told[file] = (
            (own and own.tell(path))
            or (pattern and _tell_by_pattern(file.relative_to(root).as_posix(), pattern))
            or _tell_by_tables(root, file, tables)
            or tell_by_layout(path, sidecars)
            or _tell_by_folder(root, file)
        )
    sources = {each.source for each in told.values()}
    for setting, value in ((OWN_TABLE, params.voice_table), (OWN_PATTERN, params.voice_pattern)):
        if value and audio and setting not in sources:
            raise InputError(
                f"{setting} = {value!r:.200}: says nothing of the {len(audio):,} files in "
                f"ingest.folder.path, such as {next(iter(audio.values()))!r:.200}"
            )
    return told


def _compiled(pattern: str) -> re.Pattern[str]:
    """Make a regular expression of `ingest.voice_pattern`.

    `*` is any part of a name, `**` any folders, `{voice}` the shortest part of a name that fits.
    """
    forms = {
        ANY_FOLDERS: "(?:.*/)?",
        ANY: ".*",
        ONE: "[^/]*",
        VOICE_IN_PATTERN: "(?P<voice>[^/]+?)",
    }
    parts = re.split(r"(\*\*/|\*\*|\*|\{voice\})", composed(pattern))
    return re.compile("".join(forms.get(part, re.escape(part)) for part in parts), re.DOTALL)


def _tell_by_pattern(path: str, pattern: re.Pattern[str]) -> Told | None:
    match = pattern.fullmatch(composed(path))
    return Told(OWN_PATTERN, printable(match["voice"])) if match else None


def _tables(texts: list[Path]) -> dict[Path, list[Table]]:
    """Read the tables in the directory, by the folder whose files they tell of."""
    tables: dict[Path, list[Table]] = defaultdict(list)
    for file in texts:
        if file.suffix.lower() in TABLES:
            with suppress(OSError):  # It may not be read: what told of voices instead is printed.
                table = read_table(file)
                if table:
                    tables[file.parent].append(table)
    return tables


def _tell_by_tables(root: Path, file: Path, tables: dict[Path, list[Table]]) -> Told | None:
    """Ask the tables beside a recording, then those in the folders above it."""
    if not tables:
        return None
    for folder in file.parents:
        for table in tables.get(folder, ()):
            told = table.tell(file.relative_to(folder).as_posix())
            if told:
                return told
        if folder == root:
            return None
    return None


def _tell_by_folder(root: Path, file: Path) -> Told:
    """Take the first folder for the voice, but for those that are called by what they hold."""
    start = len(root.parts)
    for folder in file.parents:
        if is_snapshots(folder):
            start = max(start, len(folder.parts) + 1)  # The folder below it is a revision.
    for name in file.parts[start:-1]:
        if not NO_VOICES.fullmatch(name):
            return Told("first folder on the way to the file", composed(printable(name)))
    return Told(f"nothing: voice {NO_VOICE}", NO_VOICE)


def told_by(told: Collection[Told]) -> str:
    """Tell a person in which ways voices were found, and how to say otherwise."""
    files = Counter(each.source for each in told)
    voices = Counter(source for source, _ in {(each.source, each.voice) for each in told})
    lines = ["files       voices  told by"]
    lines += [f"{count:<12,}{voices[source]:<8,}{source}" for source, count in files.most_common()]
    lines.append(f"{OWN_PATTERN} and {OWN_TABLE} tell otherwise (docs/how_to/own_audio.md)")
    return "\n".join(lines)
