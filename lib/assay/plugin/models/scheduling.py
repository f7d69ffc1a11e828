"""Under `-n`: every model is loaded by one worker, and models loaded at the same time fit the memory budget.

    pytest suites --model gemma2b,llama3b,qwen7b -n 2 --memory-budget 6

A *lane* is the list of models that one worker goes through. Lanes are decided before anything runs, and every
worker gets its whole queue at once, followed by shutdown: an xdist worker does not start its last queued test
before it knows the next one, so two workers that wait for each other's memory would wait forever. Lanes that
are fixed cannot.

This is xdist's `Scheduling` protocol from scratch. Its LoadScopeScheduling runs a test that killed its worker
again and again and can hang afterwards (xdist #1323, #1327, #1371, #1378), and being killed for memory is the
normal way to fail here; `--dist loadgroup` does nothing on pytest 9.2, which no longer reads the node id that
it rewrites (#1386).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from assay.machine import memory_bytes
from assay.plugin.models.plan import PLAN
from assay.plugin.models.select import SELECTED

UNKNOWN_GIB = 8.0
"""Assumed for a model whose size nobody said."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "ModelScheduling | None":
    """Ours for plain `-n N`, which xdist calls "load"; whoever asks for another `--dist` gets it."""
    if config.getoption("dist") not in ("load", "loadgroup"):
        return None
    costs = {spec.id: UNKNOWN_GIB if spec.gib is None else spec.gib for spec in config.stash[SELECTED]}
    return ModelScheduling(config, costs, config.option.memory_budget or 0.75 * memory_bytes() / 2**30)


def lanes(costs: Mapping[str, float], work: Mapping[str, float], workers: int, budget: float) -> list[list[str]]:
    """Models split over at most `workers` lanes; whatever runs side by side, the sum stays within `budget`.

    costs: GiB by model. work: how long each will take, in any unit.
    One lane there always is: a model larger than the budget must run alone, and may still fit.
    """
    made: list[list[str]] = []
    for model in sorted(costs, key=lambda model: (-costs[model], model)):
        peak = sum(max(costs[other] for other in lane) for lane in made)
        if not made or (len(made) < workers and peak + costs[model] <= budget):
            made.append([model])
        else:  # costs descend, so joining a lane never raises its peak
            min(made, key=lambda lane: sum(work[other] for other in lane)).append(model)
    return made


class ModelScheduling:
    """Called by xdist's session on the controller, in the order of the methods below.

    pending: what each worker still has to do, as indices into the collection, in order.
    orphans: queues that crashed workers left behind; the next workers to come take them.
    """

    def __init__(self, config: pytest.Config, costs: Mapping[str, float], budget: float) -> None:
        from xdist.workermanage import parse_tx_spec_config

        self.config, self.costs, self.budget = config, costs, budget
        self.numnodes = len(parse_tx_spec_config(config))
        self.collection: list[str] | None = None
        self.collections: dict[Any, list[str]] = {}
        self.pending: dict[Any, list[int]] = {}
        self.orphans: list[list[int]] = []

    @property
    def nodes(self) -> list[Any]:
        return list(self.pending)

    @property
    def collection_is_completed(self) -> bool:
        # Once true it stays true, or a replacement would wait for workers that have already gone home.
        return self.collection is not None or len(self.collections) >= self.numnodes

    @property
    def has_pending(self) -> bool:
        return bool(self.orphans) or any(self.pending.values())

    @property
    def tests_finished(self) -> bool:
        return self.collection is not None and not self.has_pending

    def add_node(self, node: Any) -> None:
        self.pending[node] = []

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        self.collections[node] = list(collection)

    def schedule(self) -> None:
        """Everybody has collected: hand out the queues. Or a replacement has: hand it an orphan."""
        if self.collection is not None:
            for node in self.nodes:
                if node in self.collections and not node.shutting_down:
                    self._send(node, self.orphans.pop(0) if self.orphans else [])
            return
        if not self._same_collections():
            return
        for node, queue in zip(self.nodes, self.queues(), strict=True):
            self._send(node, queue)

    def queues(self) -> list[list[int]]:
        """One queue per worker; some may be empty."""
        plan = self.config.stash[PLAN]
        by_model: dict[str, list[int]] = {}
        for index, nodeid in enumerate(self.collection or []):
            by_model.setdefault(plan[nodeid]["model"], []).append(index)
        free = by_model.pop("", [])
        costs = {model: self.costs[model] for model in by_model}
        work = {model: costs[model] * len(by_model[model]) for model in by_model}
        made = lanes(costs, work, len(self.nodes), self.budget)
        queues = [[index for model in lane for index in by_model[model]] for lane in made]
        queues += [[] for _ in range(len(self.nodes) - len(queues))]
        # Tests without a model go anywhere, those of one module together, to whoever has least to do.
        modules: dict[str, list[int]] = {}
        for index in free:
            modules.setdefault((self.collection or [])[index].partition("::")[0], []).append(index)
        for module in sorted(modules.values(), key=len, reverse=True):
            min(queues, key=len).extend(module)
        return queues

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        self.pending[node].remove(item_index)

    def mark_test_pending(self, item: str) -> None:
        if self.collection is not None:
            self.orphans.append([self.collection.index(item)])

    def remove_pending_tests_from_node(self, node: Any, indices: Sequence[int]) -> None:
        raise NotImplementedError("only schedulers that steal tests are asked this")

    def remove_node(self, node: Any) -> str | None:
        """The test that died with its worker, if one was running; only the tests after it run elsewhere."""
        queue = self.pending.pop(node)
        self.collections.pop(node, None)
        if not queue or self.collection is None:
            return None
        crashed, *rest = queue
        if rest:
            self.orphans.append(rest)
        return self.collection[crashed]

    def _send(self, node: Any, queue: list[int]) -> None:
        self.pending[node] = list(queue)
        if queue:
            node.send_runtest_some(queue)
        node.shutdown()

    def _same_collections(self) -> bool:
        from xdist.report import report_collection_diff

        (first, ids), *others = self.collections.items()
        self.collection = ids
        for node, other in others:
            if diff := report_collection_diff(ids, other, first.gateway.id, node.gateway.id):
                report = pytest.CollectReport(node.gateway.id, "failed", longrepr=diff, result=[])
                self.config.hook.pytest_collectreport(report=report)
                self.collection = []
        return bool(self.collection)
