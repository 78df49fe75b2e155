// Enough of CUDA C++ for kernels without block barriers to be compiled by g++ and run on the host, one thread of
// the grid after another.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline

struct Index3 {
    unsigned x, y, z;
};
static Index3 gridDim, blockDim, blockIdx, threadIdx;

struct float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline int2 make_int2(int x, int y) { return {x, y}; }
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }

using std::isnan;
using std::max;
using std::min;

template <class T>
static inline T __ldg(const T* address) {
    return *address;
}
// Threads run one after another.
template <class T>
static inline T atomicAdd(T* address, T value) {
    T before = *address;
    *address += value;
    return before;
}
// Rounded one by one, never contracted to a fused multiply-add (g++ is told not to contract either).
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
