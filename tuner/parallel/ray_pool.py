"""A pool whose workers are on the nodes of a Ray cluster.

Every node with free processors gets an agent (`tuner.parallel.ray_node`), an actor that takes all
processors and GPUs that Ray counts there and has the node's worker processes. It ends with this
process, whatever ends it. A corpus goes to a node once, through Ray's object store; checkpoints
and results come back as messages, so that nothing need be shared. Who trains what is decided by
`tuner.parallel.pool`, as for the processes of one computer.

Ray itself is a parameter here, so that nothing but `tuner.parallel.ray_cluster` imports it.
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
"""How long an agent waits for something to say: checkpoints come here so much later at most."""

_LOOK_SECONDS = 2.0
"""How often to look for nodes that have joined."""

_ROOM_SECONDS = 60.0
"""How long to wait for a first node before saying so."""

_CLOSE_SECONDS = 10.0
"""How long an agent may take to end its workers and to tidy up."""


class RayWorker(Worker):
    """A worker process on a node.

    Attributes:
        inbox: what it has said.
    """

    def __init__(self, node: _Node, number: int, setup: Setup) -> None:
        """Has an agent start it.

        Args:
            node: where.
            number: identifies it.
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
        """Sends a message; with an assignment goes the trial's checkpoint."""
        checkpoint = None
        if isinstance(message, Assignment) and message.checkpoint.exists():
            checkpoint = message.checkpoint.read_bytes()
        self.node.order(Deliver(self._number, message, checkpoint))

    def receive(self) -> Any:
        """Takes the next message; None if the worker has died."""
        message = self.inbox.popleft()
        return None if isinstance(message, Died) else message

    def terminate(self) -> None:
        """Sends the agent the order to end it."""
        if self.node.workers.pop(self._number, None):
            self.node.order(End(self._number))

    def join(self) -> str:
        """Says how it ended, if it did so by itself."""
        return self._end

    def hear(self, message: Any) -> None:
        """Takes what its agent says.

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
        resources: what Ray counts there.
        facts: what the agent says of it; None until it has started.
        room: most workers at a time.
        failed_starts: workers in a row that died before they were ready.
        workers: those that run there, by number.
        orders: what the agent has not yet been told.
        pending: what it has not yet answered.
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
            # One for `exchange`, one for `wake`.
            max_concurrency=2,
        )
        self.agent = actor.remote(*corpora)
        self.pending = self.agent.facts.remote(of.cpus, used)

    def order(self, order: Order) -> None:
        """Sends the agent a message."""
        self.orders.append(order)
        self.flush()

    def flush(self) -> None:
        """Lets the agent have its orders, or say something."""
        if self.pending is None:
            orders, self.orders, self._woken = self.orders, [], False
            self.pending = self.agent.exchange.remote(orders, _EXCHANGE_SECONDS)
        elif self.orders and not self._woken:
            self._woken = True
            self.agent.wake.remote()

    def take(self, answer: Facts | list[Report]) -> None:
        """Takes what the agent has answered."""
        self.pending = None
        if isinstance(answer, Facts):
            self.facts, self.room = answer, answer.workers
            return
        for number, message in answer:
            # What it said before it heard that a worker shall end is of no use.
            if number in self.workers:
                self.workers[number].hear(message)

    def lose(self, why: str) -> None:
        """Learns that the agent is gone."""
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
        problems: what the trials have in common.
        used: the engines that will train.
        most: most workers at a time; None for as many as there is room for.
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
            # A cluster that grows by itself shall have so many processors.
            ray.autoscaler.sdk.request_resources(num_cpus=most)
        self._nodes: list[_Node] = []
        # Nodes on which no agent can start, or only one that would have other numbers.
        self._useless: set[str] = set()
        self._numbers = itertools.count()
        self._looked = -_LOOK_SECONDS
        self._roomy = time.monotonic()
        self._limit = 0

    @property
    def limit(self) -> int:
        """Most workers at a time: it grows with the cluster, and shrinks."""
        room = sum(node.room for node in self._nodes)
        return room if self._most is None else min(room, self._most)

    def spawn(self, engine: Engine) -> RayWorker:
        """Has a worker started on the node that has most room, and on which workers do start."""
        node = max(
            (node for node in self._nodes if len(node.workers) < node.room),
            key=lambda node: (-node.failed_starts, node.room - len(node.workers)),
        )
        return RayWorker(node, next(self._numbers), Setup.of(self._problems, engine))

    def wait(self, workers: Sequence[RayWorker]) -> Sequence[RayWorker]:
        """Waits until some workers have said something, or there is room for more or fewer."""
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
        """Starts no more workers on a node than it has."""
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
        """Starts agents on nodes that have none, and lets all hear their orders."""
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
        """Takes what an agent has answered, or learns that there is none."""
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

    It does what `tuner.parallel.pool.WorkerPool` does. A node that leaves takes no trial with it:
    others go on from the checkpoints that are here.

    Attributes:
        ray: the module `ray`, connected.
        used: the engines that will train.
        most: most workers at a time; None for as many as the cluster has room for.
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
