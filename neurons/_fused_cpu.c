/* One pass over time for every population: forward, and backward by recomputation.
 *
 * The equations are those of neurons/dynamics.py, in the same order of operations (so: no FMA contraction), float32.
 * Arrays are [T][n], contiguous in n; a time stride of 0 is a constant current, or a gradient summed over time.
 * Neurons are taken BLOCK at a time: a block's state stays in the first-level cache while time passes, so that what
 * moves through memory is the current and the spikes, once each. Every small loop below is over one block, and is
 * vectorised; the options are switched on outside of it. A step takes few of them: even the first-level cache
 * is not free.
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

#define BLOCK 512
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

/* v to h, the potential before firing */
INLINE void charge(const Neuron *p, int n, const float *restrict x, const float *restrict v, float *restrict h) {
    const float k = p->leak;
    switch (p->charge) {
    case CHARGE_IF: EACH(i) h[i] = v[i] + x[i]; break;
    case CHARGE_DIVIDE: EACH(i) h[i] = v[i] + (x[i] - v[i]) / k; break;
    case CHARGE_DIVIDE_LEAK: EACH(i) h[i] = v[i] - v[i] / k + x[i]; break;
    case CHARGE_MULTIPLY: EACH(i) h[i] = v[i] + (x[i] - v[i]) * k; break;
    case CHARGE_MULTIPLY_LEAK: EACH(i) h[i] = v[i] - v[i] * k + x[i]; break;
    }
}

/* u = h - theta; `adaptive` is known where this is written out */
#define DISTANCE(i) (h[i] - (adaptive ? threshold + beta * a[i] : threshold))

/* from h: the spikes, the reset of h to v, the adaptation */
INLINE void fire_as(const Neuron *p, int n, const float *restrict h, float *restrict v, float *restrict a,
                    float *restrict s, const int hard, const int adaptive) {
    const float threshold = p->threshold, rho = p->rho, beta = p->beta;
    EACH(i) {
        const float fired = DISTANCE(i) >= 0.0f ? 1.0f : 0.0f;
        s[i] = fired;
        v[i] = hard ? (1.0f - fired) * h[i] : h[i] - fired * threshold;
        if (adaptive) a[i] = rho * a[i] + fired;
    }
}

