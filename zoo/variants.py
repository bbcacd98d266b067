"""The nine LSTM variants as data: the only place that defines what each of them has.

Equations, for an input x and N units (section 3 and appendix A of Greff et al. 2015, *LSTM: A
Search Space Odyssey*, https://arxiv.org/abs/1503.04069):

    i_t = σ(W_i x_t + R_i h_{t-1} + p_i ⊙ c_{t-1} + b_i)        input gate
    f_t = σ(W_f x_t + R_f h_{t-1} + p_f ⊙ c_{t-1} + b_f)        forget gate
    z_t = g(W_z x_t + R_z h_{t-1} + b_z)                        block input
    c_t = z_t ⊙ i_t + c_{t-1} ⊙ f_t                             cell
    o_t = σ(W_o x_t + R_o h_{t-1} + p_o ⊙ c_t + b_o)            output gate; sees the new cell
    h_t = h(c_t) ⊙ o_t                                          block output

with σ the logistic function and g = h = tanh. Every other variant changes exactly one thing.
"""

from __future__ import annotations

import dataclasses

GATE_ORDER = "ifzo"
"""Order of the blocks in every weight: input gate, forget gate, block input, output gate.

It is the same as in `keras.layers.LSTM`, which calls the block input `c`.
"""


@dataclasses.dataclass(frozen=True)
class Variant:
    """Switches that define what one LSTM variant computes.

    Attributes:
        code: the paper's abbreviation, such as `NIG`.
        name: the name in words, such as `no_input_gate`.
        input_gate: whether i_t is computed; without it i_t = 1.
        forget_gate: whether f_t is computed from its own weights; without it f_t = 1, or 1 - i_t
            if `coupled`.
        output_gate: whether o_t is computed; without it o_t = 1.
        coupled: whether f_t = 1 - i_t.
        input_activation: whether z_t passes through g; without it g(x) = x.
        output_activation: whether c_t passes through h on its way out; without it h(x) = x.
        peepholes: whether the gates see the cell through diagonal weights.
        gate_recurrence: whether each gate also sees all gates of the previous step.

    Raises:
        ValueError: if code or name is empty, or `coupled` contradicts the gates.

    Example:
        >>> VARIANTS["CIFG"].gates
        'izo'
        >>> VARIANTS["V"].count_params(input_dim=88, units=100)
        75900
    """

    code: str
    name: str
    input_gate: bool = True
    forget_gate: bool = True
    output_gate: bool = True
    coupled: bool = False
    input_activation: bool = True
    output_activation: bool = True
    peepholes: bool = True
    gate_recurrence: bool = False

    def __post_init__(self) -> None:
        for field in ("code", "name"):
            if not getattr(self, field):
                raise ValueError(
                    f"Received an invalid value for `{field}` of a variant, expected a text, "
                    f"got {getattr(self, field)!r}."
                )
        if self.coupled and (self.forget_gate or not self.input_gate):
            raise ValueError(
                f"Received an invalid value for `coupled` of the variant {self.code}, expected "
                "False unless input_gate is True and forget_gate is False (f = 1 - i), got True "
                f"with input_gate={self.input_gate} and forget_gate={self.forget_gate}."
            )

    @property
    def gates(self) -> str:
        """The blocks that have weights, in `GATE_ORDER`."""
        present = {"i": self.input_gate, "f": self.forget_gate, "z": True, "o": self.output_gate}
        return "".join(gate for gate in GATE_ORDER if present[gate])

    @property
    def peephole_gates(self) -> str:
        """The gates that have a peephole, in `GATE_ORDER`."""
        return self.gates.replace("z", "") if self.peepholes else ""

    @property
    def recurrent_gates(self) -> str:
        """The gates that see the previous step's gates, in `GATE_ORDER`."""
        return self.gates.replace("z", "") if self.gate_recurrence else ""

    @property
    def class_name(self) -> str:
        """Name of the class in `zoo.cells`, for the variants in `VARIANTS`."""
        return f"{self.name.title().replace('_', '')}Cell"

    def count_params(self, input_dim: int, units: int) -> int:
        """Counts the weights of a cell.

        Args:
            input_dim: size M of the input.
            units: size N of the cell.

        Returns:
            G(NM + N² + N) + PN + (QN)² for G gates, P peepholes and Q gates with gate recurrence.
        """
        return (
            len(self.gates) * units * (input_dim + units + 1)
            + len(self.peephole_gates) * units
            + (len(self.recurrent_gates) * units) ** 2
        )


VARIANTS: dict[str, Variant] = {
    variant.code: variant
    for variant in (
        Variant("V", "vanilla"),
        Variant("NIG", "no_input_gate", input_gate=False),
        Variant("NFG", "no_forget_gate", forget_gate=False),
        Variant("NOG", "no_output_gate", output_gate=False),
        Variant("NIAF", "no_input_activation", input_activation=False),
        Variant("NOAF", "no_output_activation", output_activation=False),
        Variant("CIFG", "coupled_input_forget_gate", forget_gate=False, coupled=True),
        Variant("NP", "no_peepholes", peepholes=False),
        Variant("FGR", "full_gate_recurrence", gate_recurrence=True),
    )
}
"""The nine variants by code, in the paper's order."""

STEPPED = {
    f"{prefix}-{code}": f"{words}{variant.class_name}"
    for prefix, words in (("DA", "DepthAdaptive"), ("DT", "DeepTransition"))
    for code, variant in VARIANTS.items()
    if not variant.recurrent_gates
}
"""Class names in `zoo.adaptive_cell` by code: `DA-V`, `DT-V`, ...; none with gate recurrence."""
