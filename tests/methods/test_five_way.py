"""The five-way evaluation, with a model whose answers are written by hand."""

from types import SimpleNamespace

from assay.data.two_hop import two_hop
from assay.methods.hopping_too_late.two_hop import evaluate_queries, failed_queries, find_failed_queries, in_chat

DALLAS = next(q for q in two_hop("state_capital") if q.e1 == "Dallas")
MOBILE = next(q for q in two_hop("state_capital") if q.e1 == "Mobile")


class Scripted:
    """An LM that says what its script says, and counts what it is asked."""

    def __init__(self, script):
        self.script, self.asked = script, []

    def prompt(self, text):
        return text  # as long as its letters

    def generate(self, prompts, max_tokens):
        assert max_tokens == 10
        self.asked += prompts
        return [SimpleNamespace(text=self.script.get(p, " unknown.")) for p in prompts]


KNOWS = {DALLAS.first_hop: " Texas.", DALLAS.second_hop: " Austin, Texas."}


def test_eligible_when_both_hops_are_known_and_no_shortcut_works():
    (tried,) = evaluate_queries(Scripted(KNOWS), [DALLAS])
    assert tried.right == {
        "prompt": False, "first_hop": True, "second_hop": True, "e1_shortcut": False, "r1_shortcut": False,
    }  # fmt: skip
    assert tried.eligible
    assert not tried.composes


def test_composes_when_the_composition_is_right():
    (tried,) = evaluate_queries(Scripted({**KNOWS, DALLAS.prompt: " the city of AUSTIN"}), [DALLAS])
    assert tried.eligible
    assert tried.composes


def test_each_missing_hop_and_each_shortcut_rules_a_query_out():
    for changed in (
        {DALLAS.first_hop: " Kansas."},
        {DALLAS.second_hop: " Dallas."},
        {DALLAS.e1_shortcut: " Austin."},
        {DALLAS.r1_shortcut: " Austin."},
    ):
        (tried,) = evaluate_queries(Scripted({**KNOWS, **changed}), [DALLAS])
        assert not tried.eligible


def test_shared_prompts_are_asked_once():
    lm = Scripted({})
    assert DALLAS.r1_shortcut == MOBILE.r1_shortcut
    evaluate_queries(lm, [DALLAS, MOBILE], batch=3)
    assert len(lm.asked) == len(set(lm.asked)) == 9


def test_failures_are_found_without_asking_what_is_not_known():
    for script in ({}, KNOWS, {**KNOWS, DALLAS.prompt: " Austin."}, {**KNOWS, DALLAS.e1_shortcut: " Austin."}):
        lm = Scripted(script)
        assert find_failed_queries(lm, [DALLAS, MOBILE]) == failed_queries(
            evaluate_queries(Scripted(script), [DALLAS, MOBILE])
        )
        assert (DALLAS.prompt in lm.asked) == (DALLAS.first_hop in script)
        assert MOBILE.prompt not in lm.asked


def test_in_another_form_the_same_sentences_are_asked():
    lm = Scripted({f"{text}!": said for text, said in KNOWS.items()})
    (tried,) = evaluate_queries(lm, [DALLAS], form=lambda text: f"{text}!")
    assert tried.eligible
    assert set(lm.asked) == {f"{getattr(DALLAS, prompt)}!" for prompt in tried.right}
    assert not evaluate_queries(lm, [DALLAS])[0].knows_both_hops


def test_a_sentence_in_chat_is_asked_for_and_begun():
    class Chat:
        def chat(self, user, system, answer):
            return user, system, answer

    assert in_chat(Chat(), DALLAS.second_hop, False) == (
        "Complete the sentence: The capital of Texas is", False, "The capital of Texas is",
    )  # fmt: skip
