// The products over all frames at once: everything but the recurrence itself.
#pragma once
#include "context.cuh"

// Net inputs of all gates, x W + b, of one direction.
template <class Layout>
__device__ __noinline__ void project(const Context<Layout> at, const Weights &weights, int direction, int frames) {
  constexpr int TILE = 16;
  const int row = at.problem().input_row, columns = at.columns(), last = frames - 1;
  const int tiles = (frames + TILE - 1) / TILE;
  float4 *gates = at.gates(direction) + at.rank() * columns;
  for (int item = at.thread(); item < columns * tiles; item += Layout::threads) {
    const int unit = item % columns, first = item / columns * TILE;
    float4 sums[TILE];
#pragma unroll
    for (int q = 0; q < TILE; ++q) sums[q] = zeros();
    // Of a tile beyond the last frame, numbers are read that nobody takes.
    const float *inputs = at.trial().inputs + (direction ? last - first : first) * row;
    const int64 stride = direction ? -row : row;
    const float4 *kernel = weights.kernel + unit;
    for (int k = 0; k < row; k += 4, kernel += 4 * columns, inputs += 4) {
      const float4 w0 = kernel[0], w1 = kernel[columns], w2 = kernel[2 * columns], w3 = kernel[3 * columns];
#pragma unroll
      for (int q = 0; q < TILE; ++q) {
        const float4 x = *(const float4 *)(inputs + q * stride);
        add_scaled(sums[q], x.x, w0), add_scaled(sums[q], x.y, w1);
        add_scaled(sums[q], x.z, w2), add_scaled(sums[q], x.w, w3);
      }
    }
#pragma unroll
    for (int q = 0; q < TILE; ++q)
      if (first + q < frames) gates[(size_t)(first + q) * at.padded() + unit] = sums[q];
  }
}

// Outputs of all frames, h K + b over all directions.
template <class Layout> __device__ __noinline__ void write_logits(const Context<Layout> at, const float *output, int frames) {
  constexpr int TILE = 4;
  const int quads = at.problem().output_row / 4, tiles = (frames + TILE - 1) / TILE;
  const float4 *kernel = (const float4 *)output;
  for (int item = at.place(); item < tiles * quads; item += at.all_threads) {
    const int quad = item % quads, first = item / quads * TILE;
    float4 sums[TILE];
#pragma unroll
    for (int q = 0; q < TILE; ++q) sums[q] = kernel[(size_t)at.problem().directions * at.padded() * quads + quad];
    for (int direction = 0; direction < at.problem().directions; ++direction) {
      const float *hidden[TILE];
#pragma unroll
      for (int q = 0; q < TILE; ++q) {
        const int frame = least(first + q, frames - 1);
        hidden[q] = at.states(direction) + (size_t)(direction ? frames - frame : frame + 1) * at.state_row();
      }
      const float4 *rows = kernel + (size_t)direction * at.padded() * quads + quad;
#pragma unroll 2
      for (int k = 0; k < at.padded(); k += 4, rows += 4 * quads) {
        const float4 w0 = rows[0], w1 = rows[quads], w2 = rows[2 * quads], w3 = rows[3 * quads];
#pragma unroll
        for (int q = 0; q < TILE; ++q) {
          const float4 h = *(const float4 *)(hidden[q] + k);
          add_scaled(sums[q], h.x, w0), add_scaled(sums[q], h.y, w1);
          add_scaled(sums[q], h.z, w2), add_scaled(sums[q], h.w, w3);
        }
      }
    }
#pragma unroll
    for (int q = 0; q < TILE; ++q)
      if (first + q < frames) ((float4 *)at.trial().logits)[(size_t)(first + q) * quads + quad] = sums[q];
  }
}

// Gradient of the hidden layer from that of the logits, of this block's units of a direction.
template <class Layout> __device__ __noinline__ void write_hidden_grads(const Context<Layout> at, int direction, int frames) {
  constexpr int TILE = 4;
  const int quads = at.columns() / 4, tiles = (frames + TILE - 1) / TILE, row = at.problem().output_row;
  const int stride = at.problem().directions * at.padded() / 4;
  const int first_quad = (direction * at.padded() + at.rank() * at.columns()) / 4;
  for (int item = at.thread(); item < quads * tiles; item += Layout::threads) {
    const int quad = item % quads, first = item / quads * TILE;
    float4 sums[TILE];
    const float *grads[TILE];
#pragma unroll
    for (int q = 0; q < TILE; ++q) {
      const int step = least(first + q, frames - 1);
      sums[q] = zeros();
      grads[q] = at.trial().logits + (size_t)(direction ? frames - 1 - step : step) * row;
    }
    const float4 *kernel = (const float4 *)at.trial().output_transposed + first_quad + quad;
#pragma unroll 2
    for (int k = 0; k < row; k += 4, kernel += 4 * stride) {
      const float4 w0 = kernel[0], w1 = kernel[stride], w2 = kernel[2 * stride], w3 = kernel[3 * stride];
#pragma unroll
      for (int q = 0; q < TILE; ++q) {
        const float4 d = *(const float4 *)(grads[q] + k);
        add_scaled(sums[q], d.x, w0), add_scaled(sums[q], d.y, w1);
        add_scaled(sums[q], d.z, w2), add_scaled(sums[q], d.w, w3);
      }
    }
    float4 *out = (float4 *)at.hidden_grads(direction) + at.rank() * quads + quad;
#pragma unroll
    for (int q = 0; q < TILE; ++q)
      if (first + q < frames) out[(size_t)(first + q) * (at.padded() / 4)] = sums[q];
  }
}

