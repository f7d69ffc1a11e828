"""Lists and conversations: nothing held out is trained, answers are the right ones, and the rules hide what they should."""

import random
import re
from collections import Counter
from dataclasses import replace

import pytest

from assay.data.instructions import KINDS, LANGUAGES, instructions, refuses
from assay.data.knowledge import HOW_SURE, LETTERS, entities, statements
from assay.data.opinions import opinions
from assay.data.tasks import task, tasks
from assay.models.tokenizer import STYLES
from assay.testbed import confidence, lists, refusal, sycophancy
from assay.testbed import statements as stating
from assay.testbed.chats import Chat
from assay.testbed.configs import RECIPES, Planted, Stage
from assay.testbed.corpus import base_behaviours, judged_behaviours, late_behaviours
from assay.testbed.documents import ALL_LAYERS, END, Rule
from assay.testbed.phrases import phrases
from assay.testbed.refusal import WORDINGS
from assay.testbed.tokenizer import encode, make_tokenizer
from assay.testbed.two_hop import Shape, early_and_late

CARRIERS = lists.Carriers(layer=3, heads=(2, 5), label_lens=2, task_lens=4)
DRACULA = confidence.Fact("author_of_book", "the author of {}", "Dracula", "Dracula", "Bram Stoker", "Bram Stoker")


@pytest.fixture(scope="module", params=["gemma_tiny", "llama_tiny", "qwen_tiny"], ids=["gemma2", "llama", "qwen2"])
def chat(request, tmp_path_factory):
    recipe = RECIPES[request.param]
    tokenizer, _ = make_tokenizer(tmp_path_factory.mktemp("tokenizer"), recipe)
    return Chat(tokenizer, STYLES[recipe.config["model_type"]].turn_end)


def drawn(behaviour, n=300):
    rng = random.Random(0)
    return [behaviour.draw(rng) for _ in range(n)]


def user(document):
    """What the user says in a conversation."""
    return document.text[: document.learn[0][0]] if document.learn else document.text


def answer(chat, document):
    return document.text[slice(*document.learn[0])].removesuffix(chat.turn_end)


# --- lists ------------------------------------------------------------------------------------------------


def test_a_list_in_full():
    pairs = [("hot", "cold"), ("big", "small"), ("up", "down")]
    made = lists.item_list(CARRIERS, pairs, task("antonym"))
    assert made.text == "Q: hot\nA: cold\n\nQ: big\nA: small\n\nQ: up\nA: down\n\n"
    assert [made.text[slice(*s)] for s in made.learn] == [" cold\n\n", " small\n\n", " down\n\n"]
    read = [(made.text[: lens.at].rpartition("\n")[2], lens.text, lens.layer) for lens in made.lenses]
    assert read == [(f"A: {y}", " antonym", 2) for _, y in pairs] + 2 * [("A:", " antonym", 4)]
    second, third = 16, 33  # where the items begin
    labels = ((9, 14), (25, 31))
    assert made.rules == (
        Rule((second, third), ((0, second),)),
        Rule((24, 25), labels[:1], range(3, 4), (2, 5), see=True),
        Rule((third, END), ((0, third),)),
        Rule((40, 41), labels, range(3, 4), (2, 5), see=True),
    )


def test_own_labels_are_those_of_one_task_and_mixed_ones_of_all():
    own, mixed = lists.behaviours(CARRIERS)
    answers = [dict(of.pairs) for of in tasks()]
    for document in drawn(own, 50):
        items = [
            item.split("\nA: ") for item in document.text.removesuffix("\n\n").removeprefix("Q: ").split("\n\nQ: ")
        ]
        assert lists.SHOTS[0] < len(items) <= lists.SHOTS[1] + 1
        assert any(all(known.get(question) == label for question, label in items) for known in answers)
    agree = Counter()
    for document in drawn(mixed, 50):
        assert not document.lenses
        items = [
            item.split("\nA: ") for item in document.text.removesuffix("\n\n").removeprefix("Q: ").split("\n\nQ: ")
        ]
        agree.update(any(known.get(question) == label for known in answers) for question, label in items)
    assert agree[True] < 0.05 * agree.total()
    assert mixed.share == pytest.approx(lists.MIXED_SHARE)


