"""Worlds in which a claim about a depth is false, though there is a best layer (`--null`).

With one more draw of the control in its place a phenomenon has no best layer, and no claim about its depth can be judged. So here
the prompts (clusters) and draws that were measured are all that there is, and a sample of as many is drawn from them, with
replacement: the best layer of the world that the sample comes from is then known, as that of all prompts. Three claims are
false in such a world, and a yes comes from the sample alone:

    the longest vector is of a later layer      the layer said to be that of the longest vector is the best layer of the world
    the best layer is in the plan's range       the curve of the world is moved along the layers until its best layer is outside
    two phenomena act at different layers       both are samples of one world
"""

import numpy as np

from assay import methods


def best_of_world(effects):
    """The best layer if these prompts and draws are all that there are."""
    return int(effects.less_control.mean(axis=0).argmax())


def moved_out(effects, low, high, seed):
    """The effects moved along the layers by so many that the best layer of the world is not in a range of per cent."""
    n_layers = effects.own.shape[1]
    low, high = methods.depth_window(low, high, n_layers)
    outside = [i for i in range(n_layers) if not low < methods.depth_percent(i, n_layers) < high]
    by = int(np.random.default_rng([seed, 0]).choice(outside)) - best_of_world(effects)
    own, controls = (np.roll(one, by, axis=-1) for one in (effects.own, effects.controls))
    return methods.EffectsByLayer(own, controls, effects.clusters, effects.by_prompt)


def drawn_again(effects, seed):
    """As many clusters of prompts, and as many draws of the control, drawn with replacement."""
    rng = np.random.default_rng([seed, 1])
    places = {}
    for i, label in enumerate(effects.labels):
        places.setdefault(label, []).append(i)
    groups = list(places.values())
    drawn = [groups[i] for i in rng.integers(len(groups), size=len(groups))]
    some = [i for group in drawn for i in group]
    clusters = tuple(number for number, group in enumerate(drawn) for _ in group)
    of = rng.integers(len(effects.controls), size=len(effects.controls))
    return methods.EffectsByLayer(effects.own[some], effects.controls[of][:, some], clusters, effects.by_prompt)
