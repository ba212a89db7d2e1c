// cuBLASLt for the tests: column-major products on malloc memory, so that a row-major product that comes out right has
// passed every operand, layout and attribute correctly. With -DHAVE_CUDA_H checked against NVIDIA's prototypes.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_CUDA_H
#include <cublasLt.h>
#else
typedef int cublasStatus_t, cublasComputeType_t, cudaDataType_t, cublasLtMatmulDescAttributes_t,
    cublasLtMatrixLayoutAttribute_t, cublasLtMatmulPreferenceAttributes_t;
typedef void *cublasLtHandle_t, *cublasLtMatmulDesc_t, *cublasLtMatrixLayout_t, *cublasLtMatmulPreference_t, *cudaStream_t;
typedef struct { uint64_t data[8]; } cublasLtMatmulAlgo_t;
typedef struct {
    cublasLtMatmulAlgo_t algo;
    size_t workspaceSize;
    int state;
    float wavesCount;
    int reserved[4];
} cublasLtMatmulHeuristicResult_t;
#endif
#define EXPORT __attribute__((visibility("default")))

typedef struct { int type; uint64_t rows, cols; int64_t ld; int batch; int64_t stride; } Layout;
typedef struct { int compute, scale, transA, transB; } Desc;

static int heuristics, products;
static uint64_t algorithm;
EXPORT int stub_heuristics(void) { return heuristics; }
EXPORT int stub_products(void) { return products; }
EXPORT uint64_t stub_algorithm(void) { return algorithm; }

EXPORT size_t cublasLtGetVersion(void) { return 120401; }
EXPORT cublasStatus_t cublasLtCreate(cublasLtHandle_t *h) { *h = malloc(1); return 0; }
EXPORT cublasStatus_t cublasLtDestroy(cublasLtHandle_t h) { free(h); return 0; }
EXPORT cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute, cudaDataType_t scale) {
    Desc *made = calloc(1, sizeof *made);
    made->compute = compute;
    made->scale = scale;
    *d = (void *)made;
    return 0;
}
EXPORT cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) { free(d); return 0; }
EXPORT cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t a,
    const void *v, size_t n) {
    if (n != sizeof(int)) return 7;
    if (a == 3) ((Desc *)d)->transA = *(const int *)v;
    else if (a == 4) ((Desc *)d)->transB = *(const int *)v;
    else return 7;
    return 0;
}
EXPORT cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType_t type, uint64_t rows,
    uint64_t cols, int64_t ld) {
    Layout made = { (int)type, rows, cols, ld, 1, 0 };
    *l = memcpy(malloc(sizeof made), &made, sizeof made);
    return ld < (int64_t)rows ? 7 : 0;
}
EXPORT cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) { free(l); return 0; }
EXPORT cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l, cublasLtMatrixLayoutAttribute_t a,
    const void *v, size_t n) {
    if (a == 5 && n == 4) ((Layout *)l)->batch = *(const int *)v;
    else if (a == 6 && n == 8) ((Layout *)l)->stride = *(const int64_t *)v;
    else return 7;
    return 0;
}
EXPORT cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p) { *p = malloc(8); return 0; }
EXPORT cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) { free(p); return 0; }
EXPORT cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
    cublasLtMatmulPreferenceAttributes_t a, const void *v, size_t n) {
    return a == 1 && n == 8 && *(const uint64_t *)v == 32u << 20 ? 0 : 7;
}
EXPORT cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t h, cublasLtMatmulDesc_t d,
    cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t o,
    cublasLtMatmulPreference_t p, int asked, cublasLtMatmulHeuristicResult_t found[], int *count) {
    heuristics++;
    *count = asked < 3 ? asked : 3;
    for (int i = 0; i < *count; i++) {
        memset(&found[i], 0, sizeof found[i]);
        for (int j = 0; j < 8; j++) found[i].algo.data[j] = 100 * (i + 1) + j;
    }
    return 0;
}

// Types: 0 f32, 2 f16, 14 bf16. f16 by powers of two, which double holds exactly.
static double scaled(double v, int e) {
    for (; e > 0; e--) v *= 2;
    for (; e < 0; e++) v /= 2;
    return v;
}
static float from_half(uint16_t h) {
    int e = h >> 10 & 31;
    double v = e ? scaled(1024 + (h & 1023), e - 25) : scaled(h & 1023, -24);
    return (float)(h & 0x8000 ? -v : v);
}
static uint16_t to_half(double v) {
    uint16_t sign = v < 0 ? 0x8000 : 0, bits = 0;
    if (v < 0) v = -v;
    // The largest half that is not above v, then the nearer neighbour, an even one at a tie.
    for (int bit = 14; bit >= 0; bit--)
        if ((bits | 1 << bit) < 0x7c00 && from_half(bits | 1 << bit) <= v) bits |= 1 << bit;
    double low = from_half(bits), high = from_half(bits + 1);
    if (v - low > high - v || (v - low == high - v && bits & 1)) bits++;
    return sign | bits;
}
static float get(const void *p, int type, int64_t i) {
    if (type == 0) return ((const float *)p)[i];
    if (type == 2) return from_half(((const uint16_t *)p)[i]);
    uint32_t bits = (uint32_t)((const uint16_t *)p)[i] << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
static void put(void *p, int type, int64_t i, float value) {
    if (type == 0) { ((float *)p)[i] = value; return; }
    if (type == 2) { ((uint16_t *)p)[i] = to_half(value); return; }
    uint32_t bits;
    memcpy(&bits, &value, 4);
    ((uint16_t *)p)[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

EXPORT cublasStatus_t cublasLtMatmul(cublasLtHandle_t h, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
    cublasLtMatrixLayout_t la, const void *b, cublasLtMatrixLayout_t lb, const void *beta, const void *c,
    cublasLtMatrixLayout_t lc, void *o, cublasLtMatrixLayout_t lo, const cublasLtMatmulAlgo_t *algo, void *workspace,
    size_t workspaceSize, cudaStream_t stream) {
    const Layout *A = (const void *)la, *B = (const void *)lb, *C = (const void *)lc, *O = (const void *)lo;
    const Desc *D = (const void *)desc;
    if (D->compute != 68 || D->scale != 0 || !workspace || workspaceSize != 32u << 20 || !stream) return 7;
    uint64_t m = O->rows, n = O->cols, k = D->transA ? A->rows : A->cols;
    if ((D->transA ? A->cols : A->rows) != m || (D->transB ? B->rows : B->cols) != n) return 7;
    if ((D->transB ? B->cols : B->rows) != k || A->batch != O->batch || B->batch != O->batch) return 7;
    products++;
    algorithm = algo->data[7];
    for (int64_t s = 0; s < O->batch; s++)
        for (uint64_t j = 0; j < n; j++)
            for (uint64_t i = 0; i < m; i++) {
                double sum = 0;
                for (uint64_t l = 0; l < k; l++)
                    sum += (double)get(a, A->type, s * A->stride + (D->transA ? l + i * A->ld : i + l * A->ld))
                        * get(b, B->type, s * B->stride + (D->transB ? j + l * B->ld : l + j * B->ld));
                float old = *(const float *)beta == 0 ? 0 : get(c, C->type, s * C->stride + i + j * C->ld);
                put(o, O->type, s * O->stride + i + j * O->ld,
                    (float)(*(const float *)alpha * sum) + *(const float *)beta * old);
            }
    return 0;
}
