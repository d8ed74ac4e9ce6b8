"""Public corpora as they unpack: who speaks, what, and in which language, by the path of a file.

A layout is told by the last few parts of a path, whatever folders are above them, so that corpora
may lie beside each other. It must be beyond doubt: the names of folders recur in those of files,
or have a form that no other corpus has. Texts are read from files that come with the recordings.

TIMIT: LDC93S1. LibriSpeech: OpenSLR 12. LibriTTS: OpenSLR 60. Multilingual LibriSpeech: OpenSLR 94.
VCTK: doi 10.7488/ds/2645. ESD: Zhou et al. 2021, arXiv 2010.14794. LJSpeech: Ito & Johnson 2017.
VoxCeleb: Nagrani et al. 2017, arXiv 1706.08612. AISHELL-1: OpenSLR 33. CMU ARCTIC: Kominek & Black
2004; L2-ARCTIC: Zhao et al. 2018. Of Common Voice, tables say who speaks: `tables.py`.
"""

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

UTF16 = (b"\xff\xfe", b"\xfe\xff")
MLS_LANGUAGES = {"dutch": "nl", "english": "en", "french": "fr", "german": "de"}
MLS_LANGUAGES |= {"italian": "it", "polish": "pl", "portuguese": "pt", "spanish": "es"}
ESD_SENTENCES = 350  # The same ones are said in each of five emotions, numbered one after another.
Parts = Mapping[str, str]  # What a pattern finds in a path, by the names of its groups.


@dataclass(frozen=True)
class Layout:
    """A corpus as it unpacks.

    Attributes:
        name: of the corpus.
        pattern: matches the end of a path. Its groups are `voice`, what else it needs, and
            `prompt`, an id of what is said, if that is not the name of the file.
        language: of a recording.
        texts: paths, from the folder of the recording, of a file that may hold its text.
        separator: what parts the lines of that file, of which the first field is the name of the
            recording and the second its text; '' if the whole file is the text.
        voice: who speaks, if the pattern has no such group.
        prompt: makes the id of what is said from the group `prompt`.
    """

    name: str
    pattern: str
    language: Callable[[Parts], str]
    texts: tuple[str, ...] = ()
    separator: str = ""
    voice: str = ""
    prompt: Callable[[str], str] = str


@dataclass(frozen=True)
class Told:
    """What a path or a table tells of a recording; '' for what it does not."""

    source: str
    voice: str
    language: str = ""
    prompt: str = ""
    text: str = ""


def _english(_: Parts) -> str:
    return "en"


def _of_mls(parts: Parts) -> str:
    return MLS_LANGUAGES.get(parts.get("language", "").lower(), "")


def _of_esd(parts: Parts) -> str:
    """Ten speakers of Mandarin, then ten of English."""
    return "zh" if int(parts["voice"]) <= 10 else "en"


LAYOUTS = (
    Layout(
        "TIMIT",
        r"dr[1-8]/(?P<voice>[fm][a-z]{3}\d)/(?P<prompt>s[aix]\d+)(\.wav)?",
        _english,
        ("{prompt}.txt",),
    ),
    Layout(
        "LibriSpeech",
        r"(?P<voice>\d+)/(?P<chapter>\d+)/(?P=voice)-(?P=chapter)-\d+",
        _english,
        ("{voice}-{chapter}.trans.txt",),
        " ",
    ),
    Layout(
        "LibriTTS",
        r"(?P<voice>\d+)/(?P<chapter>\d+)/(?P=voice)_(?P=chapter)_\d+_\d+",
        _english,
        ("{file}.normalized.txt", "{file}.original.txt"),
    ),
    Layout(
        "Multilingual LibriSpeech",
        rf"(mls_(?P<language>{'|'.join(MLS_LANGUAGES)})[^/]*/(\w+/)?)?audio/"
        r"(?P<voice>\d+)/(?P<chapter>\d+)/(?P=voice)_(?P=chapter)_\d+",
        _of_mls,
        ("../../../transcripts.txt",),
        "\t",
    ),
    Layout(
        "VCTK",
        r"(?P<voice>[ps]\d+)/(?P=voice)_(?P<prompt>\d+)(_mic\d)?",
        _english,
        ("../../txt/{voice}/{voice}_{prompt}.txt",),
    ),
    Layout(
        "ESD",
        r"(?P<voice>00(0[1-9]|1\d|20))/([^/]+/){0,2}(?P=voice)_(?P<prompt>\d{6})",
        _of_esd,
        tuple(f"{up}{{voice}}.txt" for up in ("", "../", "../../")),
        "\t",
        prompt=lambda number: str((int(number) - 1) % ESD_SENTENCES + 1),
    ),
    Layout(
        "LJSpeech",
        r"wavs/LJ\d{3}-\d{4}",
        _english,
        ("../metadata.csv",),
        "|",
        voice="LJSpeech",
    ),
    Layout("VoxCeleb", r"(?P<voice>id\d{5})/[\w-]{11}/\d{5}", lambda _: ""),
    Layout("AISHELL", r"(?P<voice>S\d{4})/\w*(?P=voice)W(?P<prompt>\d{4})", lambda _: "zh"),
    Layout(
        "CMU ARCTIC",
        r"(cmu_us_(?P<us>\w+)_arctic|(?P<l2>(?-i:[A-Z]{3,4})))/(wav|orig)/(?P<prompt>arctic_[ab]\d{4})",
        _english,
        ("../transcript/{prompt}.txt",),
    ),
)


