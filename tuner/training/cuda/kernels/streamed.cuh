// A direction forward and backward in time, for any number of units: all steps read the weights.
#pragma once
#include "recurrence.cuh"

template <class Layout>
__device__ __noinline__ void forward_streamed(const Context<Layout> at, const Weights &weights, int direction, int frames) {
  constexpr int WARPS = Layout::threads / 32;
  const int H = at.padded(), S = at.state_row(), switches = at.trial().switches;
  const int unit_lane = at.lane() % 8, group = at.lane() / 8;
  float4 *gates = at.gates(direction);
  float *cells = at.cells(direction), *tanh_cells = at.tanh_cells(direction), *states = at.states(direction);
  float *before = at.shared();  // [2, S], the state.
  for (int k = at.thread(); k < S; k += Layout::threads) before[k] = states[k] = 0;
  for (int k = at.thread(); k < H; k += Layout::threads) cells[k] = 0;
  sync_block();
  for (int step = 0; step < frames; ++step) {
    const float *seen = before + step % 2 * S;
    for (int unit_block = at.warp(); unit_block < H / 8; unit_block += WARPS) {
      const int unit = unit_block * 8 + unit_lane;
      const size_t place = (size_t)step * H + unit;
      const float4 input = gates[place];
      const float cell = cells[place];
      const float4 peephole = switches & NO_PEEPHOLES ? zeros() : weights.peepholes[unit];
      float4 net = zeros();
#pragma unroll 4
      for (int row = group; row < S; row += 4) add_scaled(net, seen[row], weights.recurrent[row * H + unit]);
#pragma unroll
      for (int mask = 8; mask <= 16; mask *= 2) {
        net.x += shuffle_xor(net.x, mask), net.y += shuffle_xor(net.y, mask);
        net.z += shuffle_xor(net.z, mask), net.w += shuffle_xor(net.w, mask);
      }
      add_scaled(net, 1.f, input);
      const Activations a = activate(switches, unit_lane, group, net, peephole, cell);
      if (group == 0) {
        gates[place] = make_float4(a.i, a.f, a.z, a.o);
        cells[place + H] = a.c, tanh_cells[place] = a.tanh_c;
      }
      // Each group writes one number of the state, if there is one for it.
      if (group * H < S) {
        const float value = state_of(a, group, switches, unit >= at.trial().units);
        before[(step + 1) % 2 * S + group * H + unit] = value;
        states[(size_t)(step + 1) * S + group * H + unit] = value;
      }
    }
    sync_block();
  }
}

template <class Layout>
__device__ __noinline__ void backward_streamed(const Context<Layout> at, const Weights &weights, int direction, int frames) {
  constexpr int WARPS = Layout::threads / 32;
  const int H = at.padded(), S = at.state_row(), switches = at.trial().switches;
  const int unit_lane = at.lane() % 8, group = at.lane() / 8;
  float4 *gates = at.gates(direction);
  const float *cells = at.cells(direction), *tanh_cells = at.tanh_cells(direction);
  const float *hidden_grads = at.hidden_grads(direction);
  float4 *deltas = (float4 *)at.shared();  // [H]
  float *received = at.shared() + 4 * H, *carried = received + S;  // [S], [H]
  for (int k = at.thread(); k < S + H; k += Layout::threads) received[k] = 0;
  sync_block();
  for (int step = frames - 1; step >= 0; --step) {
    for (int unit = at.thread(); unit < H; unit += Layout::threads) {
      const size_t place = (size_t)step * H + unit;
      const float4 peephole = switches & NO_PEEPHOLES ? zeros() : weights.peepholes[unit];
      Gradients back = {hidden_grads[place] + received[unit], 0, 0, 0};
      if (S > H) back.i = received[H + unit], back.f = received[2 * H + unit], back.o = received[3 * H + unit];
      const float4 delta =
          step_back(switches, gates[place], tanh_cells[place], cells[place], peephole, back, carried[unit]);
      gates[place] = deltas[unit] = delta;
    }
    sync_block();
    if (step > 0) {
      for (int block = at.warp(); block < S / 4; block += WARPS) {
        const int row = block * 4 + group;
        float sum = 0;
#pragma unroll 4
        for (int unit = unit_lane; unit < H; unit += 8) sum += dot(deltas[unit], weights.recurrent[row * H + unit]);
        sum += shuffle_xor(sum, 1), sum += shuffle_xor(sum, 2), sum += shuffle_xor(sum, 4);
        if (unit_lane == 0) received[row] = sum;
      }
      sync_block();
    }
  }
}
