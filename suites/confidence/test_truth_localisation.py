"""Where truth is: states of true statements, patched into false ones (Marks and Tegmark 2023, CONF-2b).

A question whether a statement is true is run for a false statement, with resid_post of one layer taken from the run of another
statement: at the end of the statement (its last token and the period, or whichever token holds both), or at the last token of the
question. The effect is the rise of P("True") against "False". The paper takes the states of the true twin, patches single tokens
of few-shot prompts in a base model and looks at the difference of two logits (a paper-variant).

A statement and its true twin differ in the last word, so at the end a twin's state turns the verdict in every layer where it is
no more than that word (`twin_end_by_layer`, and `twin_end_rise_of_words`, where only the embeddings are exchanged). Claims are
therefore made of the states of *another* true statement, whose word would make a false statement, too: they turn the verdict only
where they hold that it is true. Exchanging its embeddings alone is one control. The other one is the state of another false
statement, of several in turn; donors whose word is the right one are left out. The layer of each place is chosen on validation
statements, for the effect and for each draw of the control by itself; effects are measured on a held-out relation, differences
prompt by prompt. In the null world what takes the place of the true donor is one more false one.
"""

import numpy as np
from kinds_of_truth import first_of_two, twins_of

import assay
from assay import methods
from assay.forward.positions import resolve, text
from assay.plugin import Metric, above, experiment, finding, not_eligible

NONE = "no difference"
WORTH = 0.1  # of half a difference: the usual 0.2 of the whole
PLACES = ("end", "last")
N_LAYERS = 12  # at most so many layers, evenly spread


@experiment
def truth_patched(lm, late, tier, progress, null_world):
    """CONF-2b: P("True") of false statements with states of other true statements, and of other false ones."""
    n = tier.choose(smoke={"valid": 4, "test": 4}, quick={"valid": 6, "test": 16}, full={"valid": 30, "test": 100})
    draws = tier.choose(smoke=2, quick=3, full=5)
    layers = methods.spread(range(lm.n_layers), N_LAYERS)
    rises, words, p = {}, {}, {}
    for split, most in n.items():
        asked = Asked(lm, twins_of(split, late, most), layers)
        donors = [asked.donors(i, draws, null_world) for i in range(len(asked.twins))]
        if None in donors:
            return not_eligible(f"fewer than {draws + 2} statements whose answers differ from a question's right one")
        rows = [asked.patched(i, donors[i]) for i in progress(range(len(donors)), f"patched, {split}")]
        rises[split], words[split], p[split] = (np.array(part) for part in zip(*rows, strict=True))
    of_true, of_false = p["test"].T
    verdicts = {
        "called_true_if_true": Metric.mean(of_true.tolist(), bounds=(0, 1), tol=0.1, control="called_true_if_false"),
        "called_true_if_false": Metric.mean(of_false.tolist(), bounds=(0, 1), tol=0.1),
        "true_less_false": Metric.mean((of_true - of_false).tolist(), bounds=(-1, 1), tol=0.1),
    }
    if above(verdicts["true_less_false"], 0, source=NONE).verdict != "yes":
        return not_eligible("the model calls true statements true no more than their false twins", **verdicts)
    best = rises["valid"].mean(axis=0).argmax(axis=-1)  # [donors, places]: the layer of each
    metrics, twin, own, drawn = {**verdicts, "layers": list(layers)}, 0, 1, range(2, 2 + draws)
    for place, name in enumerate(PLACES):
        of = rises["test"][:, :, place]  # [N, donors, layers]
        at = [of[:, donor, best[donor, place]] for donor in range(2 + draws)]
        metrics[f"{name}_layer"] = layers[best[own, place]]
        for kind, some in (("twin", [twin]), ("true", [own]), ("false", drawn)):
            metrics[f"{kind}_{name}_by_layer"] = Metric(of[:, some].mean(axis=(0, 1)).tolist(), n=len(of), tol=0.1)
        metrics[f"{name}_rise"] = rise(at[own], control=f"{name}_rise_false_donor")
        metrics[f"{name}_rise_false_donor"] = rise(np.mean(at[2:], axis=0))
        metrics[f"{name}_less_false_donor"] = Metric.difference(at[own].tolist(), np.array(at[2:]).tolist(), tol=0.1)
    # Twins, then other true statements; at the last token of the question words are the same.
    metrics["twin_end_rise_of_words"], metrics["end_rise_of_words"] = (rise(one) for one in words["test"].T)
    metrics["end_less_words"] = rise(rises["test"][:, own, 0, best[own, 0]] - words["test"][:, own])
    there = rises["test"][:, :, :, best[own, 0]]
    halved = (there[:, :, 0] - there[:, :, 1]).T / 2  # of two rises: halves lie between -1 and 1
    metrics["end_less_last_beyond_false_donor_halved"] = Metric.difference(
        halved[own].tolist(), halved[2:].tolist(), tol=0.1
    )
    return metrics


