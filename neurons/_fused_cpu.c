/* One pass over time for every population: forward, and backward by recomputation.
 *
 * The equations are those of neurons/dynamics.py, in the same order of operations (so: no FMA contraction), float32.
 * Arrays are [T][n], contiguous in n; a time stride of 0 is a constant current, or a gradient summed over time.
 * Neurons are taken BLOCK at a time: a block's state stays in the first-level cache while time passes, so that what
 * moves through memory is the current and the spikes, once each. Every small loop below is over one block, and is
 * vectorised; the options are switched on outside of it.
 *
 * Backward keeps nothing but the current: computing the potentials again costs less than writing and reading them.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* One object for every x86-64: the loader picks the widest version that the processor has. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define WIDEST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDEST
#endif

#define BLOCK 1024
#define EACH(i) for (int i = 0; i < n; i++)
#define INLINE static inline __attribute__((always_inline))

enum { CHARGE_IF, CHARGE_DIVIDE, CHARGE_DIVIDE_LEAK, CHARGE_MULTIPLY, CHARGE_MULTIPLY_LEAK };
enum { ATAN, SIGMOID, TRIANGLE, FAST_SIGMOID, RECTANGLE }; /* neurons.registry.SURROGATES */

typedef struct {
    int32_t charge, surrogate, hard, detach, adaptive;
    float leak; /* tau for DIVIDE, 1 / tau for MULTIPLY */
    float gain, decay; /* dh/dx and dh/dv */
    float threshold, sharpness, rho, beta, trace_decay;
} Neuron;

/* ---- one block, one step ---------------------------------------------------------------------------------------- */

/* v becomes h, the potential before firing */
INLINE void charge(const Neuron *p, int n, const float *restrict x, float *restrict v) {
    const float k = p->leak;
    switch (p->charge) {
    case CHARGE_IF: EACH(i) v[i] = v[i] + x[i]; break;
    case CHARGE_DIVIDE: EACH(i) v[i] = v[i] + (x[i] - v[i]) / k; break;
    case CHARGE_DIVIDE_LEAK: EACH(i) v[i] = v[i] - v[i] / k + x[i]; break;
    case CHARGE_MULTIPLY: EACH(i) v[i] = v[i] + (x[i] - v[i]) * k; break;
    case CHARGE_MULTIPLY_LEAK: EACH(i) v[i] = v[i] - v[i] * k + x[i]; break;
    }
}

/* u = h - theta */
INLINE void distance(const Neuron *p, int n, const float *restrict h, const float *restrict a, float *restrict u) {
    const float threshold = p->threshold, beta = p->beta;
    if (p->adaptive) EACH(i) u[i] = h[i] - (threshold + beta * a[i]);
    else EACH(i) u[i] = h[i] - threshold;
}

/* from h and u: the spikes, the reset of h to v, the adaptation */
INLINE void fire(const Neuron *p, int n, const float *restrict u, float *restrict v, float *restrict a,
                 float *restrict s) {
    const float threshold = p->threshold, rho = p->rho;
    EACH(i) s[i] = u[i] >= 0.0f ? 1.0f : 0.0f;
    if (p->hard) EACH(i) v[i] = (1.0f - s[i]) * v[i];
    else EACH(i) v[i] = v[i] - s[i] * threshold;
    if (p->adaptive) EACH(i) a[i] = rho * a[i] + s[i];
}

/* exp(x) for -87 <= x <= 0, to 2 ulp: 2^k times the polynomial of Cephes' expf; a call to libm would not vectorise */
INLINE float exp_negative(float x) {
    const float k = (float)(int32_t)(x * 1.44269504f - 0.5f); /* truncation rounds, since x <= 0 */
    const float r = x - k * 0.693359375f + k * 2.12194440e-4f;
    float y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    union { int32_t i; float f; } power = {((int32_t)k + 127) << 23};
    return y * power.f;
}

