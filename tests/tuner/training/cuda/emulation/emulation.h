// Runs the kernels on one CPU core: a thread of a block is a fiber, which runs until it has to wait.
//
// Barriers and shuffles are exact. Between them the order of the fibers is a choice (`order` of
// `launch`): if a result depends on it, a barrier is missing. Shared memory begins as NaN, and a
// barrier that not all threads come to ends the process with a message.
#pragma once
#include <setjmp.h>
#include <ucontext.h>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __noinline__

using uint32 = std::uint32_t;
using int64 = long long;

struct float4 {
  float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

namespace emulation {

struct Barrier {
  int arrived = 0, phase = 0;
};

struct Fiber {
  ucontext_t context;
  jmp_buf place;
  std::vector<char> stack;
  bool begun, done;
};

inline std::vector<Fiber> fibers;
inline std::vector<std::vector<float>> shared;
inline std::vector<double> offered;  // What each lane gives to a shuffle.
inline std::vector<Barrier> block_barriers, warp_barriers;
inline Barrier cluster_barrier;
inline jmp_buf scheduler;
inline ucontext_t origin;
inline std::function<void()> body;
inline int current, block_threads, first_block;
inline bool progress;

inline void enter() {
  body();
  fibers[current].done = progress = true;
  _longjmp(scheduler, 1);
}

inline void resume(int fiber) {
  current = fiber;
  if (_setjmp(scheduler)) return;
  Fiber &next = fibers[fiber];
  if (next.begun) _longjmp(next.place, 1);
  next.begun = true;
  setcontext(&next.context);
}

inline void wait(Barrier &barrier, int all) {
  const int phase = barrier.phase;
  progress = true;
  if (++barrier.arrived == all) {
    barrier.arrived = 0, ++barrier.phase;
    return;
  }
  while (barrier.phase == phase)
    if (!_setjmp(fibers[current].place)) _longjmp(scheduler, 1);
}

inline int block() { return current / block_threads; }

// Runs `function` in all threads of a cluster. Orders: 0 upward, 1 downward, else random.
inline void run_cluster(int first, int blocks, int threads, int shared_bytes, unsigned order, std::function<void()> function) {
  const int all = blocks * threads;
  body = std::move(function), block_threads = threads, first_block = first;
  // Behind the shared memory of a block are places that nobody may write.
  const size_t shared_floats = shared_bytes / 4;
  shared.assign(blocks, std::vector<float>(shared_floats + 64, std::numeric_limits<float>::quiet_NaN()));
  offered.assign(all, 0);
  block_barriers.assign(blocks, {}), warp_barriers.assign(all / 32, {}), cluster_barrier = {};
  fibers.resize(all);
  std::vector<int> places(all);
  for (int k = 0; k < all; ++k) {
    Fiber &fiber = fibers[k];
    fiber.stack.resize(128 << 10);
    fiber.begun = fiber.done = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data(), fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
    places[k] = order == 1 ? all - 1 - k : k;
  }
  unsigned random = order;
  for (bool alive = true; alive;) {
    if (order > 1)
      for (int k = all - 1; k > 0; --k) {
        random = random * 1664525u + 1013904223u;
        std::swap(places[k], places[(random >> 8) % (k + 1)]);
      }
    alive = progress = false;
    for (int place : places)
      if (!fibers[place].done) alive = true, resume(place);
    if (alive && !progress) {
      std::fprintf(stderr, "emulation: threads wait at different barriers\n");
      std::abort();
    }
  }
  for (const std::vector<float> &memory : shared)
    for (size_t k = shared_floats; k < memory.size(); ++k)
      if (!std::isnan(memory[k])) {
        std::fprintf(stderr, "emulation: a write behind the shared memory\n");
        std::abort();
      }
}

}  // namespace emulation

inline int thread_index() { return emulation::current % emulation::block_threads; }
inline int block_index() { return emulation::first_block + emulation::block(); }

inline void sync_block() { emulation::wait(emulation::block_barriers[emulation::block()], emulation::block_threads); }
inline void sync_cluster() { emulation::wait(emulation::cluster_barrier, emulation::fibers.size()); }

template <class Number> Number shuffle_from(Number value, int lane) {
  auto &barrier = emulation::warp_barriers[emulation::current / 32];
  emulation::offered[emulation::current] = value;
  emulation::wait(barrier, 32);
  const Number received = emulation::offered[emulation::current / 32 * 32 + lane];
  emulation::wait(barrier, 32);
  return received;
}
template <class Number> Number shuffle_xor(Number value, int mask) {
  return shuffle_from(value, (emulation::current % 32) ^ mask);
}

inline float *shared_memory() { return emulation::shared[emulation::block()].data(); }
inline void store_in_block(float *address, int rank, float value) {
  emulation::shared[rank][address - shared_memory()] = value;
}
// A copy arrives when it is waited for: until then the place is not to be read.
namespace emulation {
struct Copy {
  void *to;
  const void *from;
};
inline std::vector<std::vector<std::vector<Copy>>> copies;  // Of each thread, in groups.
}  // namespace emulation
inline std::vector<std::vector<emulation::Copy>> &my_copies() {
  auto &all = emulation::copies;
  if (all.size() < emulation::fibers.size()) all.resize(emulation::fibers.size());
  auto &mine = all[emulation::current];
  if (mine.empty()) mine.emplace_back();
  return mine;
}
inline void copy_ahead(void *to, const void *from) { my_copies().back().push_back({to, from}); }
inline void close_copies() { my_copies().emplace_back(); }
template <int Open> void await_copies() {
  auto &mine = my_copies();
  while ((int)mine.size() - 1 > Open) {
    for (const emulation::Copy &copy : mine.front()) std::memcpy(copy.to, copy.from, 16);
    mine.erase(mine.begin());
  }
}

inline int64 nanoseconds() { return 0; }
inline int64 clock_cycles() {
  static int64 calls = 0;
  return ++calls;
}

inline float fast_exp(float x) { return std::exp(x); }
inline float fast_divide(float a, float b) { return a / b; }
inline float multiply(float a, float b) { return a * b; }
inline float add(float a, float b) { return a + b; }
inline float divide(float a, float b) { return a / b; }
inline float root(float x) { return std::sqrt(x); }
inline double infinity() { return std::numeric_limits<double>::infinity(); }
inline double not_a_number() { return std::numeric_limits<double>::quiet_NaN(); }
inline float bits_to_float(int bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
inline int float_to_bits(float x) {
  int bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}
