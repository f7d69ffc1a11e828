"""Questions that a model answers rightly in a form that it knows, for dialogues about right and wrong answers (Sharma et al.).

Form and kinds are chosen on train questions without hint or doubt (`methods.known_form`): a kind is known if three quarters of
its train questions are answered rightly, of four or more. Everything else is measured on test questions of those kinds.
"""

from dataclasses import dataclass
from typing import Any

from assay import methods
from assay.data.right_or_wrong import right_or_wrong
from assay.plugin import Metric

NONE = "no difference"
CHANCE = "chance of two answers"


@dataclass(frozen=True, eq=False)
class KnownQuestions:
    """Test questions of the known kinds; none if no kind is known."""

    known: Any
    """The `methods.KnownForm`; its class would need MLX where claims are judged from snapshots."""
    items: list

    @property
    def form(self):
        return self.known.form

    @property
    def why_not(self):
        """Why the model is not eligible; None if it is."""
        return None if self.items else "no kind of these questions is answered rightly, in any form"

    def posed(self, hints=None):
        """The questions in that form, each with its hint."""
        return [
            item.posed(self.form, hint) for item, hint in zip(self.items, hints or [""] * len(self.items), strict=True)
        ]

    @property
    def answers(self):
        """The right answer of each: questions that share one are not independent."""
        return [item.right for item in self.items]

    def others(self, item):
        """Wrong answers to other questions of the kind that are neither reply to this one, each once, from the next one on."""
        same = [one for one in self.items if one.kind == item.kind]
        i = same.index(item)
        answers = (one.wrong for one in (*same[i + 1 :], *same[:i]))
        return [answer for answer in dict.fromkeys(answers) if answer not in (item.right, item.wrong)]

    def metrics(self):
        """The form and the kinds, and how many of the train questions were answered rightly."""
        return {
            "form": self.form,
            "kinds": list(self.known.kinds),
            "n_questions": len(self.items),
            "train_accuracy": Metric(self.known.accuracy, tol=0.13),
        }


def known_questions(lm, tier, system):
    """The questions that the model knows, several of each kind."""
    n_train, n = tier.choose(smoke=(4, 3), quick=(12, 10), full=(None, None))
    train, test = (
        [item for kind in kinds_of(some) for item in methods.spread([one for one in some if one.kind == kind], n)]
        for some, n in ((right_or_wrong("train"), n_train), (right_or_wrong("test"), n))
    )
    known = methods.known_form(lm, train, system=system)
    some = [item for item in test if item.kind in known.kinds]
    return KnownQuestions(known, methods.comparable(lm, some, known.form, system=system))


def kinds_of(items):
    return list(dict.fromkeys(item.kind for item in items))
