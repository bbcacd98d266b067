"""A pool whose workers are on the nodes of a Ray cluster.

Every node with free processors gets an agent (`tuner.parallel.ray_node`), an actor that reserves
all processors and GPUs that Ray counts there and runs the node's worker processes. It ends with
this process, however that ends. Each corpus is sent to a node once, through Ray's object store;
checkpoints and results come back as messages, so that no files need to be shared. Which worker
trains what is decided by `tuner.parallel.pool`, as on a single computer.

Ray itself is passed as a parameter, so that only `tuner.parallel.ray_cluster` imports it.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import itertools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from common import files
from common.command_line import log
from tuner.parallel import corpus_file, pool, ray_cluster
from tuner.parallel.messages import Assignment, Event, Setup, WorkerReady
from tuner.parallel.pool import TrialQueue
from tuner.parallel.ray_cluster import Plan, Resources
from tuner.parallel.ray_node import (
    Agent,
    Close,
    Deliver,
    Died,
    End,
    Facts,
    Order,
    Report,
    Spawn,
    Written,
)
from tuner.parallel.workers import Worker
from tuner.training.engines import Engine
from tuner.training.protocol import Problems

_EXCHANGE_SECONDS = 5.0
"""How long an agent waits for news; checkpoints arrive here with at most this delay."""

_LOOK_SECONDS = 2.0
"""How often to look for nodes that have joined."""

_ROOM_SECONDS = 60.0
"""How long to wait for a first node before saying so."""

_CLOSE_SECONDS = 10.0
"""How long an agent may take to end its workers and to clean up."""


class RayWorker(Worker):
    """A worker process on a node.

    Attributes:
        inbox: messages that it has sent.
    """

    def __init__(self, node: _Node, number: int, setup: Setup) -> None:
        """Makes an agent start the worker.

        Args:
            node: the node that it runs on.
            number: number that identifies it.
            setup: the first message to it.
        """
        super().__init__(setup.engine, node.facts.capacities[setup.engine.name])
        self.inbox: collections.deque[Any] = collections.deque()
        self.node = node
        self._number = number
        self._end = ""
        node.workers[number] = self
        node.order(Spawn(number, setup))

    def send(self, message: Any) -> None:
        """Sends a message; an assignment includes the trial's checkpoint."""
        checkpoint = None
        if isinstance(message, Assignment) and message.checkpoint.exists():
            checkpoint = message.checkpoint.read_bytes()
        self.node.order(Deliver(self._number, message, checkpoint))

    def receive(self) -> Any:
        """Returns the next message; None if the worker has died."""
        message = self.inbox.popleft()
        return None if isinstance(message, Died) else message

    def terminate(self) -> None:
        """Orders the agent to end the worker."""
        if self.node.workers.pop(self._number, None):
            self.node.order(End(self._number))

    def join(self) -> str:
        """Returns how the worker ended, if it ended on its own."""
        return self._end

    def hear(self, message: Any) -> None:
        """Handles a message from the agent.

        Raises:
            OSError: if a checkpoint cannot be written.
        """
        match message:
            case Written(trial, content):
                if job := self.jobs.get(trial):
                    files.write_bytes(job.assignment.checkpoint, content)
                return
            case Died(reason):
                self._end = reason
                self.node.workers.pop(self._number)
                self.node.failed_starts += not self.ready
            case WorkerReady():
                self.node.failed_starts = 0
        self.inbox.append(message)