class Asked:
    """Questions about twins, [(true, false), ...], with the states of each, read when first asked for."""

    def __init__(self, lm, twins, layers):
        self.lm, self.twins, self.layers, self.known = lm, twins, layers, {}

    def donors(self, i, draws, null_world):
        """The true twin of the i-th false statement, another true statement, and other false ones; None if they are too few."""
        right = self.twins[i][0].stated
        others = [self.twins[(i + away) % len(self.twins)] for away in range(1, len(self.twins))]
        true, false = ([pair[k] for pair in others if pair[k].stated != right] for k in (0, 1))
        if not true or len(false) <= draws:
            return None
        return [self.twins[i][0], false[draws] if null_world else true[0], *false[:draws]]

    def patched(self, i, donors):
        """Rises of P("True") of the i-th false statement, and P("True") of its true twin and of itself [2].

        The rises are those by each donor's states [donors, places, layers], and by the words of the first two donors [2].
        """
        true, false = self.twins[i]
        prompt, ends, targets, _ = self.read(false)
        variants = [[]]
        for donor in donors:
            _, from_ends, _, run = self.read(donor)
            for name in PLACES:
                places = list(zip(ends[name], from_ends[name], strict=True))
                for layer in self.layers:
                    variants.append([
                        assay.replace("resid_post", run["resid_post", layer][0, one], layer=layer, position=at)
                        for at, one in places
                    ])  # fmt: skip
        for donor in donors[:2]:
            _, from_ends, _, run = self.read(donor)
            places = zip(ends["end"], from_ends["end"], strict=True)
            variants.append([assay.replace("embed", run["embed"][0, one], position=at) for at, one in places])
        p = first_of_two(self.lm.sweep(prompt, variants, targets=list(targets), progress=False).target_log_probs)
        rises, (_, _, targets, run) = p[1:] - p[0], self.read(true)
        of_true = first_of_two(np.array(run.logits)[:, list(targets)])[0]
        return rises[:-2].reshape(len(donors), len(PLACES), len(self.layers)), rises[-2:], (of_true, p[0])

    def read(self, statement):
        """The prompt, the positions of the places, the tokens of both verdicts, and the run with its states."""
        if statement.id not in self.known:
            prompt, targets = methods.where_answers_part(self.lm, statement.question, ("True", "False"))
            asked = self.lm.chat(statement.question)
            ends = [resolve(text(part), asked).prompt[0] for part in (statement.text.removesuffix("."), statement.text)]
            run = self.lm.run(prompt, keep=["embed", *(("resid_post", layer) for layer in self.layers)])
            self.known[statement.id] = prompt, {"end": ends, "last": [len(prompt) - 1]}, targets, run
        return self.known[statement.id]


def rise(values, **options):
    """The mean of differences of probabilities."""
    return Metric.mean(values.tolist(), bounds=(-1, 1), tol=0.1, **options)


def test_metrics(truth_patched, metrics):
    assert metrics == truth_patched


@finding(
    "the state at the end of a true statement turns the verdict on another, false one; its words do not",
    id="CONF-2",
    tier="quick",
)
def test_end(truth_patched):
    r = truth_patched
    assert above(r.end_less_false_donor, 0, source=NONE) & above(r.end_less_words, 0, source=NONE)


@finding("where a statement's end decides the verdict, the last token does not yet", id="CONF-2", tier="quick")
def test_not_last(truth_patched):
    assert above(truth_patched.end_less_last_beyond_false_donor_halved, 0, worth=WORTH, source=NONE)
