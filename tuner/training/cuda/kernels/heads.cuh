// The heads: losses with their gradients, and metrics; see `tuner.training.native.heads`.
//
// A function returns the thread's part of the sum over the sequence: nats, or 100 times the errors.
#pragma once
#include "ctc.cuh"

__device__ __forceinline__ bool is_finite(double x) { return fabs(x) < 1e300; }

// log sum exp of a frame's outputs.
__device__ __noinline__ inline double log_sum_exp(const float *frame, int outputs) {
  float most = frame[0], sum = 0;
  for (int k = 1; k < outputs; ++k) most = fmaxf(most, frame[k]);
  for (int k = 0; k < outputs; ++k) sum += expf(frame[k] - most);
  return most + log((double)sum);
}

// The index of the first of the largest outputs; the sum shows whether all are finite.
__device__ __forceinline__ int argmax(const float *frame, int outputs, double *sum) {
  int best = 0;
  *sum = 0;
  for (int k = 0; k < outputs; ++k) {
    *sum += frame[k];
    if (frame[k] > frame[best]) best = k;
  }
  return best;
}

// -log p = softplus(a) - y a, with gradient sigmoid(a) - y.
template <class Layout> __device__ __noinline__ double bernoulli(const Context<Layout> at, const Split &split, int sequence, int frames) {
  const int row = at.problem().output_row, outputs = at.problem().outputs;
  const float *targets = split.rows + (size_t)split.target_starts[sequence] * row;
  double loss = 0;
  for (int k = at.place(); k < frames * row; k += at.all_threads) {
    const float a = at.trial().logits[k], y = targets[k];
    const float e = expf(-fabsf(a));
    const bool counts = k % row < outputs;
    if (counts) loss += fmaxf(a, 0.f) + log1pf(e) - y * a;
    at.trial().logits[k] = counts ? (a < 0 ? e : 1.f) / (1.f + e) - y : 0.f;
  }
  return loss;
}

// -log p = log sum exp - a_k, with gradient softmax(a) - onehot(k).
template <class Layout> __device__ __noinline__ double softmax(const Context<Layout> at, const Split &split, int sequence, int frames) {
  const int row = at.problem().output_row, outputs = at.problem().outputs;
  const int *targets = split.indices + split.target_starts[sequence];
  double loss = 0;
  for (int t = at.place(); t < frames; t += at.all_threads) {
    float *frame = at.trial().logits + (size_t)t * row;
    const double normalizer = log_sum_exp(frame, outputs);
    loss += normalizer - frame[targets[t]];
    for (int k = 0; k < row; ++k) frame[k] = k < outputs ? expf(frame[k] - (float)normalizer) : 0.f;
    frame[targets[t]] -= 1.f;
  }
  return loss;
}

// Replaces the logits of a sequence with their gradients.
template <class Layout>
__device__ double loss_and_gradient(const Context<Layout> at, const Split &split, int sequence, int frames) {
  if (at.problem().head == BERNOULLI) return bernoulli(at, split, sequence, frames);
  if (at.problem().head == SOFTMAX) return softmax(at, split, sequence, frames);
  if (at.rank() > 0) return 0;
  const int row = at.problem().output_row, outputs = at.problem().outputs;
  for (int t = at.thread(); t < frames; t += Layout::threads)
    at.trial().normalizers[t] = log_sum_exp(at.trial().logits + (size_t)t * row, outputs);
  sync_block();
  return ctc_loss_and_gradient(at, split, sequence, frames);
}

// The metric of a sequence, NaN if an output is not finite; may overwrite the logits.
template <class Layout>
__device__ __noinline__ double score(const Context<Layout> at, const Split &split, int sequence, int frames, int *classes) {
  if (at.problem().head == BERNOULLI) return bernoulli(at, split, sequence, frames);
  const int row = at.problem().output_row, outputs = at.problem().outputs;
  const bool is_ctc = at.problem().head == CTC;
  if (is_ctc && at.rank() > 0) return 0;
  const int *targets = split.indices + split.target_starts[sequence];
  const int first = is_ctc ? at.thread() : at.place(), step = is_ctc ? Layout::threads : at.all_threads;
  double errors = 0;
  for (int t = first; t < frames; t += step) {
    double sum;
    const int best = argmax(at.trial().logits + (size_t)t * row, outputs, &sum);
    if (!is_finite(sum)) errors = not_a_number();
    if (is_ctc) at.trial().decoded[t] = best;
    else if (best != targets[t]) errors += 100;
    if (classes) classes[split.starts[sequence] + t] = best;
  }
  if (!is_ctc) return errors;
  sync_block();
  return errors + 100. * ctc_label_errors(at, targets, split.target_counts[sequence], frames);
}
