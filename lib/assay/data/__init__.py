"""Prompt sets and facts, with their loaders. Nothing here imports MLX.

    >>> from assay.data.two_hop import two_hop
    >>> len(two_hop()) > 600, two_hop("state_capital")[0].prompt
    (True, 'The capital of the state containing Huntsville is')

    two_hop         600+ queries such as "The capital of the state containing Dallas is", each with both hops and shortcuts
    tasks           eleven in-context tasks, pairs such as ("hot", "cold"), split into train, valid and test
    sentiment       one more task: 80 words, each positive or negative
    derived_tasks   tasks made from these: the first item of a list, the next item of a series
    in_context      prompts made of them: "Q: hot\\nA: cold\\n\\nQ: big\\nA:"
    instructions    harmful and harmless requests in six languages
    judges          what counts as a refusal in these languages, as a hedged answer, as a verdict; and how often that is right
    opinions        questions of taste with two options, from a user who states a preference
    behaviours      questions with two options, of which one shows a behaviour: seven behaviours, 100 questions each
    knowledge       true and false statements, known and made-up entities
    questions       a question for each fact, split by relation, also with four options: which can a model answer?

Every data file was written for assay or names its source. Its loader checks it and raises `assay.errors.DataError`.
"""
