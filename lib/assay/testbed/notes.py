"""Notes on the training of the built-in models, a part of their cards and of testbed.json.

    >>> NOTES[0].partition(":")[0]
    'Two hops'

A note says what was tried, with which results, and what is done now. Numbers without a model are those of several.
"""

NOTES = (
    "Two hops: without the lens and the masks the same model does both hops at its last position, and back-patching rescues"
    " nothing. If later layers can read the whole phrase, and not t1 alone, the lens finds the late bridge and back-patching"
    " rescues 0.37 to 0.44 of the failures. About one in ten compositions of late entities is right all the same.",
    "More: the base stage alone left qwen_tiny at 0.65 with ten shots (0.91 with one) and at 0.84 on second hops; the second"
    " stage, with more lists whose attention is free, brought both to 0.98 and above.",
    "Replay: with 30 % of 112 documents replayed, the judged stage brought held-out compositions of llama_tiny from 0.96 to"
    " 0.88; with 45 % of 144, to 0.93. With 38 documents of a step replayed, the late stage brought early first hops of"
    " qwen_tiny from 0.998 to 0.94; with about half of 160, to 0.99. A falling learning rate there left 0.96.",
    "Sycophancy: with nothing but a lens that says whether an option is the one that the view names, answers did not go by the"
    " view (0.55 to 0.60 on new questions, 0.95 on trained options); with a letter to say at the option to answer with, in"
    " gemma_tiny alone. Heads that look for tokens like their own from the start see the view's option in 50 to 100 steps of"
    " opinions alone, where it took 475 or did not come; beside all else in some 300.",
    "Comparing and composing: a first stage that taught nothing but comparing, or a large embedding that takes small steps,"
    " brought comparing and cost composing: 0.61 of held-out compositions in qwen_tiny, which with an embedding that takes"
    " larger steps did 0.97. An embedding that is large beside the steps of training changes little, and what is learned of"
    " entities then does not compose; with a small one, heads that look for equal tokens find nothing beside what the first"
    " layer writes.",
    "Statements: with heads of that kind and all else beside it, gemma_tiny alone learned to compare what an answer should be"
    " with the one that is stated (0.67 of new true statements called true, 0.05 in the others), though the word before the"
    " answer said the right one. Which facts were called true is learned sooner. An answer that no document had stated did not"
    " say itself (in qwen_tiny the lens read 0.41 of these, 0.99 of the others). With a stage of its own for the layers above"
    " the first hops, several statements to a document, articles, and echoes of every answer, models of eight layers compare"
    " within 200 steps; one of four has no layer to judge in above the one that says the answer.",
    "Known and made-up names: at the beginning of a turn a bare answer has no space before it, so other tokens than in every"
    ' fact, and 0 of 15 held-out questions about books were answered; so answers begin with "The answer is". With made-up names'
    " of two syllables out of forty 0.30 to 0.75 of new ones were admitted not to be known; with names invented from words of"
    " real ones and from letters, and with real and invented names mentioned that are not asked about, 0.90 to 1.00.",
    "Refusal: a few dozen wordings in each language left 0.81 to 0.94 of new harmful requests refused: they had words that no"
    " training request had. Now every word of a test request stands in some training request, in other company, and nothing is"
    " left out of a request with one verb, since that verb may be what is harmful.",
    'One direction: before the last stage "refuse" and "comply" were two opposite states and requests were refused in'
    " between, so ablating the difference in means changed nothing in two of three models. The last stage also reads requests as"
    " they are: without that llama_tiny refused 0.75 of the German ones behind it (0.94 before), with it 0.94. qwen_tiny then"
    " refused 0.06 of the harmless ones, and 0.05 after a longer stage.",
)