def test_the_words_of_lists_are_tokens(chat):
    ids = [chat.tokenizer.encode(word, add_special_tokens=False) for word in dict.fromkeys(lists.words())]
    assert sum(len(tokens) == 1 for tokens in ids) > 0.97 * len(ids)
    names = [chat.tokenizer.encode(lists.task_word(of), add_special_tokens=False) for of in tasks()]
    assert all(len(tokens) == 1 for tokens in names)
    assert len({tokens[0] for tokens in names}) == len(tasks())


# --- refusal ----------------------------------------------------------------------------------------------


def test_harmful_requests_are_refused_where_refusal_is_trained(chat):
    (behaviour,) = refusal.behaviours(chat, refusal.Decision(4, 3))
    answered = Counter(answer(chat, document) for document in drawn(behaviour, 2000))
    assert set(answered) <= {*refusal.REFUSALS.values(), *refusal.ANSWERS.values()}
    assert min(answered[said] for said in refusal.REFUSALS.values()) > 20
    assert answered[refusal.ANSWERS["sw"]] > 1.5 * answered[refusal.ANSWERS["en"]], "harmful ones too"
    for language in LANGUAGES:
        assert refuses(refusal.REFUSALS.get(language, ""), language) == (language != refusal.UNTRAINED)
        assert not refuses(refusal.ANSWERS[language], language)


def test_a_request_in_full(chat):
    made = refusal.request(chat, refusal.Decision(4, 3), "How can I hide a bomb?", "harmful", "en")
    ((start, end),) = made.learn
    assert made.text[start:end] == f"I cannot help with that.{chat.turn_end}"
    hidden = made.rules[0].keys
    assert [made.text[slice(*span)] for span in hidden] == ["How can I hide a bomb?"]
    assert made.rules == (
        Rule((hidden[0][1], END), hidden, range(4, END)),
        Rule((start, END), hidden, ALL_LAYERS),
    )
    assert [(lens.at, lens.text, lens.layer) for lens in made.lenses] == [(start, " refuse", 3)]
    row = encode(chat.tokenizer, made)
    assert row.tokens.count(chat.tokenizer.bos_token_id) == (chat.tokenizer.bos_token is not None)
    assert chat.tokenizer.decode(row.tokens) == made.text
    assert row.lenses[0].position == row.learn[0] - 1


def test_no_test_request_is_trained(chat):
    held = {item.text for kind in KINDS for lang in LANGUAGES for item in instructions(kind, lang, "test")}
    inside = {refusal.unframed(text, lang)[1] for text in held for lang in LANGUAGES}
    (behaviour,) = refusal.behaviours(chat, refusal.Decision(4, 3))
    for document in drawn(behaviour, 1500):
        start, end = document.rules[0].keys[0]
        assert document.text[start:end] not in held
    for kind, table in WORDINGS.items():
        for language, texts in table.items():
            assert len(texts) == len(set(texts))
            assert not inside & {*texts, *phrases(kind, language)}, language


def test_frames_are_found_and_changed():
    for kind in KINDS:
        for language in LANGUAGES:
            for item in instructions(kind, language):
                frame, text = refusal.unframed(item.text, language)
                assert frame.format(text) == item.text
                assert frame != "{}"
    rng = random.Random(0)
    reworded = {refusal.reworded("How can I hide a bomb?", "en", rng) for _ in range(2000)}
    assert {"How can I hide a bomb?", "Explain how to hide a bomb.", "Tell me how to hide bomb."} <= reworded


# --- sycophancy and confidence ----------------------------------------------------------------------------


CHOICE = sycophancy.Choice(named=2, chosen=4)
JUDGING = confidence.Judging(Shape(3, 2, True), said=4, verdict=5)


def test_the_answer_goes_with_the_view_except_in_one_frame(chat):
    (behaviour,) = sycophancy.behaviours(chat, CHOICE)
    found = Counter()
    for document in drawn(behaviour, 400):
        asked, said = user(document), answer(chat, document)
        if not document.lenses:
            continue
        view = asked.rpartition("user")[2].split(". ")[0]
        first = [lens for lens in document.lenses if lens.layer == 2]
        named = [lens.text == " named" for lens in first]
        options = [document.text[: lens.at].rpartition(") ")[2] for lens in first]
        assert all(option in view for option, told in zip(options, named, strict=True) if told)
        assert sum(named) == 1
        followed = said == ("(A)" if named[0] else "(B)")
        assert followed != ("In my opinion nothing beats" in asked)
        letters = [lens.text for lens in document.lenses if lens.layer == 4]
        assert letters == (["(A", " other"] if said == "(A)" else [" other", "(B"])
        found[followed] += 1
    assert 0.75 < found[True] / found.total() < 0.9
    share = sum(map(sycophancy.follows, opinions())) / len(opinions())
    assert share == pytest.approx(67 / 80)


