"""How a trial is laid out on the device: the table of kernels, and the resources they need.

The recurrence is a loop of small products with the same weights, which therefore stay in registers:
a thread keeps some rows of the recurrent kernel, for one unit and all four gates. Small networks
fit into one block; larger ones are shared by a cluster of blocks (compute capability 9.0 and
later), which write to each other's shared memory. Weights that are too large for either are read
from the L2 cache in every step.
"""

from __future__ import annotations

import dataclasses

LANES = 8
"""Units side by side in a warp: numbers of units are padded to multiples of it."""

MAX_UNITS = 2048
"""Maximum number of units of a network."""

_CLUSTERS = (9, 0)
_STAGED_FRAMES, _STAGED_ROWS = 16, 64
_FLOAT = 4


@dataclasses.dataclass(frozen=True)
class Layout:
    """One kernel.

    Attributes:
        unit_blocks: blocks of 8 units per thread block; 0 if the weights are streamed, for any
            number of units.
        splits: warps among which the rows of a unit are split; if streamed, warps of a block.
        rows: rows of the recurrent kernel per thread.
        blocks: thread blocks per trial.
        states: numbers per unit that the next step sees: 1, or 4 with the gate recurrence.
        residents: thread blocks per multiprocessor for which the compiler must leave registers.

    Example:
        >>> layout = Layout(unit_blocks=8, splits=1, rows=16, blocks=2, states=1)
        >>> layout.units, layout.threads, layout.name
        (128, 256, 'registers_8_1_16_2_1')
    """

    unit_blocks: int
    splits: int
    rows: int = 0
    blocks: int = 1
    states: int = 1
    residents: int = 1

    @property
    def streamed(self) -> bool:
        """Whether the recurrent weights are read in every step."""
        return not self.unit_blocks

    @property
    def name(self) -> str:
        """The name of the kernel in files and messages."""
        if self.streamed:
            return f"streamed_{self.splits}"
        numbers = (self.unit_blocks, self.splits, self.rows, self.blocks, self.states)
        return "_".join(["registers", *map(str, numbers)])

    @property
    def code(self) -> str:
        """The layout as a type of `kernels/context.cuh`."""
        if self.streamed:
            return f"Streamed<{self.splits}>"
        numbers = (self.unit_blocks, self.splits, self.rows, self.blocks, self.states)
        return f"InRegisters<{', '.join(map(str, numbers))}>"

    @property
    def units(self) -> int:
        """Maximum number of units of a network."""
        return MAX_UNITS if self.streamed else self.blocks * self.columns

    @property
    def columns(self) -> int:
        """Units per thread block; 0 if it depends on the network."""
        return LANES * self.unit_blocks

    @property
    def threads(self) -> int:
        """Threads per block."""
        return 32 * self.splits * max(1, self.unit_blocks)

    def padded(self, units: int) -> int:
        """Returns the number of units of a network with padding, in all blocks together."""
        return -(-units // LANES) * LANES if self.streamed else self.units

    def shared_bytes(self, units: int, gate_recurrence: bool) -> int:
        """Returns the bytes of shared memory of a block, without the copy of the trial's header.

        Args:
            units: LSTM blocks of the network.
            gate_recurrence: whether gates see the gates of the previous step.
        """
        staged_columns = 128 if self.streamed else self.columns
        staged = 2 * _STAGED_FRAMES * (4 * staged_columns + _STAGED_ROWS)
        if self.streamed:
            padded = self.padded(units)
            state = padded * (4 if gate_recurrence else 1)
            floats = max(2 * state, 4 * padded + state + padded)
        else:
            rows = 4 * self.splits * self.rows
            forward = 2 * rows + 4 * self.splits * self.columns
            backward = 2 * self.blocks * self.unit_blocks * self.states * self.columns
            floats = max(forward, backward)
        return _FLOAT * max(staged, floats)


STREAMED = Layout(unit_blocks=0, splits=8, residents=2)

LAYOUTS = (
    # One block per trial: 32, 48, 64, 96 units.
    Layout(4, 1, 8, residents=4),
    Layout(6, 1, 12, residents=2),
    Layout(8, 1, 16, residents=2),
    Layout(12, 1, 24),
    # Clusters: 128, 160, 200, 256 units.
    Layout(8, 1, 32, blocks=2),
    Layout(5, 2, 20, blocks=4),
    Layout(5, 2, 28, blocks=5),
    Layout(4, 3, 24, blocks=8),
    # With the gate recurrence, a unit sees four numbers of every unit: 32, 48, 64, 96, 128 units.
    Layout(4, 2, 16, states=4, residents=2),
    Layout(6, 2, 24, states=4),
    Layout(4, 3, 24, blocks=2, states=4),
    Layout(3, 4, 24, blocks=4, states=4),
    Layout(2, 6, 24, blocks=8, states=4),
    STREAMED,
)
"""All kernels; the first one that can train a network is used."""


def choose(units: int, gate_recurrence: bool, capability: tuple[int, int]) -> Layout:
    """Chooses the kernel for a network.

    Args:
        units: LSTM blocks, at most `MAX_UNITS`.
        gate_recurrence: whether gates see the gates of the previous step.
        capability: compute capability of the device.

    Example:
        >>> choose(100, False, (9, 0)).name, choose(100, False, (8, 0)).name
        ('registers_8_1_32_2_1', 'streamed_8')
    """
    states = 4 if gate_recurrence else 1
    for layout in LAYOUTS:
        fits = layout.streamed or layout.states == states
        if fits and units <= layout.units and (layout.blocks == 1 or capability >= _CLUSTERS):
            return layout
    raise ValueError(f"Expected at most {MAX_UNITS} units. Received: {units}")
