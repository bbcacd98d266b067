// A thread's position in a trial: its layout, its places in shared and global memory.
#pragma once
#include "structures.cuh"

// A trial is a cluster of `Blocks` blocks that share the hidden units. A thread keeps `Rows` rows
// of the recurrent kernel in registers, for one unit and all gates (a float4). The 32 lanes of a
// warp are 8 units times 4 groups of rows; a block has `UnitBlocks` times 8 units, and the rows are
// split over 4 `Splits` groups. The next step sees `States` numbers of a unit: h, or with the gate
// recurrence h i f o.
template <int UnitBlocks, int Splits, int Rows, int Blocks, int States> struct InRegisters {
  static constexpr bool streamed = false;
  static constexpr int unit_blocks = UnitBlocks, splits = Splits, rows_a_thread = Rows, blocks = Blocks, states = States;
  static constexpr int threads = 32 * UnitBlocks * Splits;
  static constexpr int columns = 8 * UnitBlocks, padded = Blocks * columns;
  static constexpr int rows = 4 * Splits * Rows;
  static constexpr int staged_columns = columns;
  static_assert(rows >= States * padded && Rows % 4 == 0, "too few rows");
  // Two buffers each: for the state, and for the gradients that the blocks of 8 units send back to
  // the units of this block.
  static constexpr int forward_floats = 2 * rows + 4 * Splits * columns;
  static constexpr int backward_floats = 2 * Blocks * UnitBlocks * States * columns;
};

// A trial is one block of `Warps` warps, for any number of units; the weights are read from the L2
// cache in every step.
template <int Warps> struct Streamed {
  static constexpr bool streamed = true;
  static constexpr int blocks = 1, threads = 32 * Warps;
  static constexpr int staged_columns = 128;
};

constexpr int STAGED_FRAMES = 16, STAGED_ROWS = 64;

__device__ __forceinline__ float4 zeros() { return make_float4(0, 0, 0, 0); }

__device__ __forceinline__ void add_scaled(float4 &sum, float scale, const float4 &a) {
  sum.x += scale * a.x, sum.y += scale * a.y, sum.z += scale * a.z, sum.w += scale * a.w;
}

__device__ __forceinline__ float dot(const float4 &a, const float4 &b) {
  return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}

__device__ __forceinline__ int least(int a, int b) { return a < b ? a : b; }

// The matrices of a network in one piece of memory. The columns of each block of the cluster are
// contiguous.
struct Weights {
  float4 *kernel;         // [D, blocks, input_row, columns], biases in row `inputs`.
  float4 *recurrent;      // [D, blocks, S, columns]; rows are h, then i f o: there z has no weights.
  float4 *peepholes;      // [D, blocks, columns], of i f o, then 0.
  float *output;          // [D H + 1, output_row], biases last.
};

// Shared memory begins with a copy of the trial's description.
constexpr int TRIAL_FLOATS = (sizeof(Trial) + 15) / 16 * 4;

// Everything is computed from values that the device provides, so that it costs no registers.
template <class Layout> struct Context {
  __device__ const Trial &trial() const { return *(const Trial *)shared_memory(); }
  __device__ const Problem &problem() const { return *trial().problem; }
  __device__ float *shared() const { return shared_memory() + TRIAL_FLOATS; }

  // Rank of the block in its cluster.
  __device__ int rank() const { return Layout::blocks == 1 ? 0 : block_index() % Layout::blocks; }
  // Number of units, padded; H.
  __device__ int padded() const {
    if constexpr (Layout::streamed) return trial().padded;
    else return Layout::padded;
  }
  // Number of units of this block, padded.
  __device__ int columns() const {
    if constexpr (Layout::streamed) return trial().padded;
    else return Layout::columns;
  }
  // Count of the numbers that a step sees of the previous one; S.
  __device__ int state_row() const {
    if constexpr (Layout::streamed) return (has(GATE_RECURRENCE) ? 4 : 1) * trial().padded;
    else return Layout::states * Layout::padded;
  }

  __device__ int thread() const { return thread_index(); }
  __device__ int lane() const { return thread_index() % 32; }
  __device__ int warp() const { return thread_index() / 32; }

  // The thread's index among all threads of the trial.
  __device__ int place() const { return rank() * Layout::threads + thread_index(); }
  static constexpr int all_threads = Layout::blocks * Layout::threads;

  __device__ bool has(int switches) const { return trial().switches & switches; }

  __device__ void sync() const {
    if constexpr (Layout::blocks > 1) sync_cluster();
    else sync_block();
  }

  // The matrices of this block's columns of a direction, and the output kernel.
  __device__ Weights weights(float *memory, int direction) const {
    const int directions = problem().directions;
    float4 *kernel = (float4 *)memory;
    float4 *recurrent = kernel + (size_t)directions * problem().input_row * padded();
    float4 *peepholes = recurrent + (size_t)directions * state_row() * padded();
    float *output = (float *)(peepholes + (size_t)directions * padded());
    return {kernel + (size_t)problem().input_row * (direction * padded() + rank() * columns()),
            recurrent + (size_t)state_row() * (direction * padded() + rank() * columns()),
            peepholes + direction * padded() + rank() * columns(), output};
  }

  __device__ size_t weights_count() const {
    const size_t directions = problem().directions;
    return directions * padded() * 4 * (problem().input_row + state_row() + 1) +
           (directions * padded() + 1) * problem().output_row;
  }

  __device__ float4 *gates(int direction) const {
    return (float4 *)trial().gates + (size_t)direction * trial().max_frames * padded();
  }
  __device__ float *cells(int direction) const {
    return trial().cells + (size_t)direction * (trial().max_frames + 1) * padded();
  }
  __device__ float *tanh_cells(int direction) const {
    return trial().tanh_cells + (size_t)direction * trial().max_frames * padded();
  }
  __device__ float *states(int direction) const {
    return trial().states + (size_t)direction * (trial().max_frames + 1) * state_row();
  }
  __device__ float *hidden_grads(int direction) const {
    return trial().hidden_grads + (size_t)direction * trial().max_frames * padded();
  }
};
