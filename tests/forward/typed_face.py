# pyright: reportUnnecessaryTypeIgnoreComment=true
"""What a type checker knows of `assay.LM`: pyright reads this file, nothing runs it."""

from typing import assert_type

import mlx.core as mx

import assay
from assay.forward.doctor import Report
from assay.forward.generate import Generation
from assay.forward.positions import Prompt
from assay.forward.run import Run
from assay.forward.sites import Key
from assay.forward.sweep import Sweep
from assay.forward.sweep.plan import Plan


def face(lm: assay.LM, prompt: Prompt, edit: assay.Edit) -> None:
    run = lm.run("a text", keep=["resid_post", ("z", 3)], edits=[edit])
    assert_type(run, Run)
    assert_type(run["resid_post", 3], mx.array)
    assert_type(lm.generate(prompt, edits=edit, max_tokens=3), Generation)
    assert_type(lm.generate(["a text", "another"], stop=lambda text: "." in text), list[Generation])
    assert_type(lm.sweep(run, [edit, [edit, edit]], targets=[" a", 7], keep="z"), Sweep)
    assert_type(lm.sweep([prompt, prompt], [[edit], [edit]], max_tokens=4), list[Sweep])
    assert_type(lm.sweep(run, [edit], targets=[" a", " an"], shared="allow"), Sweep)
    assert_type(lm.token(" a", after=prompt), int)
    assert_type(lm.plan(prompt, [edit]), Plan)
    assert_type(lm.gradients(prompt, sites="z", target=" a"), tuple[Run, dict[Key, mx.array]])
    assert_type(lm.doctor(), Report)
    assert_type(lm.chat("a question"), Prompt)
    assert_type(lm.chat(["a question", "an answer", "another question"], answer="The"), Prompt)
    assert_type(lm.states(["a text"], "resid_post.3", -1), mx.array)
    assert_type(lm.unembed(run["resid_post", 3]), mx.array)
    lm.sweep(run, [edit], tragets=[" a"])  # pyright: ignore[reportCallIssue]
    lm.generate(prompt, max_token=3)  # pyright: ignore[reportCallIssue]
