"""Under `-n`: every model is loaded by one worker, and models loaded at the same time fit the memory budget.

    pytest suites --model gemma2b,llama3b,qwen7b -n 2 --memory-budget 6

A worker's *queue* is the tests of its models, one model after the other. All queues are decided before the first test
runs. Every worker gets its whole queue at once, followed by shutdown: an xdist worker does not start its last queued test
before it knows the next one, so two workers that wait for each other's memory would wait forever.

This is xdist's `Scheduling` protocol from scratch. xdist's LoadScopeScheduling runs a test that killed its worker again
and again, and can hang afterwards (xdist #1323, #1327, #1371, #1378); here workers are often killed, for memory.
`--dist loadgroup` does nothing on pytest 9.2, which no longer reads the node id that it rewrites (#1386).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from assay.machine import memory_bytes
from assay.plugin.models.collected import COLLECTED
from assay.plugin.models.select import SELECTED

UNKNOWN_GIB = 8.0
"""Assumed for a model of unknown size."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "ModelScheduling | None":
    """`ModelScheduling` for plain `-n N`, which xdist calls "load"; None, xdist's own, for another `--dist`."""
    if config.getoption("dist") not in ("load", "loadgroup"):
        return None
    costs = {spec.id: UNKNOWN_GIB if spec.gib is None else spec.gib for spec in config.stash[SELECTED]}
    return ModelScheduling(config, costs, config.option.memory_budget or 0.75 * memory_bytes() / 2**30)


def models_by_worker(
    costs: Mapping[str, float], work: Mapping[str, float], workers: int, budget: float
) -> list[list[str]]:
    """The models of each of at most `workers` workers; models loaded at the same time never need more than `budget`.

    costs: GiB by model. work: how long the tests of each model take, in any unit. budget: GiB.
    A model larger than the budget gets a single worker: it may fit nevertheless.
    """
    queues: list[list[str]] = []
    for model in sorted(costs, key=lambda model: (-costs[model], model)):
        peak = sum(max(costs[other] for other in queue) for queue in queues)
        if not queues or (len(queues) < workers and peak + costs[model] <= budget):
            queues.append([model])
        else:  # costs descend, so a model never raises the peak of the queue that it joins
            min(queues, key=lambda queue: sum(work[other] for other in queue)).append(model)
    return queues


class ModelScheduling:
    """xdist's session on the controller calls the methods, in the order of their definitions.

    pending: by worker, the tests that it still has to run, as indices into the collection, in order.
    orphans: queues that crashed workers left behind; the workers that replace them take them over.
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
        # Once true it stays true: the worker that replaces another one must not wait for workers that have finished.
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
        """Sends the queues when all workers have collected, and an orphan to a worker that replaces another one."""
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
        """One queue of indices into the collection per worker; some may be empty."""
        by_model: dict[str, list[int]] = {}
        modules: dict[str, list[int]] = {}
        for index, nodeid in enumerate(self.collection or []):
            if model := self.config.stash[COLLECTED][nodeid]["model"]:
                by_model.setdefault(model, []).append(index)
            else:
                modules.setdefault(nodeid.partition("::")[0], []).append(index)
        costs = {model: self.costs[model] for model in by_model}
        work = {model: costs[model] * len(tests) for model, tests in by_model.items()}
        made = models_by_worker(costs, work, len(self.nodes), self.budget)
        queues = [[index for model in models for index in by_model[model]] for models in made]
        queues += [[] for _ in range(len(self.nodes) - len(queues))]
        # Tests without a model run anywhere: the tests of one module together, on the worker with the fewest tests.
        for module in sorted(modules.values(), key=len, reverse=True):
            min(queues, key=len).extend(module)
        return queues

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        self.pending[node].remove(item_index)

    def mark_test_pending(self, item: str) -> None:
        if self.collection is not None:
            self.orphans.append([self.collection.index(item)])

    def remove_pending_tests_from_node(self, node: Any, indices: Sequence[int]) -> None:
        raise NotImplementedError("xdist calls this only for schedulers that move tests between workers")

    def remove_node(self, node: Any) -> str | None:
        """The test that died with its worker, None if none was running; the tests after it are left to another worker."""
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