/* u becomes the pseudo-derivative there */
INLINE void derivative(const Neuron *p, int n, float *restrict u) {
    const float k = p->sharpness, pik = 3.14159265358979f * k, half = 0.5f / k;
    switch (p->surrogate) {
    case ATAN: EACH(i) u[i] = k / (1.0f + (pik * u[i]) * (pik * u[i])); break;
    case SIGMOID:
        EACH(i) { /* the bump is even; a loop of its own, because a branch beside exp would keep both from vectorising */
            const float y = -4.0f * k * fabsf(u[i]);
            u[i] = y < -87.0f ? -87.0f : y;
        }
        EACH(i) {
            const float e = exp_negative(u[i]);
            u[i] = 4.0f * k * e / ((1.0f + e) * (1.0f + e));
        }
        break;
    case TRIANGLE: EACH(i) {
        const float y = 1.0f - k * fabsf(u[i]);
        u[i] = y > 0.0f ? k * y : 0.0f;
    } break;
    case FAST_SIGMOID: EACH(i) {
        const float y = 1.0f + k * fabsf(u[i]);
        u[i] = k / (y * y);
    } break;
    case RECTANGLE: EACH(i) u[i] = fabsf(u[i]) < half ? k : 0.0f; break;
    }
}

/* in 16 lanes whatever the vectors' width, so that the result does not depend on the processor; pads x with zeros */
INLINE float sum(int n, float *restrict x) {
    float lane[16] = {0}, total = 0.0f;
    for (int i = n; i % 16; i++) x[i] = 0.0f;
    for (int i = 0; i < n; i += 16)
        for (int j = 0; j < 16; j++) lane[j] += x[i + j];
    for (int j = 0; j < 16; j++) total += lane[j];
    return total;
}

/* src, in cache, to dst; past the cache where dst is too large to be found there again, which spares reading it first */
INLINE void put(float *restrict dst, const float *restrict src, int n, int stream) {
#ifdef __SSE2__
    if (stream && ((uintptr_t)dst & 15) == 0) {
        int i = 0;
        for (; i + 4 <= n; i += 4) _mm_stream_ps(dst + i, _mm_load_ps(src + i));
        for (; i < n; i++) dst[i] = src[i];
        return;
    }
#endif
    memcpy(dst, src, (size_t)n * sizeof(float));
}

/* ---- one block, all steps --------------------------------------------------------------------------------------- */

WIDEST static void forward_block(const Neuron *p, int n, ptrdiff_t steps, ptrdiff_t stride, const float *x,
                                 ptrdiff_t x_stride, float *spikes, float *trace, int stream) {
    _Alignas(64) float v[BLOCK], u[BLOCK], a[BLOCK], s[BLOCK], r[BLOCK];
    memset(v, 0, sizeof v);
    memset(a, 0, sizeof a);
    memset(r, 0, sizeof r);
    for (ptrdiff_t t = 0; t < steps; t++) {
        charge(p, n, x + t * x_stride, v);
        distance(p, n, v, a, u);
        fire(p, n, u, v, a, s);
        put(spikes + t * stride, s, n, stream);
        if (trace) {
            EACH(i) r[i] = p->trace_decay * r[i] + s[i];
            put(trace + t * stride, r, n, stream);
        }
    }
}

/* Returns the gradient of 1 / tau, for a learned one. `h` and `a` are room for [steps][BLOCK] each. */
WIDEST static double backward_block(const Neuron *p, int n, ptrdiff_t steps, const float *x, ptrdiff_t x_stride,
                                    const float *grad, ptrdiff_t grad_stride, float *grad_x, ptrdiff_t grad_x_stride,
                                    float *h, float *a, int learned, int stream) {
    _Alignas(64) float v[BLOCK], u[BLOCK], s[BLOCK], b[BLOCK], gv[BLOCK], ga[BLOCK], gx[BLOCK];
    const float threshold = p->threshold, rho = p->rho, beta = p->beta, gain = p->gain, decay = p->decay;
    memset(v, 0, sizeof v);
    memset(b, 0, sizeof b);
    for (ptrdiff_t t = 0; t < steps; t++) {
        charge(p, n, x + t * x_stride, v);
        memcpy(h + t * BLOCK, v, (size_t)n * sizeof(float));
        if (p->adaptive) memcpy(a + t * BLOCK, b, (size_t)n * sizeof(float));
        distance(p, n, v, b, u);
        fire(p, n, u, v, b, s);
    }
    double total = 0.0;
    memset(gv, 0, sizeof gv); /* dL / dv[t], what later steps make of this one's potential */
    memset(ga, 0, sizeof ga); /* dL / da[t+1] */
    memset(gx, 0, sizeof gx);
    for (ptrdiff_t t = steps - 1; t >= 0; t--) {
        const float *restrict ht = h + t * BLOCK, *restrict gs = grad + t * grad_stride;
        distance(p, n, ht, a + t * BLOCK, u);
        if (p->hard) EACH(i) v[i] = u[i] >= 0.0f ? 0.0f : 1.0f; /* dv / dh under a detached reset */
        derivative(p, n, u);
        /* s gathers dL / ds */
        if (p->detach) EACH(i) s[i] = gs[i];
        else if (p->hard) EACH(i) s[i] = gs[i] - gv[i] * ht[i];
        else EACH(i) s[i] = gs[i] - gv[i] * threshold;
        if (p->adaptive) EACH(i) {
            s[i] = (s[i] + ga[i]) * u[i];
            ga[i] = rho * ga[i] - beta * s[i];
        }
        else EACH(i) s[i] = s[i] * u[i];
        /* gv becomes dL / dh */
        if (p->hard) EACH(i) gv[i] = s[i] + gv[i] * v[i];
        else EACH(i) gv[i] = s[i] + gv[i];
        if (learned) {
            const float *restrict before = t ? ht - BLOCK : NULL;
            const float *restrict xt = x + t * x_stride;
            EACH(i) {
                const float hb = before ? before[i] : 0.0f;
                const float fired = hb - threshold >= 0.0f ? 1.0f : 0.0f;
                const float vb = p->hard ? (1.0f - fired) * hb : hb - fired * threshold;
                s[i] = gv[i] * ((p->charge == CHARGE_MULTIPLY ? xt[i] : 0.0f) - vb);
            }
            total += sum(n, s);
        }
        if (grad_x_stride == 0) EACH(i) gx[i] += gain * gv[i];
        else {
            EACH(i) gx[i] = gain * gv[i];
            put(grad_x + t * grad_x_stride, gx, n, stream);
        }
        EACH(i) gv[i] = decay * gv[i];
    }
    if (grad_x_stride == 0) put(grad_x, gx, n, stream);
    return total;
}

