// A driver of 200 lines for the ABI tests: device memory is malloc, every call is written to a log that the test reads,
// and one kernel (vector_add_f32) exists. Compiled by the test where there is a C compiler. With -DHAVE_CUDA_H the same
// text is checked against NVIDIA's own prototypes.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_CUDA_H
#include <cuda.h>
#else
typedef int CUresult, CUdevice, CUdevice_attribute, CUfunction_attribute, CUjit_option, CUmemPool_attribute,
    CUstreamCaptureMode, CUdriverProcAddressQueryResult, CUtensorMapDataType, CUtensorMapInterleave, CUtensorMapSwizzle,
    CUtensorMapL2promotion, CUtensorMapFloatOOBfill;
typedef unsigned long long CUdeviceptr;
typedef unsigned long long cuuint64_t;
typedef unsigned int cuuint32_t;
typedef void *CUcontext, *CUmodule, *CUfunction, *CUstream, *CUevent, *CUgraph, *CUgraphExec, *CUmemoryPool, *CUgraphNode;
typedef struct { cuuint64_t opaque[16]; } __attribute__((aligned(64))) CUtensorMap;
typedef struct { int result; CUgraphNode errorNode, errorFromNode; } CUgraphExecUpdateResultInfo;
typedef struct { int id; char pad[4]; union { char pad[64]; struct { unsigned x, y, z; } clusterDim; int flag; } value; }
    CUlaunchAttribute;
typedef struct {
    unsigned gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes;
    CUstream hStream;
    CUlaunchAttribute *attrs;
    unsigned numAttrs;
} CUlaunchConfig;
#define programmaticStreamSerializationAllowed flag
#endif
#define EXPORT __attribute__((visibility("default")))
#define HANDLE(n) ((void *)(size_t)(n))

static char text[1 << 16];
static size_t used;
static int failing; // the next call returns this

EXPORT const char *stub_log(void) { return text; }
EXPORT void stub_clear(void) { used = 0; text[0] = 0; }
EXPORT void stub_fail(int code) { failing = code; }

static CUresult say(const char *format, ...) {
    va_list list;
    va_start(list, format);
    used += vsnprintf(text + used, sizeof text - used, format, list);
    va_end(list);
    if (used + 2 < sizeof text) { text[used++] = '\n'; text[used] = 0; }
    int code = failing;
    failing = 0;
    return code;
}

EXPORT CUresult cuInit(unsigned flags) { return say("cuInit %u", flags); }
EXPORT CUresult cuDriverGetVersion(int *v) { *v = 12040; return 0; }
EXPORT CUresult cuDeviceGetCount(int *n) { *n = 1; return 0; }
EXPORT CUresult cuDeviceGet(CUdevice *d, int ordinal) { *d = ordinal; return ordinal == 0 ? 0 : 101; }
EXPORT CUresult cuDeviceGetName(char *name, int size, CUdevice d) { snprintf(name, size, "Stub %d", d); return 0; }
EXPORT CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice d) { *bytes = 5000000000ull + d; return 0; }
EXPORT CUresult cuDeviceGetAttribute(int *v, CUdevice_attribute a, CUdevice d) { *v = 1000 + (int)a; return 0; }
EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *c, CUdevice d) { *c = HANDLE(0x11); return say("retain %d", d); }
EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice d) { return say("release %d", d); }
EXPORT CUresult cuCtxSetCurrent(CUcontext c) { return say("current %p", c); }
EXPORT CUresult cuCtxSynchronize(void) { return say("ctx synchronize"); }

EXPORT CUresult cuModuleLoadDataEx(CUmodule *m, const void *image, unsigned n, CUjit_option *o, void **v) {
    char *info = 0, *error = 0;
    size_t infoSize = 0, errorSize = 0;
    for (unsigned i = 0; i < n; i++) {
        if (o[i] == 3) info = v[i];
        if (o[i] == 4) infoSize = (size_t)v[i];
        if (o[i] == 5) error = v[i];
        if (o[i] == 6) errorSize = (size_t)v[i];
    }
    if (strstr(image, "BROKEN")) {
        snprintf(error, errorSize, "ptxas line 1; error: broken");
        return 218;
    }
    snprintf(info, infoSize, "ptxas info    : Compiling entry function 'vector_add_f32' for 'sm_90'\n"
        "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\nptxas info    : Used 12 registers\n");
    *m = HANDLE(0x22);
    return say("module %zu bytes, %u options", strlen(image), n);
}
EXPORT CUresult cuModuleUnload(CUmodule m) { return say("unload %p", m); }
EXPORT CUresult cuModuleGetFunction(CUfunction *f, CUmodule m, const char *name) {
    *f = HANDLE(0x33);
    say("function %p %s", m, name);
    return strcmp(name, "missing") ? 0 : 500;
}
EXPORT CUresult cuModuleGetGlobal_v2(CUdeviceptr *p, size_t *bytes, CUmodule m, const char *name) {
    *p = 0x4400000000ull;
    *bytes = 0x100000001ull;
    return say("global %p %s", m, name);
}
EXPORT CUresult cuFuncGetAttribute(int *v, CUfunction_attribute a, CUfunction f) { *v = 100 + (int)a; return 0; }
EXPORT CUresult cuFuncSetAttribute(CUfunction f, CUfunction_attribute a, int v) {
    return say("set function %p %d %d", f, (int)a, v);
}
EXPORT CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *n, CUfunction f, int threads, size_t shared) {
    *n = 7;
    return say("occupancy %p %d %zu", f, threads, shared);
}

EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *p, size_t n) { *p = (size_t)malloc(n); return say("alloc %zu", n); }
EXPORT CUresult cuMemFree_v2(CUdeviceptr p) { free(HANDLE(p)); return say("free"); }
EXPORT CUresult cuMemAllocAsync(CUdeviceptr *p, size_t n, CUstream s) {
    if (n > 1ull << 40) return 2;
    *p = (size_t)malloc(n);
    return say("alloc async %zu %p", n, s);
}
EXPORT CUresult cuMemFreeAsync(CUdeviceptr p, CUstream s) { free(HANDLE(p)); return say("free async %p", s); }
EXPORT CUresult cuMemGetInfo_v2(size_t *f, size_t *t) { *f = 3000000000ull; *t = 5000000000ull; return 0; }
EXPORT CUresult cuMemHostAlloc(void **p, size_t n, unsigned flags) { *p = malloc(n); return say("host %zu %u", n, flags); }
EXPORT CUresult cuMemFreeHost(void *p) { free(p); return say("host free"); }
EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr d, const void *s, size_t n, CUstream q) {
    memcpy(HANDLE(d), s, n);
    return say("h2d %zu %p", n, q);
}
EXPORT CUresult cuMemcpyDtoHAsync_v2(void *d, CUdeviceptr s, size_t n, CUstream q) {
    memcpy(d, HANDLE(s), n);
    return say("d2h %zu %p", n, q);
}
EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr d, CUdeviceptr s, size_t n, CUstream q) {
    memmove(HANDLE(d), HANDLE(s), n);
    return say("d2d %zu %p", n, q);
}
EXPORT CUresult cuMemsetD8Async(CUdeviceptr d, unsigned char v, size_t n, CUstream q) {
    memset(HANDLE(d), v, n);
    return say("set8 %d %zu %p", v, n, q);
}
EXPORT CUresult cuMemsetD32Async(CUdeviceptr d, unsigned v, size_t n, CUstream q) {
    for (size_t i = 0; i < n; i++) ((unsigned *)HANDLE(d))[i] = v;
    return say("set32 %u %zu %p", v, n, q);
}
EXPORT CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *p, CUdevice d) { *p = HANDLE(0x55); return 0; }
EXPORT CUresult cuMemPoolSetAttribute(CUmemoryPool p, CUmemPool_attribute a, void *v) {
    return say("set pool %p %d %llx", p, (int)a, *(unsigned long long *)v);
}
EXPORT CUresult cuMemPoolGetAttribute(CUmemoryPool p, CUmemPool_attribute a, void *v) {
    *(unsigned long long *)v = 0x123456789abull + a;
    return 0;
}
EXPORT CUresult cuMemPoolTrimTo(CUmemoryPool p, size_t keep) { return say("trim %p %zu", p, keep); }

EXPORT CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *address,
    const cuuint64_t *dim, const cuuint64_t *stride, const cuuint32_t *box, const cuuint32_t *step,
    CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle, CUtensorMapL2promotion l2, CUtensorMapFloatOOBfill fill) {
    memset(map, 0x5a, sizeof *map);
    return say("map %d %d rank %u at %p dim %llu %llu stride %llu box %u %u step %u %u modes %d %d %d %d",
        (int)((size_t)map % 64), (int)type, rank, address, (unsigned long long)dim[0], (unsigned long long)dim[1],
        (unsigned long long)stride[0], box[0], box[1], step[0], step[1], (int)interleave, (int)swizzle, (int)l2, (int)fill);
}

