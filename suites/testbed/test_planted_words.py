"""Calibration on planted decisions: does the lens read them where they were planted, and do they need the planted attention?

Training made the lens say a word at one token after one layer (`testbed.json` says which): " unknown" at the end of a made-up
name, " named" at the option that a user's view names, " right" at the answer of a true statement, " refuse" behind a harmful
request. The control is the same word where it should not be read. Three decisions need an attention path through planted layers
alone: the path is knocked out in these layers, and in the other layers. The path from the options to the view uses
*duplicate-token heads*, which attend to tokens equal to their own: it is also knocked out in these heads alone, and in as many
others. The path from a stated answer to the word before it is cut in wrong statements as well, which should cost nothing: the
model calls wrong whatever it does not recognise as right.

Prompts about one entity, one question or one request (in all its languages) are one cluster. In the null world, the places where
a word was planted are other places where it was not, and a path is cut there or elsewhere by the fall of a coin, item by item.
"""

from dataclasses import dataclass

import numpy as np

import assay
from assay import methods
from assay.data.instructions import instructions
from assay.data.knowledge import entities, statements
from assay.data.opinions import opinions
from assay.forward.positions import resolve
from assay.plugin import Metric, above, experiment, finding, not_eligible, not_replicated
from assay.record.curves import rate_curve
from assay.testbed.planted import planted_truth

TESTBED = {"paper": "Testbed", "ref": "planted truth of the built-in models"}
NOTHING_PLANTED = "nothing was planted in this model"
NONE = "no difference"
REQUESTS = 8  # of each kind, in each language: a request is one cluster
COUNTS = 0.1
"""Nats that count: a tenth off the probability of the answer."""


@dataclass(frozen=True)
class Planted:
    """A word that the lens should read after a layer: at the places of `yes`, and not at those of `no`.

    A place is (prompt, position, what it is about: a label that is equal where places are not independent).
    """

    name: str
    word: str
    layer: int
    yes: list
    no: list


@experiment
def planted_words(lm, model_spec, tier, null_world):
    """How often the lens reads each word, by layer, where it was planted and where it was not."""
    truth = planted_truth(model_spec)
    if truth is None:
        return not_eligible(NOTHING_PLANTED)
    metrics = {}
    for found in planted_decisions(lm, truth, tier.choose(smoke=4, quick=24, full=None)):
        by_label = sorted(found.no, key=lambda place: place[-1])
        half = len(by_label) // 2  # the halves share one label at most
        yes, no = (by_label[:half], by_label[half:]) if null_world else (found.yes, found.no)
        for kind, places in (("yes", yes), ("no", no)):
            prompts, positions, labels = zip(*places, strict=True)
            lenses = methods.logit_lenses(lm, list(prompts), list(positions))
            read = np.array([lens.ranks(found.word) == 0 for lens in lenses])
            name = found.name if kind == "yes" else f"{found.name}_elsewhere"
            control = {"control": f"{found.name}_elsewhere_by_layer"} if kind == "yes" else {}
            metrics |= rate_curve(f"{name}_by_layer", read.tolist(), tol=0.11, **control)
            metrics[name] = Metric.share(read[:, found.layer].tolist(), labels, tol=0.11)
    return metrics


