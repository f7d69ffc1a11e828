"""Prompt sets and facts, with their loaders: plain data that experiments ask questions about. No MLX in this room.

    >>> from assay.data.two_hop import two_hop
    >>> len(two_hop()) > 600, two_hop("state_capital")[0].prompt
    (True, 'The capital of the state containing Huntsville is')

    two_hop         600+ queries such as "The capital of the state containing Dallas is", each with both hops and shortcuts
    tasks           eleven in-context tasks, pairs such as ("hot", "cold"), split into train, valid and test
    derived_tasks   tasks made from these: the first item of a list, what comes next in a series
    in_context      prompts made of them: "Q: hot\\nA: cold\\n\\nQ: big\\nA:"
    instructions    harmful and harmless requests in six languages, and what counts as a refusal
    opinions        questions of taste from a user who says what they think, with two options
    knowledge       true and false statements, known and made-up entities

Every file was written for assay or says where it comes from; its loader checks it and raises `assay.errors.DataError`.
"""
