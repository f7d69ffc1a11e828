"""A study: what is chosen on valid queries, reported on test queries, and measured once. On a random model that may do all."""

from functools import cached_property

import mlx.core as mx
import numpy as np
import pytest
import tiny
import wordy
from wordy import OTHER, TOY

from assay.data.tasks import Task
from assay.methods.function_vectors.function_vector import function_vector
from assay.methods.function_vectors.task_study import VECTOR_KINDS, StudySizes, TaskStudy, head_counts

SIZES = StudySizes(record=3, effects=2, choose=2, test=3, shots=2)
LM = wordy.lm("llama")


class Able(TaskStudy):
    """A study of a model that counts as able to do everything, and every answer as right."""

    @property
    def able(self):
        return list(self.recorded)

    @cached_property
    def means(self):
        return {name: recorded.means() for name, recorded in self.recorded.items()}

    def known(self, name, *, shots=0, labels="own"):
        return self.draw(name, "test", self.sizes.test, shots=shots, labels=labels)


@pytest.fixture(scope="module")
def study():
    return Able(LM, [TOY, OTHER], main=["toy", "other"], corrupted="mixed", sizes=SIZES)


def test_a_model_that_does_no_task_is_said_to():
    unable = TaskStudy(LM, [TOY, OTHER], main=["toy", "other"], sizes=SIZES)
    assert unable.unable == "0 of 2 tasks are done at 2 shots, and it takes 2"
    assert unable.means == {}


def test_a_task_without_a_usable_query_is_not_asked():
    copying = Task("copying", tuple((given, given) for given, _ in TOY.pairs), TOY.splits)
    study = TaskStudy(LM, [TOY, OTHER, copying], main=["toy", "copying"], sizes=SIZES)
    assert study.asked == ["toy", "other"]
    assert study.main_asked == ["toy"]
    assert (study.left_out["toy"], study.left_out["copying"]) == (0, 12)
    assert list(study.recorded) == ["toy", "other"]


def test_choices_rest_on_valid_queries_and_numbers_on_test_queries(monkeypatch):
    seen = []
    study = Able(LM, [TOY, OTHER], main=["toy", "other"], corrupted="mixed", sizes=SIZES)
    draw = study.draw
    monkeypatch.setattr(study, "draw", lambda name, split, *a, **k: (seen.append(split), draw(name, split, *a, **k))[1])
    _ = study.choice, study.vectors
    assert set(seen) == {"valid"}
    seen.clear()
    _ = study.zero_shot
    assert set(seen) == {"test"}


def test_heads_are_ranked_by_their_mean_effect_over_tasks(study):
    effects = {name: e.mean(axis=0) for name, e in study.effects.items()}
    assert {name: e.shape for name, e in study.effects.items()} == {"toy": (2, 3, 4), "other": (2, 3, 4)}
    mean = (effects["toy"] + effects["other"]) / 2
    assert [mean[head] for head in study.ranked] == sorted(mean.ravel(), reverse=True)
    assert len({*study.ranked}) == 12


def test_the_choice_is_the_best_cell_of_its_table(study):
    choice = study.choice
    assert choice.counts == head_counts(LM) == (1, 2)
    assert choice.accuracy.shape == (2, 3)
    assert choice.accuracy[choice.counts.index(choice.count), choice.layer] == choice.accuracy.max()
    assert study.heads == study.ranked[: choice.count]


@pytest.mark.parametrize(
    ("layers", "heads", "counts"), [(3, 4, (1, 2)), (8, 8, (1, 2, 4, 8)), (32, 32, (1, 2, 4, 8, 16, 32, 64, 128))]
)
def test_how_many_heads_are_tried(layers, heads, counts):
    class Shape:
        n_layers, n_heads = layers, heads

    assert head_counts(Shape) == counts


def test_every_control_is_as_long_as_the_vector_but_the_layer_mean(study):
    assert tuple(study.vectors) == VECTOR_KINDS
    for name in ("toy", "other"):
        own = study.vectors["function"][name]
        assert tiny.difference(own, function_vector(LM, study.means[name], study.heads)) == 0
        for kind in VECTOR_KINDS[1:4]:
            vector = study.vectors[kind][name]
            assert tiny.difference(mx.linalg.norm(vector), mx.linalg.norm(own)) < 1e-5
            assert tiny.difference(vector, own) > 0.01
        assert tiny.difference(study.vectors["layer_mean"][name], study.means[name].stream) == 0
    assert not {*study.random_order("toy")} & {*study.heads}


def test_injected_rows_are_the_main_tasks_one_after_the_other(study):
    rows = study.zero_shot
    assert len(rows) == 6
    assert {row.ranks["function"].shape for row in rows} == {(3,)}
    score = study.score("toy", 0)
    assert [row.plain_rank for row in rows[:3]] == score.ranks.tolist()
    assert np.allclose([row.plain_log_prob for row in rows[:3]], score.log_probs, atol=1e-5)
    assert len(study.injected(["function"], shots=2, labels="shuffled", limit=1)) == 2


def test_known_queries_are_those_right_with_their_examples():
    study = TaskStudy(LM, [TOY, OTHER], main=["toy", "other"], sizes=SIZES)
    study._scores["toy", 2, "own"] = score = study.score("toy", 2)
    score.ranks[:] = [0, 5, 0]
    trials = study.draw("toy", "test", 3, shots=0)
    assert study.known("toy") == [trials[0], trials[2]]


def test_steps_are_measured_once(study):
    assert study.recorded is study.recorded
    assert study.effects is study.effects
    assert study.score("toy", 0) is study.score("toy", 0)
