"""Kinds of values that several sections of `params.yaml` have."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

CorpusName = Literal["asterisk", "librispeech", "kathleen", "kerstin", "folder"]
OWN_LATENTS = "latents"  # in place of corpora of speech: latents of somebody's own, without audio
SourceName = Literal[CorpusName, "latents"]
Engine = Literal["local", "ray"]
# A folder or file that is a dependency of stages. DVC needs one that exists, so the default is a
# file in git. To the code, no path is ''.
NO_SOURCE = "sources/none"
Source = Annotated[str, AfterValidator(lambda path: "" if path == NO_SOURCE else path)]
HeadName = Literal["gaussian", "mdn", "autoregressive", "flow"]
StateKind = Literal["filter", "leads", "contrast", "two_speeds", "recursive"]


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {value}")
    return value


WholeNumber = BeforeValidator(_no_truth_value)  # Without it, Literal would accept True as 1.
