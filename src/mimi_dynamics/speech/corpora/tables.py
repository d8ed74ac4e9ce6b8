"""Tables that say who speaks in which file, by the columns of their first line.

Common Voice comes with them (`client_id`, `path`, `sentence`, `locale`), and so do folders as the
Hugging Face hub has them (`file_name`, `transcription`); people write their own (`path`, `voice`).
"""

import csv
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.sources import expanded
from mimi_dynamics.speech.corpora.layouts import Told
from mimi_dynamics.speech.corpora.recording import composed

FILE = ("path", "file_name", "filename", "file", "wav", "audio")
VOICE = ("voice", "speaker_id", "speaker", "client_id")
TEXT = ("text", "sentence", "transcription", "transcript")
LANGUAGE = ("language", "locale")
PROMPT = ("prompt",)
SEPARATORS = "\t,;|"
ENDING = re.compile(r"\.[a-z]\w{1,4}$", re.IGNORECASE)
OWN_TABLE = "ingest.voice_table"
COMMON_VOICE = "client_id"  # The column that no other corpus has.
LOCALE = re.compile(r"[a-z]{2,3}(-[A-Za-z]+)?")  # Common Voice has a folder for each.


@dataclass(frozen=True)
class Table:
    """What a table says of each file that it names.

    Attributes:
        source: a name for it.
        told: by the path that it gives, without the file's ending.
    """

    source: str
    told: Mapping[str, Told]

    def tell(self, path: str) -> Told | None:
        """Tell what is said of the file with a path, or with the longest end of it.

        Args:
            path: of a recording, with slashes; it may begin above what the table gives.
        """
        parts = _key(path).split("/")
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        return next((self.told[end] for end in ends if end in self.told), None)


def _key(path: str) -> str:
    path = posixpath.normpath(composed(path).replace("\\", "/"))
    return ENDING.sub("", path)


def read_table(path: Path, source: str = "") -> Table | None:
    """Read a table, if its first line names a column of files and one of voices; None if not.

    Args:
        path: of a file with commas, tabs, semicolons or bars between its columns.
        source: a name for it; '' for one that says what kind it is.

    Files without a voice are left out. Of lines about one file, the first counts.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        header = file.readline().rstrip("\r\n")
        for separator in SEPARATORS:
            names = [name.strip().strip('"').lower() for name in header.split(separator)]
            of_file, of_voice = _column(names, FILE), _column(names, VOICE)
            if of_file and of_voice:
                break
        else:
            return None
        rows = csv.DictReader(
            file,
            names,
            delimiter=separator,
            # Sentences of Common Voice have quotes of their own, which quote nothing.
            quoting=csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL,
        )
        usual, folder = f"table {path.name}", ""
        if of_voice == COMMON_VOICE:
            usual, folder = "tables of Common Voice", path.parent.name
        locale = folder if LOCALE.fullmatch(folder) else ""
        columns = [_column(names, wanted) for wanted in (LANGUAGE, PROMPT, TEXT)]
        told: dict[str, Told] = {}
        for row in _readable(rows):
            voice = composed(row[of_voice].strip())
            language, prompt, text = (" ".join(row.get(name, "").split()) for name in columns)
            if row[of_file] and voice:
                of = Told(source or usual, voice, language or locale, prompt, text)
                told.setdefault(_key(row[of_file]), of)
    return Table(source or usual, told)


def _column(names: list[str], wanted: tuple[str, ...]) -> str:
    return next((name for name in wanted if name in names), "")


def _readable(rows: csv.DictReader) -> Iterator[dict[str, str]]:
    """Give the rows that the module csv can read, with '' for the fields that are not there."""
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:  # A field of more than 128 kB: this is no table after all.
            continue
        yield {name: value or "" for name, value in row.items() if isinstance(name, str)}


def read_own_table(path: str) -> Table:
    """Read the table that `ingest.voice_table` names.

    Raises:
        InputError: it is no such table.
    """
    setting = f"{OWN_TABLE} = {path!r:.200}"
    try:
        table = read_table(expanded(path), OWN_TABLE)
    except OSError as error:
        raise InputError(f"{setting}: cannot be read ({error.strerror})") from error
    if table is None or not table.told:
        raise InputError(
            f"{setting}: must be a table with a first line such as `path,voice`, where `path` "
            "is that of a recording in ingest.folder.path, and a line for each recording"
        )
    return table
