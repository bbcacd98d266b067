// A libcuda.so.1 without a GPU: memory is the process's own, a launch runs the emulation at once, and
// what is a "cubin" here is the path of a library that g++ made. For tests of what calls the driver.
#include <dlfcn.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

using Result = int;
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500 };

struct Attribute {
  unsigned id, padding;
  unsigned value[16];
};
struct Configuration {
  unsigned grid[3], block[3], shared_bytes;
  void *stream;
  Attribute *attributes;
  unsigned count;
};
struct Kernel {
  void (*launch)(uint64_t *, int, int, int, unsigned);
  int shared_limit = 48 << 10;
};

static std::map<uint64_t, size_t> pieces;
static size_t allocated, memory = (size_t)1 << 30;

static unsigned cluster_of(const Configuration *configuration) {
  for (unsigned k = 0; k < configuration->count; ++k)
    if (configuration->attributes[k].id == 4) return configuration->attributes[k].value[0];
  return 1;
}

extern "C" {
Result cuInit(unsigned) { return atoi(getenv("FAKE_CUDA_STATUS") ?: "0"); }
Result cuDriverGetVersion(int *version) { return *version = atoi(getenv("FAKE_CUDA_VERSION") ?: "13000"), SUCCESS; }
Result cuDeviceGetCount(int *count) { return *count = atoi(getenv("FAKE_CUDA_DEVICES") ?: "1"), SUCCESS; }
Result cuDeviceGet(int *device, int index) { return *device = index, SUCCESS; }
Result cuDeviceGetName(char *name, int length, int) { return snprintf(name, length, "Fake GPU"), SUCCESS; }
Result cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = memory, SUCCESS; }
Result cuDeviceGetAttribute(int *value, int attribute, int) {
  const int capability = atoi(getenv("FAKE_CUDA_CAPABILITY") ?: "90");
  *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : attribute == 16 ? 2 : 0;
  return SUCCESS;
}
Result cuDevicePrimaryCtxRetain(void **context, int) { return *context = &pieces, SUCCESS; }
Result cuCtxSetCurrent(void *) { return SUCCESS; }
Result cuCtxGetCurrent(void **context) { return *context = &pieces, SUCCESS; }
Result cuDeviceGetDefaultMemPool(void **pool, int) { return *pool = &pieces, SUCCESS; }
Result cuMemPoolSetAttribute(void *pool, int attribute, uint64_t *value) {
  return pool == &pieces && attribute == 4 && *value == UINT64_MAX ? SUCCESS : INVALID_VALUE;
}
Result cuStreamCreate(void **stream, unsigned flags) { return *stream = malloc(1), flags == 1 ? SUCCESS : INVALID_VALUE; }
Result cuStreamSynchronize(void *) { return SUCCESS; }
Result cuMemAllocAsync(uint64_t *address, size_t size, void *) {
  if (allocated + size > memory) return OUT_OF_MEMORY;
  allocated += size;
  *address = (uint64_t)aligned_alloc(256, (size + 255) / 256 * 256);
  memset((void *)*address, 255, size);
  pieces[*address] = size;
  return SUCCESS;
}
Result cuMemFreeAsync(uint64_t address, void *) {
  if (!pieces.count(address)) return INVALID_VALUE;
  allocated -= pieces[address];
  pieces.erase(address);
  free((void *)address);
  return SUCCESS;
}
Result cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, void *) { return memcpy((void *)to, from, size), SUCCESS; }
Result cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, void *) { return memcpy(to, (void *)from, size), SUCCESS; }
Result cuModuleLoadData(void **module, const void *image) {
  *module = dlopen((const char *)image, RTLD_NOW);
  return *module ? SUCCESS : INVALID_VALUE;
}
Result cuModuleGetFunction(void **function, void *module, const char *name) {
  auto *kernel = new Kernel;
  *(void **)&kernel->launch = dlsym(module, "launch");
  *function = kernel;
  return !strcmp(name, "train") && kernel->launch ? SUCCESS : NOT_FOUND;
}
Result cuFuncSetAttribute(Kernel *kernel, int attribute, int value) {
  if (attribute != 8 || value > 227 << 10) return INVALID_VALUE;
  return kernel->shared_limit = value, SUCCESS;
}
Result cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, Kernel *, int, size_t) { return *blocks = 2, SUCCESS; }
Result cuOccupancyMaxActiveClusters(int *clusters, Kernel *, const Configuration *configuration) {
  return *clusters = 4 / cluster_of(configuration), SUCCESS;
}
Result cuLaunchKernelEx(const Configuration *configuration, Kernel *kernel, void **parameters, void **) {
  const unsigned cluster = cluster_of(configuration);
  if (configuration->shared_bytes > (unsigned)kernel->shared_limit || configuration->grid[0] % cluster) return INVALID_VALUE;
  kernel->launch(*(uint64_t **)parameters[0], configuration->grid[0] / cluster, *(int *)parameters[1],
                 configuration->shared_bytes, 0);
  return *(int64_t *)parameters[2] > 0 ? SUCCESS : INVALID_VALUE;
}
Result cuEventCreate(void **event, unsigned) { return *event = malloc(1), SUCCESS; }
Result cuEventRecord(void *, void *) { return SUCCESS; }
Result cuEventQuery(void *event) { return event ? SUCCESS : INVALID_VALUE; }
Result cuEventDestroy_v2(void *event) { return free(event), SUCCESS; }

Result cuGetProcAddress_v2(const char *symbol, void **function, int, uint64_t, int *status) {
  static void *self = dlopen(nullptr, RTLD_NOW);
  Dl_info here;
  dladdr((void *)&cuInit, &here);
  static void *mine = dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  (void)self;
  *function = nullptr;
  for (const char *suffix : {"_v2", ""})
    if (!*function) *function = dlsym(mine, (std::string(symbol) + suffix).c_str());
  if (status) *status = *function ? 0 : 1;
  return *function ? SUCCESS : NOT_FOUND;
}
}
