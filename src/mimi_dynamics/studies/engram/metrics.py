"""Effects with intervals, computed from scores of frames, and measurements that explain them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from mimi_dynamics.density.fit import evaluated_splits
from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.evidence.gains import clip_bootstrap
from mimi_dynamics.evidence.intervals import TrainedEstimate
from mimi_dynamics.evidence.surrogates import shuffle
from mimi_dynamics.latents.states import NOISE_FLOOR
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.engram.keys import Keys, in_split, ngram_counts, suffix_ngrams
from mimi_dynamics.studies.engram.memory import ORDERS, Hashing
from mimi_dynamics.studies.engram.model import parameters, trunk_of
from mimi_dynamics.studies.engram.passages import distance_from_train, whole_passages
from mimi_dynamics.studies.engram.study import Subject, Trained, noise_keys

CONTROLS = {  # maps names in metrics to the variant with which the memory is compared
    "help": "iso_parameter",
    "help_over_none": "none",
    "help_over_iso_flop": "iso_flop",
    "help_over_shuffled_keys": "shuffled_keys",
    "help_over_one_row": "one_row",
}
BUCKETS = {"never": (0, 0), "to3": (1, 3), "to15": (4, 15), "more": (16, None)}
PASSAGE_FRAMES = 6  # 480 ms, about the length of a word
QUARTERS = ("nearest", "near", "far", "farthest")
LEAST_TRAININGS = 3  # of a t-interval over trainings; of two it would be ± 9 times their deviation
Trainings = Mapping[str, Sequence[Trained]]  # for each variant, one training for each seed


class Effects:
    """Effects of a memory on one split of one subject.

    Args:
        subject: the sequence to predict.
        trained: the trainings on that subject.
        split: `test` or `test_voice`.
        draws: number of bootstrap draws of clips and seeds.
        seed: seed of the draws.
    """

    def __init__(
        self, subject: Subject, trained: Trainings, split: str, draws: int, seed: int
    ) -> None:
        self.subject, self.trained, self.split = subject, trained, split
        self.bootstrap: ClipBootstrap = clip_bootstrap(subject.data, split, draws, seed)
        count = len(trained["engram"])
        random = np.random.default_rng(seed)
        self.seed_weights = random.multinomial(count, np.full(count, 1 / count), draws) / count
        batches = subject.batches(split)
        target = torch.cat([batch.frame for batch in batches]).numpy()
        self.clip = subject.data.select(split).clip_of_frame[target]
        self.known = target - NEXT_FRAME  # index in the split of the newest context frame

    def mean(
        self, values: Sequence[np.ndarray], kept: np.ndarray | None = None
    ) -> Estimate | TrainedEstimate:
        """Estimate the mean over frames and seeds, from fewer than three by draws of seeds too.

        Args:
            values: (scored,) values for each seed.
            kept: (scored,) bool, which frames to use; None for all frames.
        """
        kept = np.ones(len(self.clip), bool) if kept is None else kept
        means = [self.bootstrap.mean(of[kept], self.clip[kept]) for of in values]
        if len(means) >= LEAST_TRAININGS:
            return TrainedEstimate(tuple(means))
        resamples = np.stack([mean.resamples for mean in means], 1)
        value = float(np.mean([mean.value for mean in means]))
        return Estimate(value, (self.seed_weights * resamples).sum(1))

    def help(self, control: str, kept: np.ndarray | None = None) -> Estimate | TrainedEstimate:
        """Give the NLL of a control minus the NLL with the memory, in nats per frame.

        Trainings are paired by seed.

        Args:
            control: a variant to compare with.
            kept: (scored,) bool, which frames to use; None for all frames.
        """
        pairs = zip(self.trained[control], self.trained["engram"], strict=True)
        values = [of.nll[self.split] - own.nll[self.split] for of, own in pairs]
        return self.mean(values, kept)

    def knock_out(self) -> Estimate | TrainedEstimate:
        """Give the cost of leaving out the memory's output, in a model trained with it.

        The cost is in nats per frame.
        """
        own = self.trained["engram"]
        return self.mean([of.knocked_out[self.split] - of.nll[self.split] for of in own])

    def nll(self) -> Estimate | TrainedEstimate:
        """Give the NLL with the memory, in nats per frame."""
        return self.mean([own.nll[self.split] for own in self.trained["engram"]])

    def metrics(self) -> dict[str, object]:
        """Give the effects, the reuse of keys, and where the memory helps, on this split."""
        metrics: dict[str, object] = {}
        for name, control in CONTROLS.items():
            if control not in self.trained:  # a study of fewer controls
                continue
            metrics |= self.help(control).metrics(f"{name}_nats_per_frame")
        metrics |= self.knock_out().metrics("knock_out_cost_nats_per_frame")
        metrics |= self.nll().metrics("nll_nats_per_frame")
        metrics |= self.reuse() | {"by_count": self.by_count(), "by_passage": self.by_passage()}
        by_noise = self.by_key_noise() if self.split == "test" else {}
        return metrics | ({"by_key_noise": by_noise} if by_noise else {})

    def counts(self, order: int, keys: Keys | None = None) -> np.ndarray:
        """Count for each of the (scored,) targets how often its context n-gram occurs in train.

        Args:
            order: number of keys in the n-gram.
            keys: keys to use instead of the subject's own.
        """
        counts = ngram_counts(keys or self.subject.keys, self.subject.data, order)
        return counts[in_split(self.subject.data, self.split)][self.known]

    def by_count(self) -> dict[str, object]:
        """Give the help over `iso_parameter`, by how often the longest n-gram occurs in train."""
        counts = self.counts(max(ORDERS))
        buckets: dict[str, object] = {}
        openness = [of.openness[self.split] for of in self.trained["engram"]]
        for name, (least, most) in BUCKETS.items():
            kept = (counts >= least) & (counts <= (counts.max() if most is None else most))
            if kept.any():
                buckets[name] = {
                    "share": float(kept.mean()),
                    "gate_openness": float(np.mean([of[kept].mean() for of in openness])),
                    **self.help("iso_parameter", kept).metrics("help_nats_per_frame"),
                }
        return buckets

    def by_key_noise(self) -> dict[str, object]:
        """Give the help over `iso_parameter` where frames have noise when they become keys.

        A generator's own frames have errors, which move addresses.
        """
        subject, of_split = self.subject, in_split(self.subject.data, self.split)
        found: dict[str, object] = {}
        for scale in self.trained["engram"][0].under_noise:
            noisy = noise_keys(subject.data, subject.keys, float(scale), 0)
            pairs = zip(self.trained["iso_parameter"], self.trained["engram"], strict=True)
            saved = [of.nll[self.split] - own.under_noise[scale] for of, own in pairs]
            found[f"sd{scale}".replace(".", "_")] = {
                "key_stability": float((noisy == subject.keys.values)[of_split].mean()),
                **self.mean(saved).metrics("help_nats_per_frame"),
            }
        return found

    def by_passage(self) -> dict[str, object]:
        """Give the help over `iso_parameter`, by how similar the most similar passage of train is.

        A passage ends at the target. A memory of recordings helps only where a test passage repeats
        one of train; a memory of motifs helps elsewhere, too. Passages with a gated frame are left
        out, and so is a quarter that has none.
        """
        ends = self.known + NEXT_FRAME
        length = min(PASSAGE_FRAMES, self.subject.params.warmup_frames + 1)
        heard = np.flatnonzero(whole_passages(self.subject.data.select(self.split), ends, length))
        distance = distance_from_train(self.subject.data, self.split, ends[heard], length)
        rank = distance.argsort(kind="stable").argsort()
        quarters: dict[str, object] = {}
        for number, name in enumerate(QUARTERS):
            quarter = rank * len(QUARTERS) // max(len(rank), 1) == number
            if not quarter.any():
                continue
            kept = np.zeros(len(ends), bool)
            kept[heard[quarter]] = True
            quarters[name] = {
                "distance": float(np.median(distance[quarter])),
                **self.help("iso_parameter", kept).metrics("help_nats_per_frame"),
            }
        return quarters

    def reuse(self) -> dict[str, float]:
        """Measure how much there is to look up, for real keys and keys shuffled within clips."""
        subject = self.subject
        generator = torch.Generator().manual_seed(0)
        column = torch.from_numpy(subject.keys.values).double()[:, None]
        keyed = replace(subject.data, frames=column)
        moved = shuffle(keyed, generator, max(NEXT_FRAME, subject.params.warmup_frames))
        values = moved.frames[:, 0].long().numpy()
        mixed = replace(subject.keys, values=values)
        noisy = noise_keys(subject.data, subject.keys, NOISE_FLOOR, 0)
        of_split = in_split(subject.data, self.split) & ~subject.data.gated.numpy()
        same = noisy == subject.keys.values
        return {
            "seen_ngram_share": float((self.counts(max(ORDERS)) > 0).mean()),
            "seen_pair_share": float((self.counts(min(ORDERS)) > 0).mean()),
            "shuffled_seen_ngram_share": float((self.counts(max(ORDERS), mixed) > 0).mean()),
            "key_stability": float(same[of_split].mean()),
        }


def table_metrics(subject: Subject, hashing: Hashing) -> dict[str, float]:
    """Measure how full the tables are after train, and how many n-grams share a row."""
    data, keys = subject.data, subject.keys
    train = torch.from_numpy(in_split(data, "train"))
    padded = torch.nn.utils.rnn.pad_sequence(
        torch.from_numpy(keys.values).split(data.lengths.tolist()), batch_first=True
    )
    inside = torch.arange(padded.shape[1])[None] < torch.from_numpy(data.lengths)[:, None]
    rows = hashing(padded)[inside][train]
    used = torch.unique(rows)
    distinct = sum(
        len(np.unique(suffix_ngrams(keys.values, data.lengths, keys.count, order)[train.numpy()]))
        * (len(hashing.sizes) // len(hashing.orders))
        for order in hashing.orders
    )
    return {
        "keys": keys.count,
        "rows_used_share": len(used) / sum(hashing.sizes),
        "ngrams_per_used_row": distinct / len(used),
    }


def subject_metrics(subject: Subject, trained: Trainings, params: Params) -> dict[str, object]:
    """Give the entry of one subject in `metrics/detail/engram.json`."""
    engram = trained["engram"][0].network
    metrics: dict[str, object] = {
        "parameters": parameters(engram),
        "iso_parameter_parameters": parameters(trained["iso_parameter"][0].network),
        **table_metrics(subject, trunk_of(engram).its_memory.hashing),
    }
    for split in evaluated_splits(subject.data):
        draws = params.predict.bootstrap_samples
        of_split = Effects(subject, trained, split, draws, params.seed).metrics()
        metrics |= of_split if split == "test" else {split: of_split}
    return metrics
