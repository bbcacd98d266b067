// A direction through time and back, the recurrent weights in registers, one barrier a step.
#pragma once
#include "recurrence.cuh"

// The unit and the rows of a thread, see `InRegisters`.
template <class Layout> struct Places {
  int unit_lane, group, unit_block, split, unit, first_row;
  // Of the rows that the lane sums in the end: the first one's block, counted through all states, and
  // its unit there.
  int end_block, end_unit;

  __device__ Places(const Context<Layout> at) {
    unit_lane = at.lane() % 8, group = at.lane() / 8;
    unit_block = at.warp() % Layout::unit_blocks, split = at.warp() / Layout::unit_blocks;
    unit = unit_block * 8 + unit_lane;
    first_row = (split * 4 + group) * Layout::rows_a_thread;
    const int row = first_row + (unit_lane / 4 * 2 + unit_lane / 2 % 2) * (Layout::rows_a_thread / 4);
    end_block = row / Layout::columns, end_unit = row % Layout::columns;
  }
};

template <class Layout>
__device__ __forceinline__ void load_rows(const Places<Layout> &my, const float4 *recurrent, float4 *rows) {
#pragma unroll
  for (int k = 0; k < Layout::rows_a_thread; ++k) {
    const int row = my.first_row + k;
    rows[k] = row < Layout::states * Layout::padded ? recurrent[row * Layout::columns + my.unit] : zeros();
  }
}

template <class Layout>
__device__ __forceinline__ void send(float *address, int rank, float value) {
  if constexpr (Layout::blocks > 1) store_in_block(address, rank, value);
  else *address = value;
}

// From net inputs in `gates` to activations there, cells and states.
template <class Layout>
__device__ __noinline__ void forward_in_registers(const Context<Layout> at, const Weights &weights, int direction, int frames) {
  constexpr int H = Layout::padded, S = Layout::states * H;
  const Places<Layout> my(at);
  const int switches = at.trial().switches, unit = at.rank() * Layout::columns + my.unit;
  const bool is_padding = unit >= at.trial().units;
  float4 rows[Layout::rows_a_thread];
  load_rows<Layout>(my, weights.recurrent, rows);
  const float4 peephole = switches & NO_PEEPHOLES ? zeros() : weights.peepholes[my.unit];
  float4 *gates = at.gates(direction);
  float *cells = at.cells(direction), *tanh_cells = at.tanh_cells(direction), *states = at.states(direction);
  float *before = at.shared();                             // [2, rows], the state.
  float4 *partial = (float4 *)(before + 2 * Layout::rows);  // [splits, columns]
  for (int k = at.thread(); k < 2 * Layout::rows; k += Layout::threads) before[k] = 0;
  for (int k = at.thread(); k < Layout::columns; k += Layout::threads) {
    cells[at.rank() * Layout::columns + k] = 0;
    for (int state = 0; state < Layout::states; ++state) states[state * H + at.rank() * Layout::columns + k] = 0;
  }
  float cell = 0;
  at.sync();
  float4 next = gates[unit];
  for (int step = 0; step < frames; ++step) {
    const float4 input = next;
    if (step + 1 < frames) next = gates[(size_t)(step + 1) * H + unit];
    const float4 *seen = (const float4 *)(before + step % 2 * Layout::rows + my.first_row);
    float4 net = zeros(), odd = zeros();
#pragma unroll
    for (int k = 0; k < Layout::rows_a_thread; k += 4) {
      const float4 h = seen[k / 4];
      add_scaled(net, h.x, rows[k]), add_scaled(odd, h.y, rows[k + 1]);
      add_scaled(net, h.z, rows[k + 2]), add_scaled(odd, h.w, rows[k + 3]);
    }
    add_scaled(net, 1.f, odd);
#pragma unroll
    for (int mask = 8; mask <= 16; mask *= 2) {
      net.x += shuffle_xor(net.x, mask), net.y += shuffle_xor(net.y, mask);
      net.z += shuffle_xor(net.z, mask), net.w += shuffle_xor(net.w, mask);
    }
    if constexpr (Layout::splits > 1) {
      if (my.group == 0) partial[my.split * Layout::columns + my.unit] = net;
      sync_block();
      net = zeros();
#pragma unroll
      for (int k = 0; k < Layout::splits; ++k) add_scaled(net, 1.f, partial[k * Layout::columns + my.unit]);
    }
    add_scaled(net, 1.f, input);
    const Activations a = activate(switches, my.unit_lane, my.group, net, peephole, cell);
    cell = a.c;
    if (my.split == 0) {
      if (my.group == 0) {
        gates[(size_t)step * H + unit] = make_float4(a.i, a.f, a.z, a.o);
        cells[(size_t)(step + 1) * H + unit] = a.c;
        tanh_cells[(size_t)step * H + unit] = a.tanh_c;
      }
#pragma unroll
      for (int state = 0; state < Layout::states; ++state) {
        const float value = state_of(a, state, switches, is_padding);
        if (my.group == 0) states[(size_t)(step + 1) * S + state * H + unit] = value;
        float *to = before + (step + 1) % 2 * Layout::rows + state * H + unit;
        for (int rank = my.group; rank < Layout::blocks; rank += 4) send<Layout>(to, rank, value);
      }
    }
    at.sync();
  }
}