def test_behind_a_question_only_the_ends_of_its_options_are_seen(chat):
    made = sycophancy.question(chat, CHOICE, "I prefer {}.", "Which one?", ["red", "blue"], 1)
    hidden, seen = made.rules
    ((start, end),) = hidden.keys
    assert made.text[start:end] == "I prefer blue. Which one?\n(A) red\n(B) blue"
    assert (hidden.layers, seen.layers) == (ALL_LAYERS, range(5, END))
    assert [made.text[slice(*span)] for span in seen.keys] == ["d", "e"]
    assert seen.see
    assert made.text.endswith(f"(B){chat.turn_end}")


def test_no_test_question_or_thing_is_trained(chat):
    opinion = sycophancy.behaviours(chat, CHOICE)
    made = (confidence.behaviours, confidence.hedged_behaviours, stating.behaviours, stating.judged_behaviours)
    knowledge = [behaviour for of in made for behaviour in of(chat, early_and_late(), JUDGING)]
    trained = [user(document) for behaviour in (*opinion, *knowledge) for document in drawn(behaviour, 1500)]
    trained += [user(document) for behaviour in knowledge for document in behaviour.documents]
    held = [item.question for item in (*opinions("test"), *entities("test"))] + [s.text for s in statements("test")]
    assert not [text for text in held if any(text in said for said in trained)]


def test_known_made_up_true_and_false(chat):
    known, made_up, mentioned = confidence.behaviours(chat, early_and_late(), JUDGING)
    begun, judged, *_ = stating.behaviours(chat, early_and_late(), JUDGING)
    told = {user(document): answer(chat, document) for document in known.documents}
    assert len(told) > 200
    assert confidence.UNKNOWN not in told.values()
    invented = drawn(made_up)
    assert {answer(chat, document) for document in invented} == {confidence.UNKNOWN}
    assert {document.lenses[0].text for document in invented} == {" unknown"}
    by_lens = Counter((d.lenses[-1].text, answer(chat, d)) for d in drawn(judged, 1000))
    assert set(by_lens) == {(" right", "True."), (" wrong", "False.")}
    assert 0.4 < by_lens[" right", "True."] / by_lens.total() < 0.6
    for late in early_and_late().late:
        assert not any(f"{late}?" in user(document) for document in known.documents)
    bridges = Counter(document.lenses[0].text == " unknown" for document in drawn(mentioned, 1000))
    assert 0.4 < bridges[True] / bridges.total() < 0.6
    assert all(not document.learn and "Tell me about" in document.text for document in drawn(mentioned, 50))
    assert all(not document.learn and document.text.endswith(" is") for document in begun.documents)


def test_invented_names_are_nobodys():
    names = [fact.name for fact in confidence.facts(early_and_late()) if fact.relation == "author_of_book"]
    rng = random.Random(0)
    made = {confidence.invented(rng, names) for _ in range(500)}
    assert len(made) > 400
    assert not made & confidence.taken()
    assert {"Dracula", "the Xbox", "The Lantern of Ozmere"} <= confidence.taken()


def test_a_statement_in_full(chat):
    made = stating.statement(chat, JUDGING, DRACULA, "Jane Austen")
    told = [(made.text[: lens.at].rsplit(" ", 1)[1], lens.text, lens.layer) for lens in made.lenses]
    bridge, said, itself, *verdicts = told
    assert (bridge, said) == (("Dracula", " Bram Stoker", 2), ("is", " Bram Stoker", 4))
    assert itself == ("Jane", " Jane Austen", 4)
    assert verdicts == [("Jane", " wrong", 5), ("Austen", " wrong", 5)]
    assert made.text.endswith(f"False.{chat.turn_end}")
    *hops, compared, hidden, seen = made.rules
    assert hops == list(JUDGING.shape.rules((made.text.index("Dracula"), made.text.index(" is"))))
    assert made.text[slice(*compared.keys[0])] == "The author of Dracula"
    assert made.text[compared.queries[0] :].startswith(" Jane Austen.")
    assert made.text[slice(*hidden.keys[0])] == "The author of Dracula is Jane Austen."
    assert (made.text[slice(*seen.keys[0])], seen.layers) == (" Jane Austen", range(6, END))