def planted_decisions(lm, truth, n):
    """Every planted word with at most n prompts of both kinds: of the test splits, and about early entities."""
    planted, late = truth["planted"], set(truth["entities"]["late"])
    knows, follows, refuses = planted["confidence"], planted["sycophancy"], planted["refusal"]
    names = [item for item in entities("test") if item.name not in late]
    asked = {item: (lm.chat(item.question), assay.text(item.name), item.name) for item in names}
    (named_from,) = follows["named or not, at the end of an option from layer"]
    views = opinions("test")[:n]
    options = {
        (item, letter): (lm.chat(item.prompt), assay.text(f"({letter}) {option}"), item.question)
        for item in views
        for letter, option in (("A", item.a), ("B", item.b))
    }
    stated = [item for item in statements("test") if item.entity not in late]
    judged = {item: (lm.chat(item.question), assay.text(item.text.removesuffix(".")), item.entity) for item in stated}

    def requests(kind):
        languages, per = refuses["languages"], None if n is None else min(n, REQUESTS)
        return [(lm.chat(i.text), -1, i.id) for lang in languages for i in instructions(kind, lang, "test")[:per]]

    return [
        Planted(
            "unknown", knows["the lens reads"]["unknown"], knows["bridge or unknown, at the end of a name from layer"][0],
            [asked[item] for item in names if not item.known][:n], [asked[item] for item in names if item.known][:n],
        ),
        Planted(
            "named", follows["the lens reads"]["named"], named_from,
            [options[item, letter] for item, letter in options if item.matches == letter],
            [options[item, letter] for item, letter in options if item.matches != letter],
        ),
        Planted(
            "right", knows["the lens reads"]["true"], knows["right or wrong, at a stated answer from layer"][0],
            *(methods.spread([judged[item] for item in stated if item.true == true], n) for true in (True, False)),
        ),
        Planted(
            "refuse", refuses["the lens reads"]["harmful"], refuses["decision at the last token from layer"],
            requests("harmful"), requests("harmless"),
        ),
    ]  # fmt: skip


@experiment
def planted_paths(lm, model_spec, tier, null_world):
    """The drop of the answer's log-probability when a path is cut where it was planted, and when it is cut elsewhere."""
    truth = planted_truth(model_spec)
    if truth is None:
        return not_eligible(NOTHING_PLANTED)
    planted, late = truth["planted"], truth["entities"]["late"]
    contrary = planted["sycophancy"]["not followed"].split("{}")[0]
    (named_from,) = planted["sycophancy"]["named or not, at the end of an option from layer"]
    names = [item for item in entities("test") if item.known and item.name not in late]
    views = [item for item in opinions("test") if not item.view.startswith(contrary)]
    (judged_at,) = planted["confidence"]["right or wrong, at a stated answer from layer"]
    stated = [item for item in statements("test") if item.entity not in late]  # true, false, true, false
    n, metrics = tier.choose(smoke=3, quick=12, full=None), {}
    for name, cut, there, elsewhere, items in (
        ("name", name_cut, *in_layers(lm, planted["second hop"]), names[:n]),
        ("view", view_cut, *in_layers(lm, range(named_from + 1)), views[:n]),
        ("right", said_cut, *in_layers(lm, [judged_at]), methods.spread(stated[::2], n)),
        ("wrong", said_cut, *in_layers(lm, [judged_at]), methods.spread(stated[1::2], n)),
        ("view_heads", view_cut, *by_heads(lm, planted["duplicate-token heads, from the first weights"]), views[:n]),
    ):
        rows = [costs(lm, *cut(lm, item, there, elsewhere)) for item in items]
        table = np.array(rows)
        inside, outside = (np.random.default_rng(0).permuted(table, axis=1) if null_world else table).T
        options = {"clusters": [about(item) for item in items], "tol": 0.5, "unit": "nats"}
        metrics |= {
            f"{name}_cost": Metric.mean(inside.tolist(), control=f"{name}_cost_elsewhere", **options),
            f"{name}_cost_elsewhere": Metric.mean(outside.tolist(), **options),
            f"{name}_less_elsewhere": Metric.mean((inside - outside).tolist(), **options),
        }
    return metrics


def about(item):
    """What an item is about, a label that is equal for items that are not independent: a stated entity, a name, a question."""
    return next(getattr(item, part) for part in ("entity", "name", "question") if hasattr(item, part))


def in_layers(lm, layers):
    """Where to cut a path, for `assay.knockout`: in `layers`, and in all other layers."""
    others = sorted(set(range(lm.n_layers)) - set(layers))
    return [{"layer": list(layers)}], [{"layer": others}]


def by_heads(lm, places):
    """Where to cut a path, for `assay.knockout`: at the heads of `places`, and at as many other heads of each layer."""
    there, elsewhere = [], []
    for layer, own in ((place["layer"], place["heads"]) for place in places):
        others = [head for head in range(lm.n_heads) if head not in own][: len(own)]
        there.append({"layer": layer, "head": own})
        elsewhere.append({"layer": layer, "head": others})
    return there, elsewhere


