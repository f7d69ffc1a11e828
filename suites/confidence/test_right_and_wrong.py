"""A direction between a model's own right and wrong answers, and its effect on P(True) and on stated certainty (CONF-9).

The direction is the difference in means at the last token of the model's own greedy answers, right against wrong ones of the same
relation; answers that say not to know are left out. It is found on some relations, its layer is chosen on others, and it is
tested on new ones, beside the log-probability of the answer's tokens and the entropy before it.

Then it is added to the stream and subtracted: at the last token of an answer that the model judges by a letter (P(True)), and at
all tokens of the question how sure it is. Layer and strength, in lengths of the stream there, are those that, added, make
"True" likeliest for validation answers. An effect is what is measured with the direction added, less what is measured with it
subtracted; controls are random directions of the same length, and differences in means under shuffled labels without their
component along the direction. A control has its own layer and strength, chosen as those of the direction. `..._95` is what one in
twenty of them reaches, whichever way it points. In the null world what steers is a random direction.
"""

import numpy as np
from own_questions import COUNTS, LEAST

from assay import methods
from assay.data.knowledge import HOW_SURE, LETTERS, PROPOSAL, admits, confident, hedged
from assay.plugin import Metric, above, experiment, finding, not_eligible, not_replicated

NONE = "no difference"
STRENGTHS = (0.5, 1.0)  # lengths of the stream
MAX_TOKENS = 16
FEW = f"fewer than {LEAST} effective right or wrong answers in the relations of one split"


@experiment
def right_and_wrong(own_questions):
    """How well the direction parts right from wrong answers, on new relations."""
    counts = own_questions.counts(given=True)
    if min(counts.values()) < LEAST:
        return not_eligible(FEW, **counts)
    test = own_questions.of("test", given=True)
    return {
        **counts,
        "right": Metric.share(own_questions.right[test], clusters=own_questions.entities(test), tol=0.05),
        "auroc_of_token_probability": own_questions.area(own_questions.token_probability(test), test),
        "auroc_of_entropy": own_questions.area(own_questions.certainty(test), test),
        **own_questions.probed("answer", given=True),
    }


