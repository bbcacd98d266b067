// Connectionist temporal classification in logarithms and float64; see `tuner.training.native.ctc`.
//
// State s of 2 labels + 1 is label s / 2 if s is odd, else a blank. One block does all of it: half
// of the threads sum over the beginnings of paths while the others sum over their endings.
#pragma once
#include "context.cuh"

__device__ __forceinline__ double log_add(double a, double b) {
  const double high = a > b ? a : b, low = a > b ? b : a;
  return low == -infinity() ? high : high + log1p(exp(low - high));
}

// Whether a path may skip to a state, over the blank between two different labels.
__device__ __forceinline__ bool may_skip(const int *labels, int state) {
  return state % 2 == 1 && state > 1 && labels[state / 2] != labels[state / 2 - 1];
}

// Replaces the logits, whose normalizers are known, with dloss/dlogits; thread 0 returns the loss.
template <class Layout>
__device__ __noinline__ double ctc_loss_and_gradient(const Context<Layout> at, const Split &split, int sequence, int frames) {
  const int row = at.problem().output_row, outputs = at.problem().outputs, blank = outputs - 1;
  const int *labels = split.indices + split.target_starts[sequence];
  const int states = 2 * split.target_counts[sequence] + 1;
  float *logits = at.trial().logits;
  const double *normalizers = at.trial().normalizers;
  double *alpha = at.trial().paths, *beta = alpha + (size_t)at.problem().max_frames * at.problem().max_states;
  auto log_p = [&](int t, int state) {
    return (double)logits[(size_t)t * row + (state % 2 ? labels[state / 2] : blank)] - normalizers[t];
  };
  for (int n = 0; n < frames; ++n) {
    for (int item = at.thread(); item < 2 * states; item += Layout::threads) {
      const bool ending = item >= states;
      const int s = ending ? item - states : item;
      double sum;
      if (!ending) {
        const double *before = alpha + (size_t)(n - 1) * states;
        if (n == 0) {
          sum = s < 2 ? 0. : -infinity();
        } else {
          sum = before[s];
          if (s > 0) sum = log_add(sum, before[s - 1]);
          if (may_skip(labels, s)) sum = log_add(sum, before[s - 2]);
        }
        alpha[(size_t)n * states + s] = sum + log_p(n, s);
      } else {
        const int t = frames - 1 - n;
        const double *after = beta + (size_t)(t + 1) * states;
        if (n == 0) {
          sum = s >= states - 2 ? 0. : -infinity();
        } else {
          sum = after[s] + log_p(t + 1, s);
          if (s + 1 < states) sum = log_add(sum, after[s + 1] + log_p(t + 1, s + 1));
          if (s + 2 < states && may_skip(labels, s + 2)) sum = log_add(sum, after[s + 2] + log_p(t + 1, s + 2));
        }
        beta[(size_t)t * states + s] = sum;
      }
    }
    sync_block();
  }
  const double *last = alpha + (size_t)(frames - 1) * states;
  const double log_likelihood = log_add(last[states - 1], last[states - 2]);
  for (int t = at.thread(); t < frames; t += Layout::threads) {
    float *frame = logits + (size_t)t * row;
    for (int k = 0; k < row; ++k) frame[k] = k < outputs ? (float)exp(frame[k] - normalizers[t]) : 0.f;
    for (int s = 0; s < states; ++s) {
      const double share = alpha[(size_t)t * states + s] + beta[(size_t)t * states + s] - log_likelihood;
      if (share > -infinity()) frame[s % 2 ? labels[s / 2] : blank] -= (float)exp(share);
    }
  }
  return at.thread() == 0 ? -log_likelihood : 0.;
}

// Thread 0 returns the edit distance from the best path, without repeats and blanks, to the labels.
//
// On a diagonal of the table, labels + characters = n, the numbers do not depend on each other.
template <class Layout>
__device__ __noinline__ double ctc_label_errors(const Context<Layout> at, const int *labels, int count, int frames) {
  const int blank = at.problem().outputs - 1;
  const int *path = at.trial().decoded;
  int *decoded = at.trial().decoded + at.problem().max_frames, *table = at.trial().distances;
  const int width = (at.problem().max_states + 1) / 2;
  if (at.thread() == 0) {
    int found = 0, previous = blank;
    for (int t = 0; t < frames; ++t) {
      const int k = path[t];
      if (k != previous && k != blank) decoded[found++] = k;
      previous = k;
    }
    at.trial().control->decoded = found;
  }
  sync_block();
  const int found = at.trial().control->decoded;
  for (int n = 0; n <= count + found; ++n) {
    int *now = table + n % 3 * width;
    const int *before = table + (n + 2) % 3 * width, *earlier = table + (n + 1) % 3 * width;
    for (int label = at.thread(); label <= count; label += Layout::threads) {
      const int character = n - label;
      if (character < 0 || character > found) continue;
      int distance = label + character;
      if (label > 0 && character > 0) {
        distance = earlier[label - 1] + (decoded[character - 1] != labels[label - 1]);
        distance = least(distance, least(before[label - 1], before[label]) + 1);
      }
      now[label] = distance;
    }
    sync_block();
  }
  return at.thread() == 0 ? table[(count + found) % 3 * width + count] : 0;
}
