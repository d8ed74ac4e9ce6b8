"""The closing screen: after a run, what it found beside what the last commit has.

It is text for a terminal, and no stage writes it to a file, since no output may depend on which
commit is the last one.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.metrics import DETAIL_FOLDER, HEADLINES, detail_path
from mimi_dynamics.pipeline.params import OWN_LATENTS, PARAMS_FILE
from mimi_dynamics.pipeline.without_audio import OWN_IN_WORDS
from mimi_dynamics.report import screen
from mimi_dynamics.report.differences import (
    Files,
    changes,
    flattened,
    flips,
    rows_of,
    rulings,
    verdict,
)
from mimi_dynamics.report.rules import BETS_FILE
from mimi_dynamics.report.screen_bets import bets_lines
from mimi_dynamics.report.versions import Version, committed, parsed, working_tree

READ = (DETAIL_FOLDER.as_posix(), PARAMS_FILE.as_posix(), BETS_FILE.as_posix())
BETS = detail_path("bets").as_posix()
BET_NAMES = ("bet1", "bet2", "bet3", "bet4")
PAGE = Path("report/index.html")


@dataclass(frozen=True)
class Results:
    """What one version of the project says.

    Attributes:
        commit: name of the commit, or nothing for the working tree.
        metrics: contents of `metrics/detail/`, by path.
        settings: what `params.yaml` says, by dotted key.
        rules: what `bets.yaml` says, by dotted key.
        broken: paths of metrics files that cannot be read.
    """

    commit: str
    metrics: Files
    settings: Mapping[str, Any]
    rules: Mapping[str, Any]
    broken: tuple[str, ...] = ()

    @property
    def bets(self) -> dict[str, Any]:
        """What the stage `bets` wrote, by dotted key; empty if it has not run."""
        return flattened(self.metrics.get(BETS, {}))

    @property
    def codec(self) -> str:
        """What the latents that verdicts are of come from; empty if the settings do not say."""
        own = self.settings.get("ingest.corpora.0") == OWN_LATENTS
        return OWN_IN_WORDS if own else str(self.settings.get("codec.name", ""))


class Closing(NamedTuple):
    """The closing screen.

    Attributes:
        text: what it says.
        flipped: the bets whose verdict is another than that of the commit, one text each.
    """

    text: str
    flipped: list[str]


def closing(folder: Path = Path()) -> Closing:
    """Compare the results in the working tree with those of the last commit.

    Without a commit to compare with, it says why, and shows what is here.

    Args:
        folder: the top folder of the project.
    """
    mine = results(working_tree(READ, folder))
    theirs: Results | None = None
    reason = ""
    try:
        theirs = results(committed("HEAD", READ, folder))
    except InputError as error:
        reason = str(error)
    if theirs and not theirs.metrics:
        reason, theirs = f"the commit {theirs.commit} has no metrics", None
    return Closing(written(mine, theirs, reason, folder / PAGE), flipped(mine, theirs))


def results(version: Version) -> Results:
    """Read metrics, settings and rules; a file that cannot be read counts as empty."""
    metrics, broken = parsed(version.texts)
    settings, rules = (_yaml(version.texts.get(path, "")) for path in READ[1:])
    return Results(version.name, metrics, settings, rules, tuple(broken))


def _yaml(text: str) -> dict[str, Any]:
    try:
        return flattened(YAML(typ="safe", pure=True).load(text))
    except YAMLError:
        return {}


def flipped(mine: Results, theirs: Results | None) -> list[str]:
    """Name the bets that are judged here and in the commit by rules of one date, and not alike.

    A bet that was not measured, because its stage was not run, is not judged.
    """
    if theirs is None:
        return []
    return [
        f"bet {bet[3:]} was {old}, is {new} (rules of {date})"
        for bet in BET_NAMES
        for date, place in rulings(mine.bets, bet).items()
        if flips(
            old := verdict(theirs.bets, rulings(theirs.bets, bet).get(date, "")),
            new := verdict(mine.bets, place),
        )
    ]


def written(mine: Results, theirs: Results | None, reason: str, page: Path) -> str:
    """Write the closing screen, in lines of at most `screen.WIDTH` columns.

    Args:
        mine: results in the working tree.
        theirs: results of the commit; None if there are none.
        reason: why there are none.
        page: where the report page is to be.
    """
    rows = rows_of(changes(theirs.metrics if theirs else {}, mine.metrics))
    pairs = [row for row in rows if row.paired]
    differ = any(row.old != row.new for row in pairs)
    beside = theirs if differ else None  # where nothing differs, they stand there once
    claims = {bet: str(mine.rules.get(f"{bet}.claim", bet)) for bet in BET_NAMES}
    by_key = {(Path(row.path).stem, row.key): row for row in rows}
    parts = [
        _first_lines(mine, theirs, reason, len(pairs), differ),
        bets_lines(claims, mine.codec, mine.bets, beside.bets if beside else None),
        screen.headline_lines(by_key, beside is not None),
    ]
    if beside:
        expected = bool(screen.changed_settings(beside.settings, mine.settings))
        parts.append(screen.counts_lines(rows, beside.commit, expected))
    parts.append(_last_lines(mine, theirs, page))
    return "\n\n".join("\n".join(part) for part in parts if part)


def _first_lines(
    mine: Results, theirs: Results | None, reason: str, compared: int, differ: bool
) -> list[str]:
    """Say what is compared, and what must be known before a difference is believed."""
    if theirs is None:
        texts = [f"Results here alone; {reason}."]
    elif not compared:
        texts = [f"No numbers here to compare with those of the commit {theirs.commit}."]
    elif differ:
        texts = [f"Results here beside those of the commit {theirs.commit}"]
    else:
        texts = [
            f"All {compared:,} numbers here are the same as in the commit {theirs.commit}, "
            "so they stand here once."
        ]
    if told := flipped(mine, theirs):
        texts.insert(0, f"A verdict flips: {'; '.join(told)}.")
    if theirs:
        so = "so numbers are expected to differ" if differ else "`dvc repro` runs what they change"
        for what, old, new, then in (
            ("Settings differ", theirs.settings, mine.settings, so),
            ("The rules of the bets differ", theirs.rules, mine.rules, "so verdicts may differ"),
        ):
            if named := screen.changed_settings(old, new):
                texts.append(f"{what} from the commit: {named}; {then}.")
    if mine.broken:
        texts.append(f"Not readable, and left out: {', '.join(mine.broken)}.")
    if missing := _not_run(mine, theirs):
        texts.append(f"Not run: {', '.join(missing)}.")
    return [line for text in texts for line in screen.paragraph(text)]


def _not_run(mine: Results, theirs: Results | None) -> list[str]:
    """List the stages that have results in the commit, or a headline, but no results here.

    A study is none of them: `make repro` does not run it, and it records its `settings`.
    """
    before = theirs.metrics if theirs else {}
    known = [detail_path(stage).as_posix() for stage in HEADLINES]
    known += [path for path in before if path not in known and "settings" not in before[path]]
    return [Path(path).stem for path in known if path not in {*mine.metrics, *mine.broken}]


def _last_lines(mine: Results, theirs: Results | None, page: Path) -> list[str]:
    """Say where the page is, and what to try next."""
    shown = f"The page: {page.absolute()}"
    if not page.exists():
        shown = f"The page is not there: `dvc repro bets` writes {PAGE}."
    elif len(shown) > screen.WIDTH:
        shown = f"The page: {PAGE}"  # A path that is broken into lines could not be opened.
    if theirs and screen.changed_settings(theirs.settings, mine.settings):
        following = (
            "Next: `dvc metrics diff` shows what that changed, "
            "`git checkout . && dvc checkout` goes back."
        )
    else:
        following = (
            "Next: `dvc exp run -S horizon=8` predicts further on, "
            "`dvc metrics diff` shows what that changed."
        )
    if _not_run(mine, theirs):
        following = "Next: `make repro` runs all stages."
    return [shown, *screen.paragraph(following)]


def say(text: str) -> None:
    """Print a text on standard output, in whatever letters that can take.

    A reader that has gone, as after `| head`, is no reason for a stage to fail.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "replace").decode(encoding), flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
