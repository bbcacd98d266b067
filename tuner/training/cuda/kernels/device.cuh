// The functions of a device that the kernels use: indices, barriers, shuffles, shared memory, math.
//
// Without a device, the tests replace this file with their own emulation (named by EMULATION).
#pragma once
#ifdef EMULATION
#include EMULATION
#else

using uint32 = unsigned int;
using int64 = long long;

__device__ __forceinline__ int thread_index() { return threadIdx.x; }
__device__ __forceinline__ int block_index() { return blockIdx.x; }

__device__ __forceinline__ void sync_block() { __syncthreads(); }

__device__ __forceinline__ void sync_cluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release;\n\tbarrier.cluster.wait.acquire;" ::: "memory");
#endif
}

template <class Number> __device__ __forceinline__ Number shuffle_xor(Number value, int mask) {
  return __shfl_xor_sync(~0u, value, mask);
}

__device__ __forceinline__ float shuffle_from(float value, int lane) {
  return __shfl_sync(~0u, value, lane);
}

__device__ __forceinline__ float *shared_memory() {
  extern __shared__ __align__(16) float memory[];
  return memory;
}

// Writes a number into the shared memory of a block of the cluster, at the place that `address` has
// in this block's.
__device__ __forceinline__ void store_in_block(float *address, int rank, float value) {
#if __CUDA_ARCH__ >= 900
  unsigned here = __cvta_generic_to_shared(address), there;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(here), "r"(rank));
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(there), "f"(value) : "memory");
#endif
}

// Copies 16 bytes from global to shared memory asynchronously; both addresses are aligned.
__device__ __forceinline__ void copy_ahead(void *to, const void *from) {
  unsigned address = __cvta_generic_to_shared(to);
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(from) : "memory");
}

__device__ __forceinline__ void close_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until all groups of copies but the last `Open` have arrived.
template <int Open> __device__ __forceinline__ void await_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Open) : "memory");
}

__device__ __forceinline__ int64 nanoseconds() {
  int64 now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}

__device__ __forceinline__ int64 clock_cycles() { return clock64(); }

__device__ __forceinline__ float fast_exp(float x) { return __expf(x); }
__device__ __forceinline__ float fast_divide(float a, float b) { return __fdividef(a, b); }

// Rounded once each, never contracted: the noise must be the same on every machine.
__device__ __forceinline__ float multiply(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ float add(float a, float b) { return __fadd_rn(a, b); }
__device__ __forceinline__ float divide(float a, float b) { return __fdiv_rn(a, b); }
__device__ __forceinline__ float root(float x) { return __fsqrt_rn(x); }

__device__ __forceinline__ double infinity() { return __longlong_as_double(0x7ff0000000000000); }
__device__ __forceinline__ double not_a_number() { return __longlong_as_double(0x7ff8000000000000); }
__device__ __forceinline__ float bits_to_float(int bits) { return __int_as_float(bits); }
__device__ __forceinline__ int float_to_bits(float x) { return __float_as_int(x); }

#endif