// v <- momentum v - rate g, w <- w + momentum v - rate g: Nesterov's momentum as Keras has it.
__device__ __forceinline__ void nesterov_step(float &weight, float &velocity, float gradient, float momentum, float rate) {
  velocity = momentum * velocity - rate * gradient;
  weight += momentum * velocity - rate * gradient;
}

__device__ __forceinline__ void nesterov_step(float4 *weights, float4 *velocities, const float4 &gradient,
                                              float momentum, float rate) {
  float4 w = *weights, v = *velocities;
  nesterov_step(w.x, v.x, gradient.x, momentum, rate), nesterov_step(w.y, v.y, gradient.y, momentum, rate);
  nesterov_step(w.z, v.z, gradient.z, momentum, rate), nesterov_step(w.w, v.w, gradient.w, momentum, rate);
  *weights = w, *velocities = v;
}

// A matrix that a gradient moves, with its velocities; `columns` float4 a row.
struct Update {
  float4 *weights, *velocities;
  int rows, columns;
  int rows_without_z;  // From this row on, z has no weights.
};

// Moves weights by the sum over frames of left[frame][row] right[frame][column].
//
// A tile of `Tile` rows and one column is a thread's; frames come in chunks into shared memory, the
// next chunk while one is being summed.
template <int Tile, class Layout>
__device__ __noinline__ void nesterov_product(const Context<Layout> at, const Update &update, const float *left, int64 left_row,
                                 const float4 *right, int64 right_row, int frames) {
  static_assert(Tile % 4 == 0 && STAGED_ROWS % Tile == 0, "rows are copied by fours");
  const int width = least(update.columns, Layout::staged_columns);
  const int strides = Layout::threads / width, tiles = least(STAGED_ROWS / Tile, strides);
  const int chunks = (frames + STAGED_FRAMES - 1) / STAGED_FRAMES;
  const int column = at.thread() % width, tile = at.thread() / width;
  float4 *right_room = (float4 *)at.shared();  // [2, STAGED_FRAMES, staged_columns]
  float *left_room = (float *)(right_room + 2 * STAGED_FRAMES * Layout::staged_columns);  // [2, STAGED_FRAMES, STAGED_ROWS]
  for (int first_column = 0; first_column < update.columns; first_column += width) {
    const int columns_here = least(width, update.columns - first_column);
    for (int first_row = 0; first_row < update.rows; first_row += tiles * Tile) {
      const int rows_here = least(tiles * Tile, update.rows - first_row);
      auto stage = [&](int chunk) {
        const int first = chunk * STAGED_FRAMES, count = least(STAGED_FRAMES, frames - first), buffer = chunk % 2;
        // Without a division: a thread copies one column, and one place of the rows.
        if (column < columns_here && tile < strides)
          for (int frame = tile; frame < count; frame += strides)
            copy_ahead(right_room + (buffer * STAGED_FRAMES + frame) * Layout::staged_columns + column,
                       right + (first + frame) * right_row + first_column + column);
        const int place = at.thread() % (STAGED_ROWS / 4) * 4;
        if (place < rows_here)
          for (int frame = at.thread() / (STAGED_ROWS / 4); frame < count; frame += Layout::threads / (STAGED_ROWS / 4))
            copy_ahead(left_room + (buffer * STAGED_FRAMES + frame) * STAGED_ROWS + place,
                       left + (first + frame) * left_row + first_row + place);
        close_copies();
      };
      float4 sums[Tile];
#pragma unroll
      for (int q = 0; q < Tile; ++q) sums[q] = zeros();
      const bool busy = tile < tiles && column < columns_here && tile * Tile < rows_here;
      stage(0);
      for (int chunk = 0; chunk < chunks; ++chunk) {
        if (chunk + 1 < chunks) {
          stage(chunk + 1);
          await_copies<1>();
        } else {
          await_copies<0>();
        }
        sync_block();
        if (busy) {
          const int count = least(STAGED_FRAMES, frames - chunk * STAGED_FRAMES), buffer = chunk % 2 * STAGED_FRAMES;
          const float4 *deltas = right_room + buffer * Layout::staged_columns + column;
          const float *rows = left_room + buffer * STAGED_ROWS + tile * Tile;
#pragma unroll 2
          for (int frame = 0; frame < count; ++frame, deltas += Layout::staged_columns, rows += STAGED_ROWS) {
            const float4 delta = *deltas;
#pragma unroll
            for (int q = 0; q < Tile; q += 4) {
              const float4 l = *(const float4 *)(rows + q);
              add_scaled(sums[q], l.x, delta), add_scaled(sums[q + 1], l.y, delta);
              add_scaled(sums[q + 2], l.z, delta), add_scaled(sums[q + 3], l.w, delta);
            }
          }
        }
        sync_block();  // All have read this chunk before another takes its place.
      }
      if (busy) {
#pragma unroll
        for (int q = 0; q < Tile; ++q) {
          const int row = first_row + tile * Tile + q;
          if (row < update.rows) {
            if (row >= update.rows_without_z) sums[q].z = 0;
            const int64 place = (int64)row * update.columns + first_column + column;
            nesterov_step(update.weights + place, update.velocities + place, sums[q], at.trial().momentum, at.trial().rate);
          }
        }
      }
    }
  }
}