/* ---- all blocks ------------------------------------------------------------------------------------------------- */

#define WIDTH(k) (int)(size - (k) * BLOCK < BLOCK ? size - (k) * BLOCK : BLOCK)

void snn_forward(const Neuron *p, ptrdiff_t size, ptrdiff_t steps, const float *x, ptrdiff_t x_stride, float *spikes,
                 float *trace, int threads, int stream) {
    const ptrdiff_t blocks = (size + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(threads) schedule(static) if (blocks > 1 && threads > 1)
    for (ptrdiff_t k = 0; k < blocks; k++)
        forward_block(p, WIDTH(k), steps, size, x + k * BLOCK, x_stride, spikes + k * BLOCK,
                      trace ? trace + k * BLOCK : NULL, stream);
}

/* grad_leak, if wanted: one number a block, summed by one thread, so that it does not depend on their number.
 * Returns 0, or 1 where there was no memory. */
int snn_backward(const Neuron *p, ptrdiff_t size, ptrdiff_t steps, const float *x, ptrdiff_t x_stride,
                 const float *grad, ptrdiff_t grad_stride, float *grad_x, ptrdiff_t grad_x_stride, double *grad_leak,
                 int threads, int stream) {
    const ptrdiff_t blocks = (size + BLOCK - 1) / BLOCK;
    const size_t room = (size_t)steps * BLOCK;
    double *partial = grad_leak ? malloc((size_t)blocks * sizeof(double)) : NULL;
    int failed = grad_leak && !partial;
#pragma omp parallel num_threads(threads) if (blocks > 1 && threads > 1)
    {
        float *h = malloc(room * sizeof(float) * (p->adaptive ? 2 : 1));
        if (!h) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp barrier
#pragma omp for schedule(static)
        for (ptrdiff_t k = 0; k < blocks; k++) {
            if (failed) continue;
            const double g = backward_block(p, WIDTH(k), steps, x + k * BLOCK, x_stride, grad + k * BLOCK, grad_stride,
                                            grad_x + k * BLOCK, grad_x_stride, h, p->adaptive ? h + room : h, grad_leak != NULL, stream);
            if (partial) partial[k] = g;
        }
        free(h);
    }
    if (grad_leak && !failed) {
        *grad_leak = 0.0;
        for (ptrdiff_t k = 0; k < blocks; k++) *grad_leak += partial[k];
    }
    free(partial);
    return failed;
}

/* Keep freed tensors' pages instead of handing them back: glibc maps anything above 32 MB anew, and the first touch of
 * each page then costs more than the kernel's whole work on it. */
void snn_keep_pages(void) {
#ifdef __GLIBC__
    if (!mallopt(M_MMAP_THRESHOLD, 1 << 30)) mallopt(M_MMAP_THRESHOLD, 32 << 20); /* the most an older glibc takes */
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}