PATTERNS = [(of, re.compile(rf"(?:^|/)(?:{of.pattern})\.\w+$", re.IGNORECASE)) for of in LAYOUTS]


class Sidecars:
    """Text files that come with recordings.

    Args:
        paths: where each lies, by its path in lower case from the folder that recordings are in.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths
        self._lines: dict[tuple[Path, str], dict[str, str]] = {}

    def text(self, name: str) -> str:
        """Give a file's text, in one line; '' if there is no such file."""
        path = self._paths.get(name.lower())
        return " ".join(read_text(path).split()) if path else ""

    def line(self, name: str, separator: str, key: str) -> str:
        """Give the second field of the line of a file whose first field is `key`; '' if none is."""
        path = self._paths.get(name.lower())
        if path is None:
            return ""
        if (path, separator) not in self._lines:
            # LibriSpeech's text itself has the separator, the space, in it.
            fields = -1 if separator != " " else 1
            lines = [line.split(separator, fields) for line in read_text(path).splitlines()]
            self._lines[path, separator] = {
                line[0].strip().lower(): " ".join(line[1].split()) for line in lines if line[1:]
            }
        return self._lines[path, separator].get(key.lower(), "")


def tell_by_layout(path: str, sidecars: Sidecars) -> Told | None:
    """Tell what a path says of a recording, if it is as in one of `LAYOUTS`.

    Args:
        path: of a recording, with slashes; it may begin anywhere above what a layout looks at.
        sidecars: by paths that begin there too.
    """
    for layout, pattern in PATTERNS:
        match = pattern.search(path)
        if match:
            parts = {name: text for name, text in match.groupdict().items() if text is not None}
            folder, name = posixpath.split(path)
            parts["file"] = posixpath.splitext(name)[0]
            voice = layout.voice or next(parts[of] for of in ("voice", "us", "l2") if of in parts)
            prompt = layout.prompt(parts.get("prompt", parts["file"]))
            text = _text(layout, folder, parts, sidecars)
            return Told(f"layout of {layout.name}", voice, layout.language(parts), prompt, text)
    return None


def _text(layout: Layout, folder: str, parts: Parts, sidecars: Sidecars) -> str:
    for form in layout.texts:
        name = posixpath.normpath(posixpath.join(folder, form.format(**parts)))
        if layout.separator:
            text = sidecars.line(name, layout.separator, parts["file"])
        else:
            # TIMIT's begins with the numbers of the first sample and of the last.
            text = re.sub(r"^\d+ \d+ ", "", sidecars.text(name))
        if text:
            return text
    return ""


def read_text(path: Path) -> str:
    """Read a text file in UTF-8 or UTF-16; '' if it cannot be read, with � for what is neither."""
    try:
        content = path.read_bytes()
    except OSError:
        return ""
    encoding = "utf-16" if content.startswith(UTF16) else "utf-8-sig"
    return content.decode(encoding, "replace")
