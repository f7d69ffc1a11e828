"""A study: what is chosen on valid queries, reported on test queries, and measured once. On a random model that may do all."""

from functools import cached_property

import mlx.core as mx
import numpy as np
import pytest
import tiny
import wordy
from wordy import OTHER, TOY

from assay.data.tasks import Task
from assay.errors import PromptError
from assay.methods.function_vectors import head_choice
from assay.methods.function_vectors.function_vector import Injected, function_vector
from assay.methods.function_vectors.head_choice import head_counts
from assay.methods.function_vectors.task_study import RANDOM_KINDS, VECTOR_KINDS, StudySizes, TaskStudy

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

    def done(self, name):
        return {given for given, _ in self.tasks[name].split("valid")}

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
        for kind in VECTOR_KINDS[1:-1]:
            vector = study.vectors[kind][name]
            assert tiny.difference(mx.linalg.norm(vector), mx.linalg.norm(own)) < 1e-5
            assert tiny.difference(vector, own) > 0.01
        assert tiny.difference(study.vectors["layer_mean"][name], study.means[name].stream) == 0


def test_random_heads_are_other_heads_drawn_several_times(study):
    orders = [study.random_order(draw) for draw in range(len(RANDOM_KINDS) + 1)]
    assert all(not {*order} & {*study.by_effect[:2]} for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert [study.random_order(draw) for draw in range(len(orders))] == orders
    means = study.means["toy"]
    for count in (1, 2):
        for vector, order in zip(study.random_vectors(means, count), orders, strict=False):
            own, drawn = study.vector(means, count), function_vector(LM, means, order[:count])
            assert tiny.difference(vector, drawn * (mx.linalg.norm(own) / mx.linalg.norm(drawn))) < 1e-5


def test_in_the_null_world_a_vector_is_that_of_random_heads(study):
    null = Able(LM, [TOY, OTHER], main=["toy", "other"], corrupted="mixed", sizes=SIZES, null=True)
    assert null.by_effect == study.by_effect
    assert null.ranked == study.random_order(len(RANDOM_KINDS)) != study.ranked[: len(null.ranked)]
    assert null.heads == null.ranked[: null.choice.count]
    means = null.means["toy"]
    for count in (1, 2):
        own, true = null.vector(means, count), study.vector(means, count)
        drawn = function_vector(LM, means, null.ranked[:count])
        assert tiny.difference(mx.linalg.norm(own), mx.linalg.norm(true)) < 1e-5
        assert tiny.difference(own / mx.linalg.norm(own), drawn / mx.linalg.norm(drawn)) < 1e-6
    assert tiny.difference(null.vectors["function"]["toy"], null.vector(means)) == 0
    assert null.score("toy", 2).ranks.tolist() == study.score("toy", 2).ranks.tolist()  # the gates are not changed


def test_corrupted_prompts_ask_what_is_right_with_examples():
    study = TaskStudy(LM, [TOY, OTHER], main=["toy", "other"], sizes=StudySizes(record=12, effects=4, shots=2))
    trials = study.recorded_trials("toy")  # 12 prompts of 8 valid queries: the first four are asked twice
    right = np.zeros(12, bool)
    right[[1, 2, 8]] = True  # of the first query only the second prompt is right
    study.recorded["toy"].score.ranks[:] = np.where(right, 0, 7)
    assert study.done("toy") == {trials[1].context.query[0], trials[2].context.query[0]}
    asked = [one.context.query for one in study.corrupted_trials("toy", "shuffled", 4)]
    assert asked == [trials[1].context.query, trials[2].context.query] * 2
    study.recorded["toy"].score.ranks[:] = 7
    with pytest.raises(PromptError, match="no query in its valid split among the 0 inputs"):
        study.corrupted_trials("toy", "shuffled", 4)


def test_another_draw_asks_the_same_with_other_examples(study):
    first, second = (study.asked_trials("toy", 2, "mixed", draw=draw) for draw in (0, 1))
    assert [one.asked for one in first] == [one.asked for one in second]
    assert [one.context.shots for one in first] != [one.context.shots for one in second]
    assert study.score("toy", 2, "mixed", draw=1) is not study.score("toy", 2, "mixed")


@pytest.mark.parametrize(
    ("ranks", "log_probs", "chosen"),
    [
        ([[3, 0, 3], [3, 3, 3]], [[-9, -9, -9], [-1, -1, -1]], (1, 1)),  # the right answer first
        ([[0, 0, 3], [3, 0, 3]], [[-2, -1, -1], [-1, -3, -1]], (1, 1)),  # then the likelier one
        ([[3, 3, 0], [0, 0, 0]], [[-1, -1, -1], [-1, -1, -1]], (1, 2)),  # then the fewest heads
        ([[3, 3, 3], [3, 0, 0]], [[-1, -1, -1], [-1, -1, -1]], (2, 1)),  # then the lowest layer
    ],
)
def test_how_heads_and_layer_are_chosen(monkeypatch, ranks, log_probs, chosen):
    tried = Injected(
        5, -9.0, dict(zip("12", np.array(ranks), strict=True)), dict(zip("12", np.array(log_probs), strict=True))
    )
    monkeypatch.setattr(head_choice, "inject_at_every_layer", lambda lm, one, vectors: tried)
    choice = head_choice.choose_heads(LM, [(None, [None, None])] * 2, (1, 2))
    assert (choice.count, choice.layer) == chosen
    assert choice.accuracy.tolist() == (np.array(ranks) == 0).tolist()


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
