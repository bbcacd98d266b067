// A trial from visit to visit: read a sequence, predict, score, learn, count epochs, stop.
#pragma once
#include "heads.cuh"
#include "in_registers.cuh"
#include "noise.cuh"
#include "products.cuh"
#include "streamed.cuh"

// Adds the time since the last mark to a part of the work.
template <class Layout> __device__ __forceinline__ void mark(const Context<Layout> at, Part part) {
  if (at.rank() > 0 || at.thread() > 0) return;
  Control &control = *at.trial().control;
  const int64 now = clock_cycles();
  if (part < PARTS) control.cycles[part] += now - control.marked;
  control.marked = now;
}

// Copies a sequence into the network's inputs, a 1 after each frame; adds noise if there is a key.
template <class Layout>
__device__ __noinline__ void read(const Context<Layout> at, const Split &split, int sequence, int frames, const uint32 *key, int visit) {
  const int features = at.problem().inputs, row = at.problem().input_row, count = frames * features;
  const float *clean = split.inputs + (size_t)split.starts[sequence] * features;
  float *inputs = at.trial().inputs;
  const int rest = row - features;
  for (int k = at.place(); k < frames * rest; k += at.all_threads)
    inputs[k / rest * row + features + k % rest] = k % rest == 0 ? 1.f : 0.f;
  if (key == nullptr) {
    for (int k = at.place(); k < count; k += at.all_threads) inputs[k / features * row + k % features] = clean[k];
  } else {
    const int blocks = (count + 3) / 4;
    for (int block = at.place(); block < blocks; block += at.all_threads) {
      uint32 words[4];
      float normals[4];
      threefry(key[0], key[1], block, visit, words);
      box_muller(words[0], words[1], normals, normals + 1);
      box_muller(words[2], words[3], normals + 2, normals + 3);
#pragma unroll
      for (int word = 0; word < 4; ++word) {
        const int k = word * blocks + block;
        if (k < count)
          inputs[k / features * row + k % features] = add(clean[k], multiply(at.trial().noise, normals[word]));
      }
    }
  }
  at.sync();
}

template <class Layout> __device__ __noinline__ void predict(const Context<Layout> at, float *memory, int frames) {
  for (int direction = 0; direction < at.problem().directions; ++direction) {
    const Weights weights = at.weights(memory, direction);
    project(at, weights, direction, frames);
    sync_block();
    mark(at, PROJECT);
    if constexpr (Layout::streamed) forward_streamed(at, weights, direction, frames);
    else forward_in_registers(at, weights, direction, frames);
    mark(at, FORWARD);
  }
  write_logits(at, at.weights(memory, 0).output, frames);
  at.sync();
}

template <class Layout> __device__ __noinline__ void learn(const Context<Layout> at, int frames) {
  for (int direction = 0; direction < at.problem().directions; ++direction) {
    const Weights weights = at.weights(at.trial().weights, direction);
    write_hidden_grads(at, direction, frames);
    sync_block();
    mark(at, HEAD);
    if constexpr (Layout::streamed) backward_streamed(at, weights, direction, frames);
    else backward_in_registers(at, weights, direction, frames);
    mark(at, BACKWARD);
  }
  at.sync();  // All blocks have read the output kernel.
  update_output(at, frames);
  for (int direction = 0; direction < at.problem().directions; ++direction) update_cell(at, direction, frames);
  at.sync();
  mark(at, UPDATE);
}

