"""Words for the page: for keys that rules of `bets.yaml` read, and for sounds."""

MEANINGS = {
    "codec.dynamic_gain_nats_per_dim": "gain beyond shuffled frames, nats per dimension",
    "codec.speech_borne_gain_nats_per_dim": "gain carried by the speech, nats per dimension",
    "codec.test_voice.dynamic_gain_nats_per_dim": (
        "gain beyond shuffled frames on the held-out voice, nats per dimension"
    ),
    "codec.test_voice.speech_borne_gain_nats_per_dim": (
        "gain carried by the speech of the held-out voice, nats per dimension"
    ),
    "k1.dynamic_gain_nats_per_dim": (
        "gain beyond shuffled frames, one frame ahead, nats per dimension"
    ),
    "dynamic_ease_over_rivals": "dynamic ease of the state above its best rival",
    "sufficiency_over_pca": "sufficiency of the state above that of as many principal components",
    "ease_above_frontier": "ease of the state above the frontier of its rivals",
    "collapsed": "signs of collapse",
    "z_dyn.help_nats_per_frame": "help on the state over equal parameters, nats per frame",
    "z_dyn.help_over_shuffled_keys_nats_per_frame": (
        "help on the state over shuffled keys, nats per frame"
    ),
    "z_dyn.help_over_one_row_nats_per_frame": (
        "help on the state over a table of one row, nats per frame"
    ),
    "planted.n0_02.found_share": "share of planted motifs of 0.02 nats per frame that were found",
    "ratio.energy_score": "energy score over all leads, ours / CALM",
    "ratio.energy_score_leads_1_2": "energy score one and two frames ahead, ours / CALM",
    "ratio.generation_operations": "operations for each generated frame, ours / CALM",
    "ratio.parameters": "parameters, ours / CALM",
    "ratio.train_operations": "operations of training, ours / CALM",
    "ratio.train_flops_to_equal_energy_score": (
        "operations of training to an equal energy score, ours / CALM"
    ),
}


def meaning(key: str) -> str:
    """Say what a key means, or give the key itself where nobody has put it into words."""
    return MEANINGS.get(key, key)


SOUNDS = {
    "recorded": "the recording",
    "codec": "from the codec's codes",
    "codec latents": "from the codec's latents, not quantised",
    "log-mel codes": "from log-mel codes, at the same bit rate",
    "log-mel components": "from log-mel components, not quantised",
    "Opus": "Opus at 6 kbit a second",
}
DRAWS = {
    "sample": "continued by the predictor",
    "predictor": "continued by the predictor",
    "calm": "continued by CALM",
    "ours": "continued by ours",
}


def heard(kind: str) -> str:
    """Say what a sound of a clip is, or give its kind where nobody has put it into words.

    Args:
        kind: what stands in the name of its file, such as `recorded` or `calm 2`.
    """
    name, _, number = kind.rpartition(" ")
    if name in DRAWS and number.isdigit():
        return f"{DRAWS[name]}, draw {number}"
    return SOUNDS.get(kind, kind)