class _Node:
    """A node with its agent.

    Attributes:
        resources: the resources that Ray counts there.
        facts: what the agent reports about it; None until the agent has started.
        room: maximum number of workers at a time.
        failed_starts: number of consecutive workers that died before they were ready.
        workers: the workers that run there, by number.
        orders: orders that have not been sent to the agent yet.
        pending: the call that the agent has not answered yet, if any.
    """

    def __init__(
        self, ray: Any, of: Resources, corpora: Sequence[Any], used: Sequence[Engine]
    ) -> None:
        self.resources = of
        self.facts: Any = None
        self.room = 0
        self.failed_starts = 0
        self.workers: dict[int, RayWorker] = {}
        self._ray = ray
        self.orders: list[Order] = []
        self._woken = False
        actor = ray.remote(Agent).options(
            num_cpus=of.cpus,
            num_gpus=of.gpus,
            scheduling_strategy=ray_cluster.placed_on(ray, of.node),
            # One call for `exchange`, one for `wake`.
            max_concurrency=2,
        )
        self.agent = actor.remote(*corpora)
        self.pending = self.agent.facts.remote(of.cpus, used)

    def order(self, order: Order) -> None:
        """Sends the agent a message."""
        self.orders.append(order)
        self.flush()

    def flush(self) -> None:
        """Sends the agent its orders and asks for reports, or wakes it up for the orders."""
        if self.pending is None:
            orders, self.orders, self._woken = self.orders, [], False
            self.pending = self.agent.exchange.remote(orders, _EXCHANGE_SECONDS)
        elif self.orders and not self._woken:
            self._woken = True
            self.agent.wake.remote()

    def take(self, answer: Facts | list[Report]) -> None:
        """Handles an answer of the agent."""
        self.pending = None
        if isinstance(answer, Facts):
            self.facts, self.room = answer, answer.workers
            return
        for number, message in answer:
            # Reports from before the agent learned that a worker should end are of no use.
            if number in self.workers:
                self.workers[number].hear(message)

    def lose(self, why: str) -> None:
        """Handles the loss of the agent."""
        for worker in list(self.workers.values()):
            worker.lost = True
            worker.hear(Died(why))
        self.kill()

    def kill(self) -> None:
        """Ends the agent, if it is alive."""
        self._ray.kill(self.agent)