@experiment
def right_and_wrong_steering(lm, own_questions, tier, progress, null_world):
    """P(True) of own answers, and stated certainty, with the direction added less the same with it subtracted."""
    counts = own_questions.counts(given=True)
    if min(counts.values()) < LEAST:
        return not_eligible(FEW, **counts)
    n, draws = tier.choose(smoke=4, quick=16, full=60), tier.choose(smoke=2, quick=9, full=19)
    valid, test = (
        methods.spread(list(own_questions.of(split, given=True)), most)
        for split, most in (("valid", max(2, n // 4)), ("test", n))
    )
    # The direction of each layer, and of each control, first; behind the last layer no later token can read what is added.
    layers = methods.spread(range(lm.n_layers - 1), tier.choose(smoke=2, quick=4, full=8))
    candidates = directions(own_questions, layers, draws, null_world)
    tried = [(one, strength) for by_layer in candidates for one in by_layer for strength in STRENGTHS]
    changes = [log_odds(lm, own_questions.own[i], tried, (1,)) for i in progress(valid, "layers and strengths")]
    reached = np.mean(changes, axis=0).reshape(len(candidates), -1)
    places = len(STRENGTHS) * len(layers)
    variants = [tried[i * places + int(best)] for i, best in enumerate(reached.argmax(axis=1))]
    sure = methods.spread(test, max(2, n // 2))
    metrics = {
        **counts,
        "layer": variants[0][0].layer,
        "strength": variants[0][1],
        "layers": layers,
        "log_odds_by_layer": Metric(
            reached[0].reshape(-1, len(STRENGTHS)).max(axis=1).tolist(), n=len(valid), unit="nats", tol=0.3
        ),
    }
    odds, p = np.swapaxes([p_true_changes(lm, own_questions.own[i], variants) for i in progress(test, "P(True)")], 0, 1)
    metrics |= changed("log_odds_change", odds, draws, bounds=None, unit="nats")
    metrics |= changed("p_true_change", p, draws)
    said = [how_sure(lm, own_questions.own[i], variants) for i in progress(sure, "how sure")]
    metrics |= changed("certain_change", [change(one, confident) for one in said], draws)
    return metrics | changed("unhedged_change", [-change(one, hedges) for one in said], draws)


def directions(own_questions, layers, draws, null_world):
    """By layer, as long as the stream at the last token of an answer: the direction, then `draws` controls of either kind."""
    train, rng = own_questions.of("train", given=True), np.random.default_rng(0)
    states, right = own_questions.centred("answer", train), own_questions.right[train]
    lengths = np.linalg.norm(own_questions.read.at("answer")[train].astype(np.float64), axis=-1).mean(axis=0)
    found = []
    for layer in layers:
        vector = states[right][:, layer].mean(axis=0) - states[~right][:, layer].mean(axis=0)
        scaled = (vector / np.linalg.norm(vector) * lengths[layer]).astype(np.float32)
        direction = methods.Direction(scaled, layer, -1, float(lengths[layer]), "resid_post")
        random = [methods.random_control(direction, rng) for _ in range(draws + 1)]
        kinds = [states[right == kind][:, layer] for kind in (True, False)]
        shuffled = [methods.shuffled_control(direction, *kinds, rng) for _ in range(draws)]
        found.append([random[0] if null_world else direction, *random[1:], *shuffled])
    return [list(by_layer) for by_layer in zip(*found, strict=True)]


def p_true_changes(lm, own, variants):
    """Log-odds of "True", and P(True), of an own answer with each (direction, strength) added, less with it subtracted."""
    odds = log_odds(lm, own, variants, (1, -1))
    p = 0.5 * (1 + np.tanh(odds / 2))
    return odds[::2] - odds[1::2], p[::2] - p[1::2]


def log_odds(lm, own, variants, signs):
    """Log-odds of "True" of an own answer with each (direction, strength) added with each sign: [variants * signs]."""
    asked = PROPOSAL.format(own.asked, own.said)
    end = methods.place_at_end_of(lm, asked, f"Proposed Answer: {own.said}").at
    prompt, letters = methods.where_answers_part(lm, asked, (LETTERS[True], LETTERS[False]))
    place = methods.PromptPlace(prompt, end)
    edits = [[place.adding(one, sign * strength)] for one, strength in variants for sign in signs]
    found = lm.sweep(prompt, edits, targets=list(letters), progress=False).target_log_probs
    return found[:, 0] - found[:, 1]


def how_sure(lm, own, variants):
    """What is said about how sure the answer is, with each (direction, strength) added everywhere, and subtracted."""
    prompt = lm.chat(HOW_SURE.format(own.asked))
    edits = [[one.addition(sign * strength)] for one, strength in variants for sign in (1, -1)]
    return [made.text for made in lm.sweep(prompt, edits, max_tokens=MAX_TOKENS, progress=False).continuations]


def hedges(said):
    """Whether an answer hedges, or says not to know."""
    return hedged(said) or admits(said)


def change(said, judged):
    """Judged with each direction added, less with it subtracted: -1, 0 or 1."""
    flags = np.array([bool(judged(text)) for text in said], float)
    return flags[::2] - flags[1::2]


def changed(name, rows, draws, bounds=(-1, 1), **options):
    """Metrics: the mean effect of the direction, and what one in twenty of the controls reaches. rows: [prompts, variants]."""
    table = np.array(rows)
    own, random, shuffled = table[:, 0], table[:, 1 : 1 + draws], table[:, 1 + draws :]
    return {
        name: Metric.mean(own.tolist(), bounds=bounds, tol=0.11, control=f"{name}_random_95", **options),
        f"{name}_random_95": Metric(float(np.quantile(np.abs(random.mean(axis=0)), 0.95)), tol=0.11, **options),
        f"{name}_shuffled_95": Metric(float(np.quantile(np.abs(shuffled.mean(axis=0)), 0.95)), tol=0.11, **options),
    }


def test_separation_metrics(right_and_wrong, metrics):
    assert metrics == right_and_wrong


def test_steering_metrics(right_and_wrong_steering, metrics):
    assert metrics == right_and_wrong_steering


@finding(
    "a direction at the end of a model's own answers parts right from wrong ones, in relations that it was not found on",
    id="CONF-9",
    tier="quick",
)
def test_parts(right_and_wrong):
    assert above(right_and_wrong.answer_auroc, 0.5, source="chance")


@finding(
    "a direction parts a model's own right answers from wrong ones better than directions from permuted labels do",
    id="CONF-9",
    tier="quick",
)
def test_better_than_permuted(right_and_wrong):
    r = right_and_wrong
    assert above(r.answer_auroc, r.answer_auroc_permuted_95, worth=COUNTS, source="95 % of permuted labels")


@finding(
    "a direction at the end of answers parts right from wrong ones better than the probability of the answer does",
    id="CONF-9",
    tier="quick",
)
def test_better_than_token_probability(right_and_wrong):
    assert above(right_and_wrong.answer_less_token_probability, 0, worth=COUNTS, source=NONE)


@finding(
    "added at the end of an answer, the direction of right answers makes the model call it true; other vectors do not",
    id="CONF-9",
    tier="quick",
)
@not_replicated("llama_tiny", tier="quick", reason="1.1 nats [0.37, 1.9], n 16; one in twenty random vectors 1.5")
def test_moves_p_true(right_and_wrong_steering):
    r = right_and_wrong_steering
    # In log-odds, as P(True) of most answers is near 0 or 1; half a nat is a twelfth of a probability at even odds.
    assert above(
        r.log_odds_change,
        r.log_odds_change_random_95,
        r.log_odds_change_shuffled_95,
        worth=0.5,
        source="95 % of controls",
    )


@finding(
    "with the direction of right answers added, the model says more often that it is certain, and hedges less often",
    id="CONF-9",
    tier="quick",
)
@not_replicated(
    "llama_tiny", tier="quick", reason="certain in 0.25 fewer [-0.65, 0.25], hedges as often [-0.34, 0.34], n 8"
)
def test_moves_certainty(right_and_wrong_steering):
    r = right_and_wrong_steering
    assert above(
        r.certain_change, r.certain_change_random_95, r.certain_change_shuffled_95, source="95 % of controls"
    ) & above(r.unhedged_change, r.unhedged_change_random_95, r.unhedged_change_shuffled_95, source="95 % of controls")