// Sums delta times weights over the eight units of a warp, for each row, and sends the sums to the
// block of the row's unit, `to` there. Each lane ends with an eighth of the rows, in three exchanges.
template <class Layout>
__device__ __forceinline__ void send_back(const Places<Layout> &my, const float4 &delta, const float4 *rows, float *to) {
  constexpr int ROWS = Layout::rows_a_thread, COLUMNS = Layout::columns, BLOCKS = Layout::blocks;
  static_assert(ROWS / 4 <= COLUMNS, "a lane's rows are those of two blocks at most");
  const bool fourth = my.unit_lane & 4, second = my.unit_lane & 2, first = my.unit_lane & 1;
  auto over_two = [&](int k) {
    const float low = dot(delta, rows[k]), high = dot(delta, rows[k + ROWS / 2]);
    return (fourth ? high : low) + shuffle_xor(fourth ? low : high, 4);
  };
#pragma unroll
  for (int k = 0; k < ROWS / 4; ++k) {
    const float low = over_two(k), high = over_two(k + ROWS / 4);
    float sum = (second ? high : low) + shuffle_xor(second ? low : high, 2);
    sum += shuffle_xor(sum, 1);
    const bool beyond = my.end_unit + k >= COLUMNS;
    const int block = my.end_block + beyond, unit = my.end_unit + k - (beyond ? COLUMNS : 0);
    if ((k & 1) == (int)first && block < BLOCKS * Layout::states)
      send<Layout>(to + block / BLOCKS * COLUMNS + unit, block % BLOCKS, sum);
  }
}

// From gradients of the hidden layer to deltas, in the place of the activations.
template <class Layout>
__device__ __noinline__ void backward_in_registers(const Context<Layout> at, const Weights &weights, int direction, int frames) {
  constexpr int H = Layout::padded, ROW = Layout::states * Layout::columns;
  constexpr int SENDERS = Layout::blocks * Layout::unit_blocks;
  const Places<Layout> my(at);
  const int switches = at.trial().switches, unit = at.rank() * Layout::columns + my.unit;
  float4 rows[Layout::rows_a_thread];
  load_rows<Layout>(my, weights.recurrent, rows);
  const float4 peephole = switches & NO_PEEPHOLES ? zeros() : weights.peepholes[my.unit];
  float *received = at.shared();  // [2, senders, states, columns]
  float carried = 0;
  int place = (frames - 1) * H + unit;
  float4 next_gates = at.gates(direction)[place];
  float next_tanh = at.tanh_cells(direction)[place], next_old = at.cells(direction)[place], next_grad = at.hidden_grads(direction)[place];
  sync_block();  // All have read the last step's gates before its deltas take their place.
  for (int step = frames - 1; step >= 0; --step) {
    const float4 activations = next_gates;
    const float tanh_c = next_tanh, old_cell = next_old;
    Gradients back = {next_grad, 0, 0, 0};
    if (step > 0) {
      next_gates = at.gates(direction)[place - H], next_tanh = at.tanh_cells(direction)[place - H];
      next_old = at.cells(direction)[place - H], next_grad = at.hidden_grads(direction)[place - H];
    }
    if (step + 1 < frames) {
      const float *from = received + (step + 1) % 2 * SENDERS * ROW + my.unit;
      float sums[Layout::states];
#pragma unroll
      for (int state = 0; state < Layout::states; ++state) {
        float sum = 0;
        for (int sender = my.group; sender < SENDERS; sender += 4) sum += from[sender * ROW + state * Layout::columns];
        sum += shuffle_xor(sum, 8);
        sums[state] = sum + shuffle_xor(sum, 16);
      }
      back.h += sums[0];
      if constexpr (Layout::states > 1) back.i = sums[1], back.f = sums[2], back.o = sums[3];
    }
    const float4 delta = step_back(switches, activations, tanh_c, old_cell, peephole, back, carried);
    if (my.split == 0 && my.group == 0) at.gates(direction)[place] = delta;
    place -= H;
    if (step > 0) {
      const int sender = step % 2 * SENDERS + at.rank() * Layout::unit_blocks + my.unit_block;
      send_back<Layout>(my, delta, rows, received + sender * ROW);
      at.sync();
    }
  }
  at.sync();
}
