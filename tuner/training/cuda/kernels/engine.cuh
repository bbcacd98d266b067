// The kernel of a layout: trains the trials of `trials`, each on a cluster of Layout::blocks blocks.
#pragma once
#include "training.cuh"

template <class Layout> __device__ void train_trials(Trial *const *trials, int visits, int64 limit) {
  const int *from = (const int *)trials[block_index() / Layout::blocks];
  int *shared = (int *)shared_memory();
  for (int k = thread_index(); k < (int)(sizeof(Trial) / 4); k += Layout::threads) shared[k] = from[k];
  sync_block();
  run(Context<Layout>(), visits, limit);
}