EXPORT CUresult cuStreamCreate(CUstream *s, unsigned flags) { *s = HANDLE(0x66); return say("stream %u", flags); }
EXPORT CUresult cuStreamDestroy_v2(CUstream s) { return say("stream destroy %p", s); }
EXPORT CUresult cuStreamSynchronize(CUstream s) { return say("stream synchronize %p", s); }
EXPORT CUresult cuStreamQuery(CUstream s) { say("stream query %p", s); return 600; }
EXPORT CUresult cuStreamWaitEvent(CUstream s, CUevent e, unsigned flags) { return say("wait %p %p %u", s, e, flags); }
EXPORT CUresult cuEventCreate(CUevent *e, unsigned flags) { *e = HANDLE(0x77); return say("event %u", flags); }
EXPORT CUresult cuEventDestroy_v2(CUevent e) { return say("event destroy %p", e); }
EXPORT CUresult cuEventRecord(CUevent e, CUstream s) { return say("record %p %p", e, s); }
EXPORT CUresult cuEventSynchronize(CUevent e) { return say("event synchronize %p", e); }
EXPORT CUresult cuEventQuery(CUevent e) { return say("event query %p", e); }
EXPORT CUresult cuEventElapsedTime(float *ms, CUevent a, CUevent b) { *ms = 1.5f; return say("elapsed %p %p", a, b); }
EXPORT CUresult cuStreamBeginCapture_v2(CUstream s, CUstreamCaptureMode m) { return say("capture %p %d", s, (int)m); }
EXPORT CUresult cuStreamEndCapture(CUstream s, CUgraph *g) { *g = HANDLE(0x88); return say("end capture %p", s); }
EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec *x, CUgraph g, unsigned long long flags) {
    *x = HANDLE(0x99);
    return say("instantiate %p %llu", g, flags);
}
EXPORT CUresult cuGraphExecUpdate_v2(CUgraphExec x, CUgraph g, CUgraphExecUpdateResultInfo *info) {
    info->result = 0;
    info->errorNode = HANDLE(1);
    info->errorFromNode = HANDLE(2);
    return say("update %p %p", x, g);
}
EXPORT CUresult cuGraphLaunch(CUgraphExec x, CUstream s) { return say("graph launch %p %p", x, s); }
EXPORT CUresult cuGraphGetNodes(CUgraph g, CUgraphNode *nodes, size_t *n) { *n = 3; return say("nodes %p %p", g, nodes); }
EXPORT CUresult cuGraphDestroy(CUgraph g) { return say("graph destroy %p", g); }
EXPORT CUresult cuGraphExecDestroy(CUgraphExec x) { return say("exec destroy %p", x); }

static void packed(void **extra) {
    unsigned char *bytes = 0;
    size_t size = 0;
    for (int i = 0; extra && extra[i] != HANDLE(0); i += 2) {
        if (extra[i] == HANDLE(1)) bytes = extra[i + 1];
        if (extra[i] == HANDLE(2)) size = *(size_t *)extra[i + 1];
    }
    used += snprintf(text + used, sizeof text - used, "args %zu:", size);
    for (size_t i = 0; i < size; i++) used += snprintf(text + used, sizeof text - used, "%02x", bytes[i]);
    say("");
    if (size != 28) return;
    // vector_add_f32: a, b, c, n.
    float **p = (float **)bytes;
    for (int i = 0; i < *(int *)(bytes + 24); i++) p[2][i] = p[0][i] + p[1][i];
}
EXPORT CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
    unsigned shared, CUstream s, void **params, void **extra) {
    packed(extra);
    return say("launch %p grid %u %u %u block %u %u %u shared %u stream %p params %p", f, gx, gy, gz, bx, by, bz, shared,
        s, (void *)params);
}
EXPORT CUresult cuLaunchKernelEx(const CUlaunchConfig *c, CUfunction f, void **params, void **extra) {
    packed(extra);
    for (unsigned i = 0; i < c->numAttrs; i++) {
        const CUlaunchAttribute *a = &c->attrs[i];
        say("attribute %d %u %u %u", (int)a->id, a->value.clusterDim.x, a->value.clusterDim.y, a->value.clusterDim.z);
    }
    return say("launch ex %p grid %u %u %u block %u %u %u shared %u stream %p params %p", f, c->gridDimX, c->gridDimY,
        c->gridDimZ, c->blockDimX, c->blockDimY, c->blockDimZ, c->sharedMemBytes, c->hStream, (void *)params);
}

// Hands out what a CUDA 12 driver would for the name without suffix; the rest is left to the exports.
EXPORT CUresult cuGetProcAddress_v2(const char *name, void **address, int version, cuuint64_t flags,
    CUdriverProcAddressQueryResult *status) {
    *address = 0;
    if (version != 12000 || flags != 0) return 1;
    if (!strcmp(name, "cuMemAlloc")) *address = (void *)cuMemAlloc_v2;
    if (!strcmp(name, "cuInit")) *address = (void *)cuInit;
    if (status) *status = *address ? 0 : 1;
    return *address ? 0 : 500;
}