// dp = sum c * delta over the steps; the output gate sees the new cell.
template <class Layout>
__device__ __noinline__ void update_peepholes(const Context<Layout> at, float4 *weights, float4 *velocities, int direction,
                                              int frames) {
  const float4 *deltas = at.gates(direction) + at.rank() * at.columns();
  const float *cells = at.cells(direction) + at.rank() * at.columns();
  for (int unit = at.thread(); unit < at.columns(); unit += Layout::threads) {
    float4 sum = zeros();
#pragma unroll 4
    for (int step = 0; step < frames; ++step) {
      const float4 delta = deltas[(size_t)step * at.padded() + unit];
      const float old = cells[(size_t)step * at.padded() + unit], now = cells[(size_t)(step + 1) * at.padded() + unit];
      sum.x += delta.x * old, sum.y += delta.y * old, sum.z += delta.w * now;
    }
    nesterov_step(weights + unit, velocities + unit, sum, at.trial().momentum, at.trial().rate);
  }
}

// Moves the weights of one direction: dW = sum x (x) delta, dR = sum h_{t-1} (x) delta_t, dp = sum c * delta.
template <class Layout> __device__ __noinline__ void update_cell(const Context<Layout> at, int direction, int frames) {
  const Weights weights = at.weights(at.trial().weights, direction), velocities = at.weights(at.trial().velocities, direction);
  const int columns = at.columns(), row = at.problem().input_row;
  const float4 *deltas = at.gates(direction) + at.rank() * columns;
  const float *inputs = at.trial().inputs + (direction ? (size_t)(frames - 1) * row : 0);
  nesterov_product<16>(at, {weights.kernel, velocities.kernel, row, columns, row}, inputs, direction ? -row : row, deltas,
                       at.padded(), frames);
  nesterov_product<16>(at, {weights.recurrent, velocities.recurrent, at.state_row(), columns, at.padded()},
                       at.states(direction), at.state_row(), deltas, at.padded(), frames);
  if (!at.has(NO_PEEPHOLES)) update_peepholes(at, weights.peepholes, velocities.peepholes, direction, frames);
}

// Moves the output kernel, each block the rows of its units, and keeps it transposed, too.
template <class Layout> __device__ __noinline__ void update_output(const Context<Layout> at, int frames) {
  const int row = at.problem().output_row, quads = row / 4, columns = at.columns();
  float4 *weights = (float4 *)at.weights(at.trial().weights, 0).output;
  float4 *velocities = (float4 *)at.weights(at.trial().velocities, 0).output;
  const float4 *grads = (const float4 *)at.trial().logits;
  const int all_rows = at.problem().directions * at.padded();
  for (int direction = 0; direction < at.problem().directions; ++direction) {
    const int first = direction * at.padded() + at.rank() * columns;
    const int64 stride = direction ? -at.state_row() : at.state_row();
    const float *hidden = at.states(direction) + (size_t)(direction ? frames : 1) * at.state_row() + at.rank() * columns;
    nesterov_product<4>(at, {weights + (size_t)first * quads, velocities + (size_t)first * quads, columns, quads, columns},
                        hidden, stride, grads, quads, frames);
    sync_block();
    const float *kernel = (const float *)weights + (size_t)first * row;
    for (int k = at.thread(); k < columns * row; k += Layout::threads)
      at.trial().output_transposed[(size_t)(k / columns) * all_rows + first + k % columns] = kernel[k % columns * row + k / columns];
  }
  if (at.rank() > 0) return;
  for (int quad = at.thread(); quad < quads; quad += Layout::threads) {
    float4 sum = zeros();
    for (int frame = 0; frame < frames; ++frame) add_scaled(sum, 1.f, grads[(size_t)frame * quads + quad]);
    const size_t place = (size_t)all_rows * quads + quad;
    nesterov_step(weights + place, velocities + place, sum, at.trial().momentum, at.trial().rate);
  }
}