def name_cut(lm, item, *ways):
    """A prompt, and variants in which the tokens after a name cannot attend to the name's end: one variant for each way."""
    prompt = lm.chat(item.question, answer="The answer is")
    (end,) = resolve(assay.text(item.name), prompt).prompt
    behind = list(range(end + 1, len(prompt)))
    return prompt, *([assay.knockout(queries=behind, keys=end, **place) for place in way] for way in ways)


def view_cut(lm, item, *ways):
    """A prompt, and variants in which the options cannot attend to the user's view: one variant for each way."""
    prompt = lm.chat(item.prompt)
    options = assay.text(item.neutral.removeprefix(f"{item.question}\n"), whole=True)
    view = assay.text(item.view, whole=True)
    return prompt, *([assay.knockout(queries=options, keys=view, **place) for place in way] for way in ways)


def said_cut(lm, item, *ways):
    """A prompt, and variants in which a stated answer cannot attend to the word before it: one variant for each way."""
    prompt = lm.chat(item.question)
    stem, _, _ = item.text.removesuffix(".").rpartition(" is ")
    (at,) = resolve(assay.text(f"{stem} is"), prompt).prompt
    (end,) = resolve(assay.text(item.text.removesuffix(".")), prompt).prompt
    behind = list(range(at + 1, end + 1))
    return prompt, *([assay.knockout(queries=behind, keys=at, **place) for place in way] for way in ways)


def costs(lm, prompt, *variants):
    """Nats by which each variant lowers the log-probability of the unedited model's next token."""
    clean = lm.run(prompt, keep=assay.SWEEPABLE)
    said = int(np.array(clean.logits[0]).argmax())
    found = lm.sweep(clean, [[], *variants], targets=[said], progress=False).target_log_probs[:, 0]
    return (found[0] - found[1:]).tolist()


def test_words_metrics(planted_words, metrics):
    assert metrics == planted_words


def test_paths_metrics(planted_paths, metrics):
    assert metrics == planted_paths


@finding("the lens reads at a name's end, in the planted layer, that it was made up", tier="quick", **TESTBED)
def test_unknown(planted_words):
    assert above(planted_words.unknown, planted_words.unknown_elsewhere)


@finding("the lens reads at an option, in the planted layer, that the view names it", tier="quick", **TESTBED)
def test_named(planted_words):
    assert above(planted_words.named, planted_words.named_elsewhere)


@finding("the lens reads at a stated answer, in the planted layer, that it is right", tier="quick", **TESTBED)
def test_right(planted_words):
    assert above(planted_words.right, planted_words.right_elsewhere)


@finding("the lens reads behind a request, in the planted layer, that it will be refused", tier="quick", **TESTBED)
def test_refuse(planted_words):
    assert above(planted_words.refuse, planted_words.refuse_elsewhere)


@finding("what a name says is looked at in the planted layers, and not below", tier="quick", **TESTBED)
def test_name_path(planted_paths):
    assert above(planted_paths.name_less_elsewhere, 0, source=NONE, worth=COUNTS)


@finding("options look at the view in the planted layers, and not above", tier="quick", **TESTBED)
def test_view_path(planted_paths):
    assert above(planted_paths.view_less_elsewhere, 0, source=NONE, worth=COUNTS)


@finding("a right answer looks at the word before it in the planted layer, and not elsewhere", tier="quick", **TESTBED)
@not_replicated("llama_tiny4", reason="what an answer should be is said in the layer that should judge it")
def test_said_path(planted_paths):
    assert above(planted_paths.right_less_elsewhere, 0, source=NONE, worth=COUNTS)


@finding(
    "options look at the view through the duplicate-token heads, more than through others there",
    tier="quick",
    **TESTBED,
)
def test_view_heads(planted_paths):
    assert above(planted_paths.view_heads_less_elsewhere, 0, source=NONE, worth=COUNTS)
