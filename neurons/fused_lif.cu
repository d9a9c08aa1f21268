/* One pass over time for every population on a GPU; neurons/_fused_cpu.c is its twin, neurons/dynamics.py the equations.
 *
 * A thread owns WIDE neighbouring neurons and walks through time with their state in registers, so the current and the
 * spikes move through memory once each. Backward computes the potentials again, into registers too: STEPS is known when
 * this is compiled. Arithmetic is float32 whatever the arrays hold. What is discrete is a macro, what is real an
 * argument: a search over time constants compiles nothing anew.
 *
 *   STEPS       T                              CHARGE     0: v + x, 1: v + (x - v) leak, 2: v - v leak + x
 *   SURROGATE   index in registry.SURROGATES   HARD, DETACH, ADAPTIVE, LEARNED, TRACED, SUMMED   0 or 1
 *   TYPE        0: float, 1: half, 2: bfloat16 WIDE       neurons a thread; divides the number of neurons
 *   THREADS     a block
 *
 * Includes nothing: half and bfloat16 are converted by the PTX that has it since sm_80.
 */

#if TYPE == 0
typedef float number;
#else
typedef unsigned short number;
#endif

/* longer sequences than this stay loops, with the potentials in local memory */
constexpr int UNROLL = STEPS <= 64 ? STEPS : 1;

struct __align__(WIDE * sizeof(number)) Pack { number lane[WIDE]; };

static __device__ __forceinline__ float widen(number x) {
#if TYPE == 0
    return x;
#elif TYPE == 1
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
    return y;
#else
    return __uint_as_float((unsigned)x << 16);
#endif
}

static __device__ __forceinline__ number narrow(float x) {
#if TYPE == 0
    return x;
#else
    number y;
#if TYPE == 1
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
#else
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x));
#endif
    return y;
#endif
}

struct Neuron {
    float leak, gain, decay, threshold, sharpness, rho, beta, trace_decay;
};

/* The same as arguments. A learned leak stays where it is, in `rate`, so that nobody waits for it; gain and decay follow. */
#define NEURON \
    const float leak, const float gain, const float decay, const float threshold, const float sharpness, \
    const float rho, const float beta, const float trace_decay, const float *__restrict__ rate
#if LEARNED
#define P \
    const Neuron p = {*rate, CHARGE == 1 ? *rate : 1.0f, 1.0f - *rate, threshold, sharpness, rho, beta, trace_decay}
#else
#define P const Neuron p = {leak, gain, decay, threshold, sharpness, rho, beta, trace_decay}
#endif

static __device__ __forceinline__ float charge(const Neuron &p, float x, float v) {
#if CHARGE == 0
    return v + x;
#elif CHARGE == 1
    return v + (x - v) * p.leak;
#else
    return v - v * p.leak + x;
#endif
}

static __device__ __forceinline__ float distance(const Neuron &p, float h, float a) {
#if ADAPTIVE
    return h - (p.threshold + p.beta * a);
#else
    return h - p.threshold;
#endif
}

static __device__ __forceinline__ float reset(const Neuron &p, float h, float s) {
#if HARD
    return (1.0f - s) * h;
#else
    return h - s * p.threshold;
#endif
}

static __device__ __forceinline__ float derivative(const Neuron &p, float u) {
    const float k = p.sharpness;
#if SURROGATE == 0
    const float y = 3.14159265358979f * k * u;
    return k / (1.0f + y * y);
#elif SURROGATE == 1
    const float e = expf(-4.0f * k * fabsf(u));
    return 4.0f * k * e / ((1.0f + e) * (1.0f + e));
#elif SURROGATE == 2
    return k * fmaxf(1.0f - k * fabsf(u), 0.0f);
#elif SURROGATE == 3
    const float y = 1.0f + k * fabsf(u);
    return k / (y * y);
#else
    return fabsf(u) < 0.5f / k ? k : 0.0f;
#endif
}

