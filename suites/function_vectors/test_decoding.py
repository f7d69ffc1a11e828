"""Function vectors through the lens (Todd et al. 2024, section 3.2), and vectors fitted to the same token distribution.

The final norm and the unembedding are applied to a vector, as if it were the last residual stream. The control is vectors of
random heads, three draws; the claim goes from these tasks to others, so a task is one observation. Another vector is fitted to
the same token distribution, from several random starts. If it says the same and does not do the task, the function vector is more
than the tokens that it favours: one claim, since a fit that says something else would show nothing.
"""

import numpy as np

from assay import methods
from assay.plugin import Metric, above, below, experiment, finding, not_eligible, not_replicated

NAMES = "planted: the lens reads the name of the task in the stream, and the name is what the layers above go by"


@experiment
def fv_decoding(lm, study, less):
    """FV-10: are a task's answers likelier than the other tasks' answers?"""
    import mlx.core as mx

    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    names = study.main_able
    labels = {name: [lm.token(f" {output}") for _, output in study.tasks[name].pairs] for name in names}
    others = {name: [token for other in names if other != name for token in labels[other]] for name in names}
    preferred, top = {}, {}
    for kind in ("function", *methods.RANDOM_KINDS):
        log_probs = np.array(methods.vocabulary_log_probs(lm, mx.stack([study.vectors[kind][name] for name in names])))
        rows = zip(names, log_probs, strict=True)
        preferred[kind] = [methods.prefers_tokens(row, labels[name], others[name]) for name, row in rows]
        best = np.argsort(-log_probs, axis=1, kind="stable")[:, :5]
        top[kind] = {name: [lm.decode([int(t)]) for t in row] for name, row in zip(names, best, strict=True)}
    function, *random = preferred.values()
    return {
        "top_tokens": Metric(top["function"], n=len(names)),
        "prefers_own_by_task": Metric(dict(zip(names, function, strict=True)), n=len(names), tol=0.05),
        "prefers_own": Metric.mean(function, (0, 1), tol=0.05, control="random_heads_prefer_own"),
        "random_heads_prefer_own": Metric.mean(np.mean(random, axis=0).tolist(), (0, 1), tol=0.05),
        "prefers_own_less_random_heads": less(function, *random, tol=0.05),
    }


@experiment
def fv_reconstruction(lm, study, tier, less):
    """FV-11: zero-shot accuracy with vectors fitted to the function vector's token distribution."""
    import mlx.core as mx

    if study.unable:
        return not_eligible(study.unable, n_able=len(study.able))
    names, steps = study.main_able, tier.choose(smoke=50, quick=400, full=1000)
    given = mx.stack([study.vectors["function"][name] for name in names])
    trials = {name: study.known(name) for name in names}

    def right(vectors):
        edits = [methods.inject_vector(vector, study.layer) for vector in vectors]
        scores = (methods.answer_trials(lm, trials[name], edit) for name, edit in zip(names, edits, strict=True))
        return methods.TrialScores.join(scores).right

    said = methods.vocabulary_log_probs(lm, given)
    says_nothing = np.log(lm.family.vocab) + np.array((mx.exp(said) * said).sum(axis=-1))
    function = right(given)
    metrics = {
        "steps": steps,
        "kl_to_uniform": Metric.mean(says_nothing.tolist(), tol=0.05, unit="nats"),
        "plain": Metric.share(
            methods.TrialScores.join(methods.answer_trials(lm, trials[name]) for name in names).right, tol=0.06
        ),
        "function": Metric.share(function, tol=0.06),
    }
    for what, top in (("all_tokens", None), ("top_100", 100)):
        left, cosines, of_fitted = [], [], []
        for seed in study.track(range(tier.choose(smoke=1, quick=3, full=5)), f"fitting vectors, {what}"):
            vectors, kl = methods.reconstruct_vectors(lm, given, steps=steps, top=top, seed=seed)
            left.append(kl)
            cosines.append(np.array(mx.sum(vectors * given, axis=-1) / mx.linalg.norm(given, axis=-1) ** 2))
            of_fitted.append(right(vectors))
        metrics |= {
            f"kl_{what}": Metric.mean(np.mean(left, axis=0).tolist(), tol=0.05, unit="nats"),
            f"kl_share_{what}": Metric.mean((np.mean(left, axis=0) / says_nothing).tolist(), tol=0.05),
            f"cosine_{what}": Metric.mean(np.mean(cosines, axis=0).clip(-1, 1).tolist(), (-1, 1), tol=0.05),
            what: Metric.mean(np.mean(of_fitted, axis=0).tolist(), (0, 1), tol=0.06),
            f"function_less_{what}": less(function, *of_fitted),
        }
    return metrics


def test_decoding_metrics(fv_decoding, metrics):
    assert metrics == fv_decoding


def test_reconstruction_metrics(fv_reconstruction, metrics):
    assert metrics == fv_reconstruction


@finding("function vectors say words of their task", id="FV-10", tier="quick")
def test_says_its_task(fv_decoding):
    own = above(fv_decoding.prefers_own, 0.5, source="chance")
    assert own & above(fv_decoding.prefers_own_less_random_heads, 0, source="random heads' vectors")


def fitted(kl_share):
    """Does the fitted vector say the same? A tenth of what the vector says more than nothing may be left."""
    return below(kl_share, 0.1, worth=0, source="paper: the divergence left is close to 0")


@finding("a vector fitted to say the words of a function vector does the task less", id="FV-11", tier="quick")
@not_replicated("tiny", reason=NAMES)
@not_replicated("gemma270m", tier="quick", reason="not fitted: 2.7 nats are left of 8.2 after 400 steps")
def test_does_less(fv_reconstruction):
    less = above(fv_reconstruction.function_less_all_tokens, 0, source="no difference")
    assert fitted(fv_reconstruction.kl_share_all_tokens) & less


@finding("a vector fitted to a function vector's hundred likeliest words does the task less", id="FV-11", tier="quick")
def test_top_words_do_less(fv_reconstruction):
    less = above(fv_reconstruction.function_less_top_100, 0, source="no difference")
    assert fitted(fv_reconstruction.kl_share_top_100) & less
