"""What the pool uses of Ray, within this process: actors are threads, nodes are names.

Workers are threads, too, so that nothing has to start. A node that is killed forgets its actors.
"""

from __future__ import annotations

import concurrent.futures
import pickle
import queue
import threading
import types
from multiprocessing import Pipe
from typing import Any, BinaryIO

from tuner.parallel import worker
from tuner.parallel.messages import Setup
from tuner.parallel.workers import Worker


class RayError(Exception):
    pass


class ThreadWorker(Worker):
    """Stands in for `tuner.parallel.worker_process.WorkerProcess`."""

    def __init__(self, command: object, setup: Setup, corpus: BinaryIO) -> None:
        super().__init__(setup.engine, 1)
        self.channel, theirs = Pipe()
        self._inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()

        def work() -> None:
            try:
                worker._work(theirs, self._inbox, corpus.fileno())
            except (EOFError, OSError):
                pass
            theirs.close()

        threading.Thread(target=work, daemon=True).start()
        self.send(setup)

    def send(self, message: Any) -> None:
        self._inbox.put(pickle.dumps(message))

    def receive(self) -> Any:
        try:
            return self.channel.recv()
        except (EOFError, OSError):
            return None

    def terminate(self) -> None:
        self.channel.close()

    def join(self) -> str:
        return "it has ended"


class _Method:
    def __init__(self, actor: _Actor, name: str) -> None:
        self._actor, self._name = actor, name

    def remote(self, *arguments: Any) -> concurrent.futures.Future:
        return self._actor.call(self._name, arguments)


class _Actor:
    def __init__(self, made: Any, node: str, cluster: FakeRay) -> None:
        self.node = node
        self.pending: list[concurrent.futures.Future] = []
        self._made = made
        self._cluster = cluster
        self._threads = concurrent.futures.ThreadPoolExecutor(2)

    def __getattr__(self, name: str) -> _Method:
        return _Method(self, name)

    def call(self, name: str, arguments: tuple[Any, ...]) -> concurrent.futures.Future:
        answer: concurrent.futures.Future = concurrent.futures.Future()
        if self.node not in self._cluster.alive:
            answer.set_exception(RayError("The actor died\nbecause its node has died."))
            return answer
        self.pending.append(answer)

        def work() -> None:
            try:
                result = getattr(self._made, name)(*arguments)
            except Exception as error:
                result = RayError(f"a trace\n{error}")
            if not answer.done():
                failed = isinstance(result, RayError)
                (answer.set_exception if failed else answer.set_result)(result)

        self._threads.submit(work)
        return answer

    def die(self) -> None:
        for answer in self.pending:
            if not answer.done():
                answer.set_exception(RayError("The actor died\nbecause its node has died."))
        # Its threads end, too.
        self._made.wake()


class _Remote:
    def __init__(self, what: Any, cluster: FakeRay) -> None:
        self._what, self._cluster = what, cluster
        self._node = ""

    def __call__(self, what: Any) -> _Remote:
        return _Remote(what, self._cluster)

    def options(self, scheduling_strategy: str, **others: Any) -> _Remote:
        self._node = scheduling_strategy
        return self

    def remote(self, *arguments: Any) -> Any:
        if not isinstance(self._what, type):
            answer: concurrent.futures.Future = concurrent.futures.Future()
            answer.set_result(self._what(*arguments))
            return answer
        actor = _Actor(self._what(*arguments), self._node, self._cluster)
        self._cluster.actors.append(actor)
        return actor


MODULES = (
    *("ray", "ray.autoscaler", "ray.autoscaler.sdk"),
    *("ray.util", "ray.util.scheduling_strategies"),
)
"""What the pool imports."""


class FakeRay:
    """Has the interface of the module `ray`.

    Attributes:
        alive: the CPUs of every node by its name.
        actors: all that have been started.
        requests: processors that the cluster was asked to have.
    """

    def __init__(self, **alive: int) -> None:
        self.alive = alive
        self.actors: list[_Actor] = []
        self.exceptions = types.SimpleNamespace(RayError=RayError)
        strategies = types.SimpleNamespace(
            NodeAffinitySchedulingStrategy=lambda node, soft: node,
        )
        self.util = types.SimpleNamespace(scheduling_strategies=strategies)
        self.requests: list[int] = []
        sdk = types.SimpleNamespace(
            request_resources=lambda num_cpus: self.requests.append(num_cpus)
        )
        self.autoscaler = types.SimpleNamespace(sdk=sdk)

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "NodeID": name,
                "NodeManagerAddress": name,
                "Alive": True,
                "Resources": {"CPU": float(cpus), "memory": 1e9},
            }
            for name, cpus in self.alive.items()
        ]

    def remote(self, *what: Any, **options: Any) -> _Remote:
        return _Remote(what[0] if what else None, self)

    def put(self, value: Any) -> Any:
        return value

    def get(self, answer: concurrent.futures.Future) -> Any:
        return answer.result()

    def wait(
        self, answers: list[concurrent.futures.Future], num_returns: int = 1, timeout: float = 0
    ) -> tuple[list[concurrent.futures.Future], list[concurrent.futures.Future]]:
        when = "FIRST_COMPLETED" if num_returns == 1 else "ALL_COMPLETED"
        done, rest = concurrent.futures.wait(answers, timeout, when)
        return list(done), list(rest)

    def kill(self, actor: _Actor) -> None:
        actor.die()

    def remove(self, node: str) -> None:
        """Kills a node."""
        del self.alive[node]
        for actor in self.actors:
            if actor.node == node:
                actor.die()