/* size: neurons in all. Strides in time are in numbers, 0 for what is the same at every step. */
extern "C" __global__ void __launch_bounds__(THREADS)
forward(NEURON, const long long size, const number *__restrict__ x, const long long x_stride,
        number *__restrict__ spikes, number *__restrict__ trace) {
    P;
    const long long at = ((long long)blockIdx.x * THREADS + threadIdx.x) * WIDE;
    if (at >= size) return;
    float v[WIDE] = {}, a[WIDE] = {}, r[WIDE] = {};
#pragma unroll UNROLL
    for (int t = 0; t < STEPS; t++) {
        const Pack in = *(const Pack *)(x + t * x_stride + at);
        Pack out;
#pragma unroll
        for (int i = 0; i < WIDE; i++) {
            const float h = charge(p, widen(in.lane[i]), v[i]);
            const float s = distance(p, h, a[i]) >= 0.0f ? 1.0f : 0.0f;
            v[i] = reset(p, h, s);
            a[i] = p.rho * a[i] + s;
            r[i] = p.trace_decay * r[i] + s;
            out.lane[i] = narrow(s);
        }
        *(Pack *)(spikes + t * size + at) = out;
#if TRACED
#pragma unroll
        for (int i = 0; i < WIDE; i++) out.lane[i] = narrow(r[i]);
        *(Pack *)(trace + t * size + at) = out;
#endif
    }
}

/* partial: a block's share of the gradient of the leak, for a learned one; its sum is the caller's. */
extern "C" __global__ void __launch_bounds__(THREADS)
backward(NEURON, const long long size, const number *__restrict__ x, const long long x_stride,
         const number *__restrict__ grad, const long long grad_stride, number *__restrict__ grad_x,
         float *__restrict__ partial) {
    P;
    const long long at = ((long long)blockIdx.x * THREADS + threadIdx.x) * WIDE;
#if LEARNED
    float share = 0.0f;
#endif
    if (at < size) {
        float h[STEPS][WIDE], a[ADAPTIVE ? STEPS : 1][WIDE] = {};
        float v[WIDE] = {}, b[WIDE] = {};
#pragma unroll UNROLL
        for (int t = 0; t < STEPS; t++) {
            const Pack in = *(const Pack *)(x + t * x_stride + at);
#pragma unroll
            for (int i = 0; i < WIDE; i++) {
                h[t][i] = charge(p, widen(in.lane[i]), v[i]);
                if (ADAPTIVE) a[ADAPTIVE ? t : 0][i] = b[i];
                const float s = distance(p, h[t][i], b[i]) >= 0.0f ? 1.0f : 0.0f;
                v[i] = reset(p, h[t][i], s);
                b[i] = p.rho * b[i] + s;
            }
        }
        float gv[WIDE] = {}, ga[WIDE] = {}, gx[WIDE] = {};
#pragma unroll UNROLL
        for (int t = STEPS - 1; t >= 0; t--) {
            const Pack from = *(const Pack *)(grad + t * grad_stride + at);
#if LEARNED
            const Pack in = *(const Pack *)(x + t * x_stride + at);
#endif
            Pack out;
#pragma unroll
            for (int i = 0; i < WIDE; i++) {
                const float u = distance(p, h[t][i], a[ADAPTIVE ? t : 0][i]);
                float gs = widen(from.lane[i]) + (ADAPTIVE ? ga[i] : 0.0f);
                if (!DETACH) gs -= gv[i] * (HARD ? h[t][i] : p.threshold);
                const float gu = gs * derivative(p, u);
                ga[i] = p.rho * ga[i] - p.beta * gu;
                const float gh = gu + (HARD && u >= 0.0f ? 0.0f : gv[i]);
#if LEARNED
                const float before = t ? h[t ? t - 1 : 0][i] : 0.0f;
                const float vb = reset(p, before, before - p.threshold >= 0.0f ? 1.0f : 0.0f);
                share += gh * ((CHARGE == 1 ? widen(in.lane[i]) : 0.0f) - vb);
#endif
                gx[i] = (SUMMED ? gx[i] : 0.0f) + p.gain * gh;
                gv[i] = p.decay * gh;
                out.lane[i] = narrow(gx[i]);
            }
#if !SUMMED
            *(Pack *)(grad_x + t * size + at) = out;
#else
            if (t == 0) *(Pack *)(grad_x + at) = out;
#endif
        }
    }
#if LEARNED
    __shared__ float shares[THREADS];
    shares[threadIdx.x] = share;
    for (int half = THREADS / 2; half; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) shares[threadIdx.x] += shares[threadIdx.x + half];
    }
    if (threadIdx.x == 0) partial[blockIdx.x] = shares[0];
#endif
}