INLINE void fire(const Neuron *p, int n, const float *h, float *v, float *a, float *s) {
    if (p->hard && p->adaptive) fire_as(p, n, h, v, a, s, 1, 1);
    else if (p->hard) fire_as(p, n, h, v, a, s, 1, 0);
    else if (p->adaptive) fire_as(p, n, h, v, a, s, 0, 1);
    else fire_as(p, n, h, v, a, s, 0, 0);
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

/* d becomes the pseudo-derivative at u */
INLINE void derivative_as(const Neuron *p, int n, const float *restrict h, const float *restrict a, float *restrict d,
                          const int adaptive) {
    const float k = p->sharpness, pik = 3.14159265358979f * k, half = 0.5f / k;
    const float threshold = p->threshold, beta = p->beta;
    switch (p->surrogate) {
    case ATAN: EACH(i) {
        const float y = pik * DISTANCE(i);
        d[i] = k / (1.0f + y * y);
    } break;
    case SIGMOID:
        EACH(i) { /* the bump is even; a loop of its own, because a branch beside exp would keep both from vectorising */
            const float y = -4.0f * k * fabsf(DISTANCE(i));
            d[i] = y < -87.0f ? -87.0f : y;
        }
        EACH(i) {
            const float e = exp_negative(d[i]);
            d[i] = 4.0f * k * e / ((1.0f + e) * (1.0f + e));
        }
        break;
    case TRIANGLE: EACH(i) {
        const float y = 1.0f - k * fabsf(DISTANCE(i));
        d[i] = y > 0.0f ? k * y : 0.0f;
    } break;
    case FAST_SIGMOID: EACH(i) {
        const float y = 1.0f + k * fabsf(DISTANCE(i));
        d[i] = k / (y * y);
    } break;
    case RECTANGLE: EACH(i) d[i] = fabsf(DISTANCE(i)) < half ? k : 0.0f; break;
    }
}

INLINE void derivative(const Neuron *p, int n, const float *h, const float *a, float *d) {
    if (p->adaptive) derivative_as(p, n, h, a, d, 1);
    else derivative_as(p, n, h, a, d, 0);
}

/* One step back: from dL / ds in gs and dL / dv in gv to dL / dh in gh; gv and ga move on to the step before. */
INLINE void descend_as(const Neuron *p, int n, const float *restrict h, const float *restrict a,
                       const float *restrict gs, const float *restrict d, float *restrict gv, float *restrict ga,
                       float *restrict gh, const int hard, const int detach, const int adaptive) {
    const float threshold = p->threshold, rho = p->rho, beta = p->beta, decay = p->decay;
    EACH(i) {
        const float fired = detach ? gs[i] : gs[i] - gv[i] * (hard ? h[i] : threshold);
        const float below = (adaptive ? fired + ga[i] : fired) * d[i];
        if (adaptive) ga[i] = rho * ga[i] - beta * below;
        const float kept = hard && DISTANCE(i) >= 0.0f ? 0.0f : gv[i];
        gh[i] = below + kept;
        gv[i] = decay * gh[i];
    }
}

INLINE void descend(const Neuron *p, int n, const float *h, const float *a, const float *gs, const float *d, float *gv,
                    float *ga, float *gh) {
    switch ((p->hard ? 4 : 0) | (p->detach ? 2 : 0) | (p->adaptive ? 1 : 0)) {
    case 0: descend_as(p, n, h, a, gs, d, gv, ga, gh, 0, 0, 0); break;
    case 1: descend_as(p, n, h, a, gs, d, gv, ga, gh, 0, 0, 1); break;
    case 2: descend_as(p, n, h, a, gs, d, gv, ga, gh, 0, 1, 0); break;
    case 3: descend_as(p, n, h, a, gs, d, gv, ga, gh, 0, 1, 1); break;
    case 4: descend_as(p, n, h, a, gs, d, gv, ga, gh, 1, 0, 0); break;
    case 5: descend_as(p, n, h, a, gs, d, gv, ga, gh, 1, 0, 1); break;
    case 6: descend_as(p, n, h, a, gs, d, gv, ga, gh, 1, 1, 0); break;
    case 7: descend_as(p, n, h, a, gs, d, gv, ga, gh, 1, 1, 1); break;
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

/* What the next block reads: it lies in pages of its own, at which the processor's own prefetcher stops. */
INLINE void fetch(const float *x, int n) {
#ifdef __GNUC__
    for (int i = 0; i < n; i += 16) __builtin_prefetch(x + i, 0, 2);
#else
    (void)x, (void)n;
#endif
}

/* gain * src, in cache, to dst; past the cache where dst is too large to be found there again, which spares reading
 * it first */
INLINE void put(float *restrict dst, const float *restrict src, float gain, int n, int stream) {
    int i = 0;
#ifdef __SSE2__
    if (stream && ((uintptr_t)dst & 15) == 0)
        for (; i + 4 <= n; i += 4) _mm_stream_ps(dst + i, _mm_mul_ps(_mm_load_ps(src + i), _mm_set1_ps(gain)));
#endif
    for (; i < n; i++) dst[i] = gain * src[i];
}

/* ---- one block, all steps --------------------------------------------------------------------------------------- */

/* `next` is the width of the block after this one, 0 where there is none. */
WIDEST static void forward_block(const Neuron *p, int n, int next, ptrdiff_t steps, ptrdiff_t stride, const float *x,
                                 ptrdiff_t x_stride, float *spikes, float *trace, int stream) {
    _Alignas(64) float v[BLOCK], h[BLOCK], a[BLOCK], s[BLOCK], r[BLOCK];
    memset(v, 0, sizeof v);
    memset(a, 0, sizeof a);
    memset(r, 0, sizeof r);
    for (ptrdiff_t t = 0; t < steps; t++) {
        fetch(x + t * x_stride + n, next);
        charge(p, n, x + t * x_stride, v, h);
        fire(p, n, h, v, a, s);
        put(spikes + t * stride, s, 1.0f, n, stream);
        if (trace) {
            EACH(i) r[i] = p->trace_decay * r[i] + s[i];
            put(trace + t * stride, r, 1.0f, n, stream);
        }
    }
}

/* Returns the gradient of 1 / tau, for a learned one. `h` and `a` are room for [steps][BLOCK] each. */
WIDEST static double backward_block(const Neuron *p, int n, int next, ptrdiff_t steps, const float *x,
                                    ptrdiff_t x_stride, const float *grad, ptrdiff_t grad_stride, float *grad_x,
                                    ptrdiff_t grad_x_stride, float *h, float *a, int learned, int stream) {
    _Alignas(64) float v[BLOCK], s[BLOCK], b[BLOCK], d[BLOCK], gh[BLOCK], gv[BLOCK], ga[BLOCK], gx[BLOCK];
    const float threshold = p->threshold, gain = p->gain;
    memset(v, 0, sizeof v);
    memset(b, 0, sizeof b);
    for (ptrdiff_t t = 0; t < steps; t++) {
        fetch(x + t * x_stride + n, next);
        fetch(grad + t * grad_stride + n, next);
        charge(p, n, x + t * x_stride, v, h + t * BLOCK);
        if (p->adaptive) memcpy(a + t * BLOCK, b, (size_t)n * sizeof(float));
        fire(p, n, h + t * BLOCK, v, b, s);
    }
    double total = 0.0;
    memset(gv, 0, sizeof gv); /* dL / dv[t], what later steps make of this one's potential */
    memset(ga, 0, sizeof ga); /* dL / da[t+1] */
    memset(gx, 0, sizeof gx);
    for (ptrdiff_t t = steps - 1; t >= 0; t--) {
        const float *ht = h + t * BLOCK, *at = a + t * BLOCK;
        derivative(p, n, ht, at, d);
        descend(p, n, ht, at, grad + t * grad_stride, d, gv, ga, gh);
        if (learned) {
            const float *restrict before = t ? ht - BLOCK : NULL;
            const float *restrict xt = x + t * x_stride;
            EACH(i) {
                const float hb = before ? before[i] : 0.0f;
                const float fired = hb - threshold >= 0.0f ? 1.0f : 0.0f;
                const float vb = p->hard ? (1.0f - fired) * hb : hb - fired * threshold;
                s[i] = gh[i] * ((p->charge == CHARGE_MULTIPLY ? xt[i] : 0.0f) - vb);
            }
            total += sum(n, s);
        }
        if (grad_x_stride == 0) EACH(i) gx[i] += gain * gh[i];
        else put(grad_x + t * grad_x_stride, gh, gain, n, stream);
    }
    if (grad_x_stride == 0) put(grad_x, gx, 1.0f, n, stream);
    return total;
}

/* ---- one step of a block whose state is handed in and out -------------------------------------------------------- */

WIDEST static void step_block(const Neuron *p, int n, const float *x, const float *v, const float *a, float *s,
                              float *u, float *v_next, float *a_next) {
    _Alignas(64) float h[BLOCK];
    const float threshold = p->threshold, beta = p->beta;
    charge(p, n, x, v, h);
    if (p->adaptive) {
        EACH(i) u[i] = h[i] - (threshold + beta * a[i]);
        memcpy(a_next, a, (size_t)n * sizeof(float));
    } else EACH(i) u[i] = h[i] - threshold;
    fire(p, n, h, v_next, a_next, s);
}

/* through this step's spikes alone: nothing comes back from the state */
WIDEST static void step_back_block(const Neuron *p, int n, const float *u, const float *grad, float *grad_x) {
    _Alignas(64) float d[BLOCK];
    const Neuron at_zero = {.surrogate = p->surrogate, .sharpness = p->sharpness}; /* u is a distance to 0 */
    const float gain = p->gain;
    derivative(&at_zero, n, u, NULL, d);
    EACH(i) grad_x[i] = gain * (grad[i] * d[i]);
}

/* ---- all blocks ------------------------------------------------------------------------------------------------- */

#define LEFT(k) (size - (k) * BLOCK)
#define WIDTH(k) (int)(LEFT(k) <= 0 ? 0 : LEFT(k) < BLOCK ? LEFT(k) : BLOCK)

void snn_forward(const Neuron *p, ptrdiff_t size, ptrdiff_t steps, const float *x, ptrdiff_t x_stride, float *spikes,
                 float *trace, int threads, int stream) {
    const ptrdiff_t blocks = (size + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(threads) schedule(static) if (blocks > 1 && threads > 1)
    for (ptrdiff_t k = 0; k < blocks; k++)
        forward_block(p, WIDTH(k), WIDTH(k + 1), steps, size, x + k * BLOCK, x_stride, spikes + k * BLOCK,
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
            const double g = backward_block(p, WIDTH(k), WIDTH(k + 1), steps, x + k * BLOCK, x_stride, grad + k * BLOCK,
                                            grad_stride, grad_x + k * BLOCK, grad_x_stride, h,
                                            p->adaptive ? h + room : h, grad_leak != NULL, stream);
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

/* `a` and `a_next` are NULL where nothing adapts. */
void snn_step(const Neuron *p, ptrdiff_t size, const float *x, const float *v, const float *a, float *s, float *u,
              float *v_next, float *a_next, int threads) {
    const ptrdiff_t blocks = (size + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(threads) schedule(static) if (blocks > 1 && threads > 1)
    for (ptrdiff_t k = 0; k < blocks; k++) {
        const ptrdiff_t at = k * BLOCK;
        step_block(p, WIDTH(k), x + at, v + at, a ? a + at : NULL, s + at, u + at, v_next + at,
                   a_next ? a_next + at : NULL);
    }
}

void snn_step_back(const Neuron *p, ptrdiff_t size, const float *u, const float *grad, float *grad_x, int threads) {
    const ptrdiff_t blocks = (size + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(threads) schedule(static) if (blocks > 1 && threads > 1)
    for (ptrdiff_t k = 0; k < blocks; k++)
        step_back_block(p, WIDTH(k), u + k * BLOCK, grad + k * BLOCK, grad_x + k * BLOCK);
}

/* Keep freed tensors' pages instead of handing them back: glibc maps anything above 32 MB anew, and the first touch of
 * each page then costs more than the kernel's whole work on it. */
void snn_keep_pages(void) {
#ifdef __GLIBC__
    if (!mallopt(M_MMAP_THRESHOLD, 1 << 30)) mallopt(M_MMAP_THRESHOLD, 32 << 20); /* the most an older glibc takes */
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}