class Nodes:
    """The nodes of a cluster that a study trains on; see `tuner.parallel.workers.Machines`.

    Args:
        ray: the module `ray`, connected.
        problems: the problems of the trials, by the name of the task.
        used: the engines that will train.
        most: maximum number of workers at a time; None for as many as there is room for.
    """

    def __init__(
        self, ray: Any, problems: Problems, used: Sequence[Engine], most: int | None
    ) -> None:
        self._ray = ray
        self._problems = problems
        self._used = tuple(used)
        self._most = most
        self._corpora = []
        for problem in problems.values():
            file = io.BytesIO()
            corpus_file.save(problem.corpus, file)
            self._corpora.append(ray.put(np.frombuffer(file.getbuffer(), np.uint8)))
        if most is not None:
            # A cluster that scales automatically should provide this many processors.
            ray.autoscaler.sdk.request_resources(num_cpus=most)
        self._nodes: list[_Node] = []
        # Nodes on which no agent can start, or whose results would differ.
        self._useless: set[str] = set()
        self._numbers = itertools.count()
        self._looked = -_LOOK_SECONDS
        self._roomy = time.monotonic()
        self._limit = 0

    @property
    def limit(self) -> int:
        """Maximum number of workers at a time, which grows and shrinks with the cluster."""
        room = sum(node.room for node in self._nodes)
        return room if self._most is None else min(room, self._most)

    def spawn(self, engine: Engine) -> RayWorker:
        """Starts a worker on the node with the fewest failed starts and the most room."""
        node = max(
            (node for node in self._nodes if len(node.workers) < node.room),
            key=lambda node: (-node.failed_starts, node.room - len(node.workers)),
        )
        return RayWorker(node, next(self._numbers), Setup.of(self._problems, engine))

    def wait(self, workers: Sequence[RayWorker]) -> Sequence[RayWorker]:
        """Waits until some workers have sent messages, or the limit has changed."""
        while not (spoken := [worker for worker in workers if worker.inbox]):
            if self.limit != self._limit:
                self._limit = self.limit
                break
            self._look()
            pending = {node.pending: node for node in self._nodes}
            if not pending:
                time.sleep(_LOOK_SECONDS)
                continue
            for ref in self._ray.wait(list(pending), timeout=_LOOK_SECONDS)[0]:
                self._take(pending[ref], ref)
        return spoken

    def shrink(self, worker: RayWorker, left: int) -> None:
        """Limits a node to the workers that it has now."""
        worker.node.room = len(worker.node.workers)

    def close(self) -> None:
        """Ends all agents."""
        if self._most is not None:
            self._ray.autoscaler.sdk.request_resources(num_cpus=0)
        closing = [node for node in self._nodes if node.facts]
        for node in closing:
            node.order(Close())
        deadline = time.monotonic() + _CLOSE_SECONDS
        while closing and (left := deadline - time.monotonic()) > 0:
            pending = {node.pending: node for node in closing}
            for ref in self._ray.wait(list(pending), timeout=left)[0]:
                node = pending[ref]
                try:
                    node.take(self._ray.get(ref))
                except self._ray.exceptions.RayError:
                    closing.remove(node)
                    continue
                if node.orders:
                    node.flush()
                else:
                    closing.remove(node)
        for node in self._nodes:
            node.kill()
        self._nodes.clear()

    def _look(self) -> None:
        """Sends all agents their orders, and starts agents on nodes that have none."""
        for node in self._nodes:
            node.flush()
        now = time.monotonic()
        if now < self._looked + _LOOK_SECONDS:
            return
        self._looked = now
        known = self._useless.union(node.resources.node for node in self._nodes)
        for found in ray_cluster.nodes(self._ray):
            if found.node not in known:
                self._nodes.append(_Node(self._ray, found, self._corpora, self._used))
        if any(node.room for node in self._nodes):
            self._roomy = now
        elif now > self._roomy + _ROOM_SECONDS:
            log("--ray: waiting for a node all of whose processors are free")
            self._roomy = math.inf

    def _take(self, node: _Node, ref: Any) -> None:
        """Handles an answer of an agent, or its loss."""
        name = node.resources.name
        try:
            answer = self._ray.get(ref)
        except (self._ray.exceptions.RayError, ImportError) as error:
            self._nodes.remove(node)
            why = f"node {name} has left the cluster"
            if node.resources.node in {found.node for found in ray_cluster.nodes(self._ray)}:
                why = f"node {name} has lost its workers: {ray_cluster.last_line(error)}"
                if node.facts is None:
                    self._useless.add(node.resources.node)
                    log(f"--ray: node {name} is not used: {ray_cluster.last_line(error)}")
            node.lose(why)
            return
        node.take(answer)
        if isinstance(answer, Facts) and (different := ray_cluster.difference(answer)):
            self._nodes.remove(node)
            self._useless.add(node.resources.node)
            log(f"--ray: node {name} is not used: {different}")
            node.kill()


@dataclasses.dataclass(frozen=True)
class RayPool:
    """Trains trials on the nodes of a cluster; a `tuner.parallel.pool.Pool`.

    It behaves like `tuner.parallel.pool.WorkerPool`. No trial is lost when a node leaves: other
    nodes resume from the checkpoints stored here.

    Attributes:
        ray: the module `ray`, connected.
        used: the engines that will train.
        most: maximum number of workers at a time; None for as many as the cluster has room for.
    """

    ray: Any
    used: tuple[Engine, ...]
    most: int | None = None

    @classmethod
    def connect(cls, address: str, used: Iterable[Engine], most: int | None) -> RayPool:
        """Connects this process to a cluster; see `tuner.parallel.ray_cluster.connect`."""
        different = {engine.name: engine for engine in used}
        return cls(ray_cluster.connect(address), tuple(different.values()), most)

    def plan(self) -> Plan:
        """Asks all nodes what they can do; see `tuner.parallel.ray_cluster.plan`."""
        return ray_cluster.plan(self.ray, self.used, self.most)

    def run(
        self, problems: Problems, queue: TrialQueue, on_event: Callable[[Event], None]
    ) -> None:
        """Trains all trials; see `tuner.parallel.pool.Pool.run`."""
        pool.train(Nodes(self.ray, problems, self.used, self.most), queue, on_event)
