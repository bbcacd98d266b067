// One step of a unit, forward and backward; the equations are those of `zoo.variants`.
#pragma once
#include "context.cuh"

__device__ __forceinline__ float sigmoid(float x) { return fast_divide(1.f, 1.f + fast_exp(-x)); }

// sigmoid for scale 1, tanh for scale 2, without a branch: tanh x = 2 sigmoid(2 x) - 1.
__device__ __forceinline__ float scaled_sigmoid(float x, float scale) {
  return scale * sigmoid(scale * x) - (scale - 1.f);
}

struct Activations {
  float i, f, z, o, c, tanh_c, h;
};

// A unit's step from the net inputs of its gates. Four lanes do it together, one per gate: lanes
// `unit`, `unit` + 8, + 16, + 24 of the warp, the groups 0 to 3. All of them get all results.
__device__ __forceinline__ Activations activate(int switches, int unit, int group, const float4 &net, const float4 &peephole,
                                                float cell) {
  const float input = group == 0 ? net.x + peephole.x * cell : group == 1 ? net.y + peephole.y * cell : net.z;
  const float gate = scaled_sigmoid(input, group < 2 ? 1.f : 2.f);
  const float early = group >= 2 && switches & NO_INPUT_ACTIVATION ? net.z : gate;
  Activations a;
  a.i = shuffle_from(early, unit), a.f = shuffle_from(early, unit + 8), a.z = shuffle_from(early, unit + 16);
  if (switches & NO_INPUT_GATE) a.i = 1.f;
  if (switches & NO_FORGET_GATE) a.f = switches & COUPLED ? 1.f - a.i : 1.f;
  a.c = a.z * a.i + cell * a.f;
  const float late = scaled_sigmoid(group == 3 ? net.w + peephole.z * a.c : a.c, group == 3 ? 1.f : 2.f);
  const float out = group < 3 && switches & NO_OUTPUT_ACTIVATION ? a.c : late;
  a.o = shuffle_from(out, unit + 24), a.tanh_c = shuffle_from(out, unit);
  if (switches & NO_OUTPUT_GATE) a.o = 1.f;
  a.h = a.o * a.tanh_c;
  return a;
}

// Number `state` of those that the next step sees of a unit: h, then the gates i f o that the
// variant has. 0 for a padding unit, whose gates would be 1/2.
__device__ __forceinline__ float state_of(const Activations &a, int state, int switches, bool is_padding) {
  if (state == 0) return a.h;
  const int missing = state == 1 ? NO_INPUT_GATE : state == 2 ? NO_FORGET_GATE : NO_OUTPUT_GATE;
  if (is_padding || switches & missing) return 0.f;
  return state == 1 ? a.i : state == 2 ? a.f : a.o;
}

// The gradients that a unit receives from the next step: those of h and of i f o.
struct Gradients {
  float h, i, f, o;
};

// The deltas of a unit's step, and in `carried` the gradient of the cell of the previous step:
//
//   delta_o = (dh h(c') + do) o (1 - o),  dc' = dh o h'(c') + p_o delta_o + carried
//   delta_z = dc' i g',  delta_i = (dc' z + di) i (1 - i),  delta_f = (dc' c + df) f (1 - f)
//   carried = dc' f + p_i delta_i + p_f delta_f
//
// A coupled input gate also acts as the forget gate 1 - i: delta_i = (dc' (z - c) + di) i (1 - i).
__device__ __forceinline__ float4 step_back(int switches, const float4 &gates, float tanh_c, float old_cell,
                                            const float4 &peephole, const Gradients &back, float &carried) {
  const float i = gates.x, f = gates.y, z = gates.z, o = gates.w;
  float4 delta;
  delta.w = switches & NO_OUTPUT_GATE ? 0.f : (back.h * tanh_c + back.o) * o * (1.f - o);
  const float inner = switches & NO_OUTPUT_ACTIVATION ? 1.f : 1.f - tanh_c * tanh_c;
  const float cell = carried + back.h * o * inner + peephole.z * delta.w;
  delta.z = cell * i * (switches & NO_INPUT_ACTIVATION ? 1.f : 1.f - z * z);
  const float factor = switches & COUPLED ? z - old_cell : z;
  delta.x = switches & NO_INPUT_GATE ? 0.f : (cell * factor + back.i) * i * (1.f - i);
  delta.y = switches & NO_FORGET_GATE ? 0.f : (cell * old_cell + back.f) * f * (1.f - f);
  carried = cell * f + peephole.x * delta.x + peephole.y * delta.y;
  return delta;
}