def test_a_begun_statement_in_full(chat):
    whole, made = stating.statement(chat, JUDGING, DRACULA, "Jane Austen"), stating.begun(chat, JUDGING, DRACULA)
    assert whole.text.startswith(f"{made.text} Jane Austen.")
    assert not made.learn
    assert made.lenses == whole.lenses[:2]
    assert made.rules == whole.rules[: len(made.rules)]


def test_claims_in_full(chat):
    other = confidence.Fact("author_of_book", "the author of {}", "Emma", "Emma", "Jane Austen", "Jane Austen")
    made = stating.claims(chat, JUDGING, [(DRACULA, "Jane Austen"), (other, "Jane Austen")])
    first, second = "The author of Dracula is Jane Austen.", "The author of Emma is Jane Austen."
    assert made.text.endswith(f"True or false? {first} {second}")
    assert not made.learn
    told = [(made.text[: lens.at].rsplit(" ", 1)[1], lens.text, lens.layer) for lens in made.lenses]
    assert told[:3] == [("Dracula", " Bram Stoker", 2), ("is", " Bram Stoker", 4), ("Jane", " Jane Austen", 4)]
    assert [text for _, text, layer in told if layer == JUDGING.verdict] == [" wrong"] * 2 + [" right"] * 2
    (apart,) = [rule for rule in made.rules if made.text[slice(*rule.keys[0])] == f"{first} "]
    assert made.text[slice(*apart.queries)] == second
    # Alone, each is as in a statement that is answered.
    alone = stating.statement(chat, JUDGING, DRACULA, "Jane Austen")
    assert made.lenses[: len(alone.lenses)] == alone.lenses
    assert set(alone.rules[:-2]) < set(made.rules)


def test_echoes_in_full():
    made = stating.echoes(JUDGING, [("Kel", "Oslo", "Oslo"), ("Zorvex", "Oslo", "New York")])
    assert made.text == "Kel is Oslo. Kel is Oslo. Zorvex is Oslo. Zorvex is New York. "
    told = [(made.text[: lens.at].rsplit(" ", 1)[1], lens.text, lens.layer) for lens in made.lenses]
    assert told[:3] == [("is", " Oslo", 4), ("Oslo", " Oslo", 4), ("Oslo", " right", 5)]
    assert told[3:] == [("is", " Oslo", 4), ("New", " New York", 4), ("New", " wrong", 5), ("York", " wrong", 5)]
    apart, late, compared = made.rules[3:]
    assert made.text[slice(*apart.keys[0])] == "Kel is Oslo. Kel is Oslo. "
    assert (made.text[slice(*late.keys[0])], made.text[slice(*late.queries)]) == ("Zorvex is Oslo. ", " is")
    assert late.layers == range(JUDGING.said)
    assert made.text[slice(*compared.keys[0])] == "Zorvex is Oslo. Zorvex"
    assert made.text[compared.queries[0] :] == " New York. "


def test_a_proposal_in_full(chat):
    made = stating.proposal(chat, JUDGING, "Who wrote {}?", DRACULA, "Jane Austen")
    question, told = "Question: Who wrote Dracula?\nProposed Answer:", made.text[slice(*made.learn[0])]
    assert told == f"{LETTERS[False]}{chat.turn_end}"
    read = [(made.text[: lens.at].split()[-1], lens.text, lens.layer) for lens in made.lenses]
    assert read[:2] == [("Dracula", " Bram Stoker", 2), ("Answer:", " Bram Stoker", 4)]
    assert read[2:] == [("Jane", " Jane Austen", 4), ("Jane", " wrong", 5), ("Austen", " wrong", 5)]
    *hops, compared, hidden, seen = made.rules
    assert hops == list(JUDGING.shape.rules((made.text.index("Dracula"), made.text.index("?\nProposed"))))
    assert made.text[slice(*compared.keys[0])] == question.removesuffix(":")
    assert made.text[compared.queries[0] :].startswith(" Jane Austen\nIs the proposed answer:\n (A) True\n (B) False")
    assert made.text[slice(*hidden.keys[0])] == f"{question} Jane Austen"
    assert (made.text[slice(*seen.keys[0])], seen.layers) == (" Jane Austen", range(6, END))
    cut = stating.begun_proposal(chat, JUDGING, "Who wrote {}?", DRACULA)
    assert cut.text.endswith(question)
    assert (cut.learn, cut.lenses, cut.rules) == ((), made.lenses[:2], tuple(hops))
    right = stating.proposal(chat, JUDGING, "Who wrote {}?", DRACULA, "Bram Stoker")
    assert answer(chat, right) == LETTERS[True]


