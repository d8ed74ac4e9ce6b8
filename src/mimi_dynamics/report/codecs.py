"""What stages found about the codec: its sound beside that of plain codecs, and its encoder."""

from mimi_dynamics.pipeline.conventions import WAYS
from mimi_dynamics.report.formatting import cell, decimal, number, side, words
from mimi_dynamics.report.metrics_file import Metrics, has, measured
from mimi_dynamics.report.parts import Number, Section, Sound, Table


def reconstruct_section(metrics: Metrics, sounds: tuple[Sound, ...]) -> Section:
    """How speech sounds after the codec, beside codecs that anyone could have instead."""
    ours, plain = (measured(metrics, f"test.{way}.estoi") for way in ("codec", "log_mel"))
    # Not paired, so two intervals that overlap do not tell them apart.
    less = ours.high < plain.low
    better = {True: "less", False: "more" if ours.low > plain.high else "no more and no less"}
    sentence = (
        f"From its codes, held-out speech is {better[less]} intelligible (ESTOI {cell(ours)}) than "
        f"from plain log-mel frames at the same bit rate ({cell(plain)})."
    )
    numbers = [number(metrics, "test.codec.estoi", "ESTOI, from the codec's codes")]
    heard = has(metrics, "english.codec")
    if heard:
        wrong, unlearned = (
            measured(metrics, f"english.{way}.word_error_rate") for way in ("codec", "log_mel")
        )
        sentence += (
            f" An English recogniser then gets {cell(wrong, 'share')} of words wrong that it heard "
            f"in the recording, against {cell(unlearned, 'share')}."
        )
        numbers.append(
            number(metrics, "english.codec.word_error_rate", "words heard wrongly", "share")
        )
    measures = {
        "test.{}.log_mel": ("log-mel distance", "nats"),
        "test.{}.estoi": ("ESTOI", "nats"),
        "test_voice.{}.estoi": ("ESTOI, new voice", "nats"),
        "english.{}.word_error_rate": ("words wrong", "share"),
    }
    shown = {key: of for key, of in measures.items() if has(metrics, key.format("codec"))}
    table = Table(
        "Held-out recordings",
        ("decoded from", *(label for label, _ in shown.values())),
        [
            (
                label,
                *(cell(measured(metrics, k.format(way)), unit) for k, (_, unit) in shown.items()),
            )
            for way, label in WAYS.items()
        ],
    )
    return Section(
        "reconstruct", "What does the codec keep?", sentence, numbers, [table], tuple(sounds)
    )


def encoders_section(metrics: Metrics) -> Section:
    """What an untrained encoder's latents show already."""
    name = "dynamic_gain_nats_per_dim"
    trained, untrained, plain = (
        measured(metrics, f"{source}.{name}") for source in ("trained", "untrained", "log_mel")
    )
    beyond = {1: "more", 0: "no surely other amount", -1: "less"}[side(trained, untrained.value)]
    sentence = (
        f"Latents of an encoder that was never trained gain {cell(untrained)} too, log-mel frames "
        f"without any encoder {cell(plain)}; the codec's own gain {cell(trained)}, {beyond} than "
        f"the untrained one's."
    )
    labels = {
        "trained": "the codec's latents",
        "untrained": "an untrained encoder's",
        "log_mel": "log-mel frames",
    }
    numbers = [number(metrics, f"{source}.{name}", label) for source, label in labels.items()]
    table = Table(
        "Latents before anything is predicted",
        ("of", "effective dimensions", "loudness explains", "correlation with the next frame"),
        [
            (
                label,
                decimal(measured(metrics, f"{source}.effective_dim").value, 1),
                cell(measured(metrics, f"{source}.loudness_r2"), "share"),
                decimal(measured(metrics, f"{source}.autocorrelation.k1").value),
            )
            for source, label in labels.items()
            if has(metrics, f"{source}.autocorrelation.k1")
        ],
    )
    return Section("encoders", "Or is it the encoder?", sentence, numbers, [table])


def codec_section(metrics: Metrics) -> Section:
    """What the codec does to speech that it was not trained on."""
    splits = [split for split in ("test", "test_voice") if has(metrics, split)]
    quantized, bare = (
        measured(metrics, f"test.log_mel_{k}") for k in ("quantized", "mean_spectrum")
    )
    sentence = (
        f"Through all its codes, held-out speech comes back at a log-mel distance of "
        f"{decimal(quantized.value)}, where its mean spectrum alone is at {decimal(bare.value)}."
    )
    labels = {  # and decimals
        "log_mel_unquantized": ("log-mel distance, before the quantiser", 3),
        "log_mel_quantized": ("log-mel distance, after it", 3),
        "pitch_error_cents_quantized": ("pitch error, cents", 1),
        "pitch_voicing_agreement_quantized": ("agreement on what is voiced", 3),
    }
    table = Table(
        "Reconstruction of held-out speech",
        ("measure", *(words(split) for split in splits)),
        [
            (
                label,
                *(decimal(measured(metrics, f"{split}.{key}").value, digits) for split in splits),
            )
            for key, (label, digits) in labels.items()
        ],
    )
    parameters = measured(metrics, "parameters").value / 1e6
    numbers = [
        number(metrics, "test.log_mel_quantized", "log-mel distance, test"),
        Number("parameters", f"{parameters:.1f} M", "", "parameters"),
    ]
    return Section("codec", "The codec", sentence, numbers, [table])
