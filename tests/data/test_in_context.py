"""In-context prompts: their text, their pieces, and how shots and queries are drawn."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.data.in_context import DEFAULT, ROLES, TEMPLATES, Template, build, sample
from assay.data.tasks import Task, task, tasks
from assay.errors import DataError

SHOTS = (("hot", "cold"), ("deep", "shallow"))


def test_the_default_prompt_is_the_papers():
    assert build(("big", "small"), SHOTS).text == "Q: hot\nA: cold\n\nQ: deep\nA: shallow\n\nQ: big\nA:"
    assert build(("big", "small"), ()).text == "Q: big\nA:"
    assert build(("big", "small"), SHOTS).answer == " small"


def test_every_role_of_the_default_prompt():
    prompt = build(("big", "small"), SHOTS[:1])
    assert [(role, prompt.text[start:end]) for role, start, end in prompt.spans] == [
        ("structural", "Q:"),
        ("demonstration", " hot"),
        ("separator", "\n"),
        ("structural", "A"),
        ("predictive", ":"),
        ("label", " cold"),
        ("end_of_example", "\n\n"),
        ("query_structural", "Q:"),
        ("query_demonstration", " big"),
        ("query_separator", "\n"),
        ("query_structural", "A"),
        ("query_predictive", ":"),
    ]
    assert {role for role, _, _ in prompt.spans} == set(ROLES)


def test_there_are_120_other_templates():
    assert len(set(TEMPLATES)) == 120
    assert DEFAULT not in TEMPLATES
    assert Template("x:", "f(x):", "|", "\n") in TEMPLATES


@pytest.mark.parametrize(
    ("template", "text", "predictive"),
    [
        (Template("", " ->", " ", "\n"), " hot  -> cold\n big  ->", "->"),
        (Template("x:", "f(x):", "\n", "|"), "x: hot\nf(x): cold|x: big\nf(x):", "):"),
        (Template("In:", "Out", " ", ""), "In: hot Out coldIn: big Out", "t"),
        (Template("", "", " = ", "; "), " hot =  cold;  big = ", ""),
    ],
)
def test_other_templates(template, text, predictive):
    prompt = build(("big", "small"), SHOTS[:1], template)
    assert prompt.text == text
    assert [prompt.text[a:b] for role, a, b in prompt.spans if role == "predictive"] == [predictive] * bool(predictive)


words = st.text(st.characters(categories=["L"]), min_size=1, max_size=6)


@given(
    shots=st.lists(st.tuples(words, words), max_size=4),
    query=st.tuples(words, words),
    template=st.sampled_from(TEMPLATES),
)
def test_the_pieces_cover_the_text_and_say_what_they_are(shots, query, template):
    prompt = build(query, shots, template)
    assert [start for _, start, _ in prompt.spans] == [0, *(end for _, _, end in prompt.spans[:-1])]
    assert prompt.spans[-1][2] == len(prompt.text)
    pieces = [(role, prompt.text[start:end]) for role, start, end in prompt.spans]
    assert all(text for _, text in pieces)
    assert [text for role, text in pieces if role == "demonstration"] == [f" {shot[0]}" for shot in shots]
    assert [text for role, text in pieces if role == "label"] == [f" {shot[1]}" for shot in shots]
    assert pieces[-1][0] == "query_predictive"
    assert prompt.text.endswith(template.output_prefix)


@pytest.mark.parametrize("labels", ["own", "shuffled", "mixed"])
@pytest.mark.parametrize("name", [each.name for each in tasks()])
def test_a_sampled_prompt_keeps_to_its_splits(name, labels):
    subject = task(name)
    train = dict(subject.split("train"))
    for seed in range(20):
        prompt = sample(subject, 10, random.Random(seed), labels=labels)
        assert prompt.query in subject.split("test")
        inputs = [given for given, _ in prompt.shots]
        assert len(set(inputs)) == 10
        assert set(inputs) <= set(train)


def test_own_labels_are_right():
    prompt = sample(task("antonym"), 10, random.Random(0))
    assert set(prompt.shots) <= set(task("antonym").split("train"))


def test_shuffled_labels_are_those_of_the_same_shots():
    own, shuffled = (sample(task("antonym"), 10, random.Random(5), labels=labels) for labels in ("own", "shuffled"))
    assert own.query == shuffled.query
    assert [given for given, _ in own.shots] == [given for given, _ in shuffled.shots]
    assert Counter(label for _, label in own.shots) == Counter(label for _, label in shuffled.shots)
    assert own.shots != shuffled.shots


def test_mixed_labels_come_from_all_tasks_in_equal_parts():
    of = {output: each.name for each in tasks() for _, output in each.split("train")}
    drawn = Counter()
    for seed in range(300):
        prompt = sample(task("antonym"), 10, random.Random(seed), labels="mixed")
        drawn.update(of[label] for _, label in prompt.shots)
    assert sorted(drawn) == sorted(each.name for each in tasks())
    # 3000 draws of 11: a share of .091 with a standard error of .005
    assert all(abs(count / 3000 - 1 / 11) < 0.025 for count in drawn.values())


def test_mixed_labels_of_chosen_tasks():
    prompt = sample(task("antonym"), 10, random.Random(0), labels="mixed", others=tasks(["present-past"]))
    assert {label for _, label in prompt.shots} <= {output for _, output in task("present-past").split("train")}


def test_the_same_seed_gives_the_same_prompt():
    one, two, other = (sample(task("antonym"), 5, random.Random(seed), labels="mixed") for seed in (3, 3, 4))
    assert one == two != other


def small(inputs):
    return Task("small", tuple((word, word.upper()) for word in inputs), ("train",) * len(inputs))


def test_the_query_is_never_among_the_shots():
    subject = small("abcdef")
    for seed in range(50):
        prompt = sample(subject, 5, random.Random(seed), query_split="train")
        assert sorted([prompt.query, *prompt.shots]) == sorted(subject.pairs)


def test_neither_is_another_output_of_its_input():
    subject = Task("two", (("a", "1"), ("a", "2"), ("b", "3")), ("train",) * 3)
    for seed in range(20):
        prompt = sample(subject, 1, random.Random(seed), query_split="train")
        assert prompt.query[0] != prompt.shots[0][0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"n_shots": 6, "query_split": "train"}, "'small' has 5 pairs for shots in its train split, not 6"),
        ({"n_shots": -1, "query_split": "train"}, "not -1; ask for 0 to 5 shots"),
        ({"n_shots": 1}, "no pair in its test split"),
        ({"n_shots": 1, "query_split": "dev"}, "unknown split 'dev'"),
        (
            {"n_shots": 1, "query_split": "train", "labels": "mix"},
            r"unknown way to label the shots 'mix'\. Did you mean mixed",
        ),
        ({"n_shots": 1, "query_split": "train", "labels": "mixed", "others": []}, "none has a pair in its train split"),
    ],
)
def test_what_cannot_be_sampled_is_said(arguments, says):
    with pytest.raises(DataError, match=says):
        sample(small("abcdef"), rng=random.Random(0), **arguments)