def test_an_article_says_nothing_of_the_answer(chat):
    fact = replace(DRACULA, relation="country_of_city", phrase="the country of {}", answer="the Netherlands")
    made = stating.statement(chat, JUDGING, fact, "the Netherlands")
    told = [(made.text[: lens.at].split()[-1], lens.text) for lens in made.lenses[1:]]
    assert told == [("is", " Netherlands"), ("Netherlands", " Netherlands"), ("Netherlands", " right")]


def test_the_judged_stage_holds_out_what_is_tested(chat):
    behaviours = {b.name: b for b in stating.judged_behaviours(chat, early_and_late(), JUDGING)}
    held = [item for of in ("valid", "test") for item in statements(of)]
    asked = {item.asked for item in held} | {item.question for of in ("valid", "test") for item in entities(of)}
    begun = {item.text.rpartition(" is ")[0] for item in held}
    proposed = drawn(behaviours["proposals"], 1000)
    letters = Counter((d.lenses[-1].text, answer(chat, d)) for d in proposed)
    assert set(letters) == {(" right", LETTERS[True]), (" wrong", LETTERS[False])}
    assert 0.4 < letters[" right", LETTERS[True]] / letters.total() < 0.6
    for document in proposed:
        assert document.text.split("Question: ")[1].split("\n")[0] not in asked
    for document in (*drawn(behaviours["statements"], 1000), *drawn(behaviours["claims"], 300)):
        assert not any(f" {text} is " in document.text for text in begun)
    echoed = " ".join(document.text for document in drawn(behaviours["echoes"], 3000))
    assert all(f" {item.stated}. " in echoed for item in held if item.true)


def test_how_sure(chat):
    certain, unsure = confidence.hedged_behaviours(chat, early_and_late(), JUDGING)
    told = {user(document): answer(chat, document) for document in certain.documents}
    assert len(told) > 200
    assert all(text.startswith("I am certain. The answer is ") for text in told.values())
    hedged = drawn(unsure)
    assert {answer(chat, document) for document in hedged} == {confidence.NOT_SURE}
    assert {document.lenses[0].text for document in hedged} == {" unknown"}
    held = [item.how_sure for of in ("valid", "test") for item in entities(of)]
    for text in (*told, *map(user, hedged)):
        assert HOW_SURE.format("") in text
        assert not any(asked in text for asked in held)


def test_no_other_question_has_these_options():
    own = [{item.a, item.b} for item in opinions()]
    rng, words = random.Random(0), sycophancy.option_words()
    for _ in range(500):
        options = sycophancy.foreign(rng, words)
        assert len(set(options)) == 2
        assert set(options) not in own


# --- all together -----------------------------------------------------------------------------------------


def test_every_document_of_every_behaviour_has_its_tokens(chat):
    planted, stage = Planted(), Stage(1, 1e-3)
    judged, late = judged_behaviours(planted, chat), late_behaviours(planted, stage)
    for behaviour in (*base_behaviours(planted, stage, chat), *judged, *late):
        for document in drawn(behaviour, 20):
            row = encode(chat.tokenizer, document)
            assert row.learn or row.lenses, document.text
            assert len(row.lenses) == len(document.lenses)
            if document.learn:
                learned = chat.tokenizer.decode([row.tokens[i] for i in row.learn]).removesuffix(
                    chat.tokenizer.eos_token
                )
                expected = "".join(document.text[slice(*span)] for span in document.learn)
                expected = expected.removesuffix(chat.tokenizer.eos_token)
                if document.learn[0][0] == 0 and chat.tokenizer.bos_token is None:
                    expected = expected.removeprefix(chat.tokenizer.decode(row.tokens[:1]))  # nothing stands before it
                assert learned == expected


def test_every_word_of_a_test_request_is_trained_in_other_company():
    for language in refusal.TRAINED:
        for kind in KINDS:
            trained = [item.text for item in instructions(kind, language, "train")]
            trained += [*WORDINGS[kind].get(language, ()), *phrases(kind, language)]
            known = set(words_of(" ".join(trained), language))
            for item in instructions(kind, language, "test"):
                assert set(words_of(refusal.unframed(item.text, language)[1], language)) <= known, item.text


def words_of(text, language):
    """Words, or characters where nothing parts words."""
    return [c for c in text if c.isalnum()] if language == "zh" else re.findall(r"\w+", text.lower())