// Sums a number over all threads of the trial, always in the same order; the chief, thread 0 of block
// 0, gets the sum.
template <class Layout> __device__ __noinline__ double total(const Context<Layout> at, double part) {
  at.trial().partials[at.place()] = part;
  at.sync();
  if (at.rank() > 0 || at.warp() > 0) return 0;
  double sum = 0;
  for (int k = at.lane(); k < at.all_threads; k += 32) sum += at.trial().partials[k];
  for (int mask = 16; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
  return sum;
}

// For the chief alone: records an epoch that has been measured; returns whether training continues.
__device__ __noinline__ inline bool end_epoch(const Problem &problem, const Trial &trial, Control &control) {
  const Split &train = problem.train, &validation = problem.validation;
  double loss = 0, sum = 0, means = 0, frames = 0, size = 0;
  for (int k = 0; k < train.count; ++k) frames += train.lengths[k];
  if (control.epoch > 0)
    for (int k = 0; k < train.count; ++k) loss += trial.losses[k];
  for (int k = 0; k < validation.count; ++k) {
    sum += trial.scores[k], size += validation.target_counts[k];
    means += trial.scores[k] / validation.target_counts[k];
  }
  loss /= frames;
  const double mean = sum / size, sequence_mean = means / validation.count;
  const bool finite = is_finite(loss) && is_finite(mean) && is_finite(sequence_mean);
  if (control.epoch == 0 || finite) {
    double *record = trial.epochs + 3 * control.epoch;
    record[0] = loss, record[1] = mean, record[2] = sequence_mean;
    control.finished = control.epoch + 1;
    if (control.epoch == 0 || mean < control.best)
      control.best = mean, control.best_epoch = control.epoch, control.improved = 1;
  }
  if (!finite) control.diverged = 1;
  return finite && control.epoch < problem.max_epochs && control.epoch - control.best_epoch < problem.patience;
}

// For the chief alone: records the loss or score of a visit and decides what comes next.
__device__ __noinline__ inline void advance(const Problem &problem, const Trial &trial, double value, int sequence, int64 limit) {
  Control &control = *trial.control;
  control.improved = 0;
  int next = control.phase;
  if (control.phase == TRAIN) {
    trial.losses[control.position++] = value;
    if (!is_finite(value)) control.diverged = 1, next = TEST;
    else if (control.position == problem.train.count) next = VALIDATE;
  } else {
    trial.scores[sequence] = value;
    ++control.position;
    if (control.phase == VALIDATE && control.position == problem.validation.count) {
      next = end_epoch(problem, trial, control) ? TRAIN : TEST;
      if (next == TRAIN) ++control.epoch;
    } else if (control.phase == TEST && control.position == problem.test.count) {
      next = DONE;
    }
  }
  if (next != control.phase) control.phase = next, control.position = 0;
  --control.visits;
  if (nanoseconds() - control.began > limit) control.visits = 0;
}

// Saves the weights of a new best epoch.
template <class Layout> __device__ __noinline__ void keep_weights(const Context<Layout> at) {
  const size_t count = at.weights_count() / 4;
  for (size_t k = at.place(); k < count; k += at.all_threads) ((float4 *)at.trial().best)[k] = ((const float4 *)at.trial().weights)[k];
  at.sync();
}

// Trains and measures until the trial is done or the launch has lasted long enough: `visits`
// sequences or `limit` nanoseconds.
template <class Layout> __device__ void run(const Context<Layout> at, int visits, int64 limit) {
  Control &control = *at.trial().control;
  const Problem &problem = at.problem();
  if (at.rank() == 0 && at.thread() == 0) control.visits = visits, control.began = nanoseconds();
  at.sync();
  while (control.phase != DONE && control.visits > 0) {
    const int phase = control.phase, position = control.position, epoch = control.epoch;
    const Split &split = phase == TRAIN ? problem.train : phase == VALIDATE ? problem.validation : problem.test;
    const int sequence = phase == TRAIN ? problem.order[(epoch - 1) * split.count + position] : position;
    const int frames = split.lengths[sequence];
    const bool noisy = phase == TRAIN && at.trial().noise > 0;
    mark(at, PARTS);
    read(at, split, sequence, frames, noisy ? at.trial().keys + 2 * (epoch - 1) : nullptr, position);
    mark(at, READ);
    predict(at, phase == TEST ? at.trial().best : at.trial().weights, frames);
    const double part = phase == TRAIN ? loss_and_gradient(at, split, sequence, frames)
                                       : score(at, split, sequence, frames, phase == TEST ? at.trial().classes : nullptr);
    const double value = total(at, part);
    if (at.rank() == 0 && at.thread() == 0) advance(problem, at.trial(), value, sequence, limit);
    at.sync();
    mark(at, HEAD);
    if (phase == TRAIN && !control.diverged) learn(at, frames);
    if (control.improved) keep_weights(at);
  }
}
