"""What `benchmarks.soak` does to a server beside asking it: new versions, and watching it."""

from __future__ import annotations

import dataclasses
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc
import numpy as np
import psutil
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from common import files

_MIB = 2**20
_LOADING = 60.0


class Publisher:
    """Publishes version after version of a model, each whole and at once, and removes old ones."""

    def __init__(self, exports: Sequence[Path], base_path: Path) -> None:
        """Publishes version 1.

        Args:
            exports: folders of versions; version `v` is a copy of number `v` modulo their count.
            base_path: folder of the published ones.
        """
        self._exports = exports
        self._base_path = base_path
        self.version = 0
        self.publish()

    def publish(self) -> int:
        """Publishes the next version and returns its number."""
        self.version += 1
        source = self._exports[self.version % len(self._exports)]

        def write(folder: Path) -> None:
            shutil.copytree(source, folder, dirs_exist_ok=True)

        files.write_folder(self._base_path / str(self.version), write)
        return self.version

    def prune(self, keep: int = 2) -> None:
        """Removes all versions but the last ones."""
        for entry in self._base_path.iterdir():
            if entry.name.isdecimal() and int(entry.name) <= self.version - keep:
                shutil.rmtree(entry)


def available(address: str, model: str) -> set[int]:
    """Asks which versions of a model a server has loaded."""
    with grpc.insecure_channel(address) as channel:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        response = stub.GetModelStatus(request, timeout=_LOADING)
    return {
        status.version
        for status in response.model_version_status
        if status.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
    }


def keep_publishing(
    publisher: Publisher, loaded: Callable[[int], bool], period: float, end: float
) -> list[float]:
    """Publishes a version every few seconds, but never before the last one was loaded.

    Args:
        publisher: of the model.
        loaded: whether the server has a version.
        period: seconds between two.
        end: as `time.time` counts them.

    Returns:
        Seconds that each version took to be loaded.

    Raises:
        TimeoutError: if a version is not loaded within a minute.
    """
    seconds = []
    while (started := time.time()) + period < end:
        version = publisher.publish()
        while not loaded(version):
            if time.time() - started > _LOADING:
                raise TimeoutError(f"version {version} was not loaded in {_LOADING:.0f} s")
            time.sleep(0.1)
        seconds.append(time.time() - started)
        publisher.prune()
        time.sleep(max(0.0, min(started + period, end) - time.time()))
    return seconds


@dataclasses.dataclass(frozen=True)
class Sample:
    """What a process uses.

    Attributes:
        when: as `time.time` counts seconds.
        resident_mib: memory.
        threads: their number.
        descriptors: open files and sockets.
    """

    when: float
    resident_mib: float
    threads: int
    descriptors: int


class Watcher(threading.Thread):
    """Looks at a process every few seconds, until it is told to stop."""

    def __init__(self, pid: int, period: float) -> None:
        """Prepares.

        Args:
            pid: number of the process.
            period: seconds between two looks.
        """
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._period = period
        self._over = threading.Event()
        self.samples: list[Sample] = []

    def run(self) -> None:
        """Looks."""
        while not self._over.is_set():
            try:
                with self._process.oneshot():
                    self.samples.append(
                        Sample(
                            time.time(),
                            self._process.memory_info().rss / _MIB,
                            self._process.num_threads(),
                            self._process.num_fds(),
                        )
                    )
            except psutil.NoSuchProcess:
                return
            self._over.wait(self._period)

    def stop(self) -> list[Sample]:
        """Ends it and returns the samples."""
        self._over.set()
        self.join()
        return self.samples


@dataclasses.dataclass(frozen=True)
class Growth:
    """How a process' memory went.

    Attributes:
        early: MiB after a tenth of the time.
        middle: MiB after half of it.
        late: MiB at its end.
        slope: MiB a minute, of the line of least squares through what comes after the first tenth.
    """

    early: float
    middle: float
    late: float
    slope: float

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Growth:
        """Summarizes.

        Example:
            >>> samples = [Sample(60.0 * minute, 500 + 2 * minute, 9, 9) for minute in range(11)]
            >>> Growth.of(samples)
            Growth(early=502.0, middle=510.0, late=520.0, slope=2.0)
        """
        times = np.array([sample.when for sample in samples])
        sizes = np.array([sample.resident_mib for sample in samples])
        first, last = times[0], times[-1]

        def at(share: float) -> float:
            return float(sizes[np.abs(times - (first + share * (last - first))).argmin()])

        counted = times >= first + 0.1 * (last - first)
        slope = np.polyfit((times[counted] - first) / 60, sizes[counted], 1)[0]
        return cls(at(0.1), at(0.5), at(1.0), round(float(slope), 3))
