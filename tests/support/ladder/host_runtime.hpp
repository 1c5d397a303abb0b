// What CUDA gives a kernel, on the host: the names it reads, and threads that wait for each other. The threads
// of a block are coroutines: each runs up to the next __syncthreads, then the next one does.
#include <math.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <vector>

#define __device__
#define __launch_bounds__(...)
static inline unsigned int __float_as_uint(float x) {
    unsigned int bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}
static inline void __threadfence() {}  // the blocks of a launch run one after the other
static inline unsigned int atomicAdd(unsigned int* at, unsigned int more) { return (*at += more) - more; }
static inline float cospi(float x) { return cosf(3.14159265358979f * x); }
static inline double cospi(double x) { return cos(3.141592653589793 * x); }
static inline float __uint_as_float(unsigned int bits) {
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}
#define __shared__ static thread_local

struct Index { unsigned int x, y, z; };
static thread_local Index threadIdx, blockIdx, blockDim, gridDim;

struct Thread {
    ucontext_t start;
    jmp_buf inside;
    char* stack;
    bool started, ended;
};

// The threads of a block, kept for the next one; each host thread has its own.
static thread_local std::vector<Thread>* threads = nullptr;
static thread_local Thread* running = nullptr;  // none: one thread, which waits for nobody
static thread_local jmp_buf outside;
static thread_local void (*running_body)(void**);
static thread_local void** running_arguments;

__attribute__((noinline)) static void nnx_leave() {
    if (!_setjmp(running->inside)) _longjmp(outside, 1);
}

__attribute__((noinline)) static void nnx_enter() {
    if (_setjmp(outside)) return;
    if (running->started) _longjmp(running->inside, 1);
    running->started = true;
    setcontext(&running->start);
}

static void __syncthreads() {
    if (running) nnx_leave();
}

static void nnx_thread() {
    for (;;) {
        running_body(running_arguments);
        running->ended = true;
        nnx_leave();
    }
}

static void nnx_reserve(size_t count) {
    const size_t stack = 32768;
    if (!threads) threads = new std::vector<Thread>();
    for (size_t t = threads->size(); t < count; ++t) {
        threads->emplace_back();
        Thread& made = threads->back();
        made.started = made.ended = false;
        made.stack = (char*)malloc(stack);
        getcontext(&made.start);
        made.start.uc_stack.ss_sp = made.stack;
        made.start.uc_stack.ss_size = stack;
        made.start.uc_link = nullptr;
        makecontext(&made.start, nnx_thread, 0);
    }
}

// One block; true where some of its threads end while others wait.
static bool nnx_block(size_t count, bool backwards) {
    for (size_t t = 0; t < count; ++t) (*threads)[t].ended = false;
    for (;;) {
        size_t over = 0;
        for (size_t k = 0; k < count; ++k) {
            const size_t t = backwards ? count - 1 - k : k;
            running = &(*threads)[t];
            threadIdx = {unsigned(t % blockDim.x), unsigned(t / blockDim.x % blockDim.y),
                         unsigned(t / (size_t(blockDim.x) * blockDim.y))};
            nnx_enter();
            over += running->ended;
        }
        running = nullptr;
        if (over) return over != count;
    }
}

static void nnx_forget() {  // threads that will never end
    for (Thread& one : *threads) free(one.stack);
    delete threads;
    threads = nullptr;
}

static int nnx_launch(const long long* sizes, void (*body)(void**), void** arguments) {
    gridDim = {unsigned(sizes[0]), unsigned(sizes[1]), unsigned(sizes[2])};
    blockDim = {unsigned(sizes[3]), unsigned(sizes[4]), unsigned(sizes[5])};
    const size_t count = size_t(blockDim.x) * blockDim.y * blockDim.z;
    threadIdx = blockIdx = {0, 0, 0};
    running_body = body;
    running_arguments = arguments;
    if (count > 1) nnx_reserve(count);  // before any thread runs: their places must not move
    bool apart = false;
    for (blockIdx.z = 0; blockIdx.z < gridDim.z && !apart; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y && !apart; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x && !apart; ++blockIdx.x) {
                if (count > 1) apart = nnx_block(count, sizes[6]);
                else body(arguments);
            }
    if (apart) nnx_forget();
    return apart;
}

#define NNX_RAW(symbol) \
    extern "C" int symbol(const long long* sizes, void** arguments) { return nnx_launch(sizes, body, arguments); }

// The body for every element: a loop over the last dimension inside one over all others. `i` counts elements
// in both, so that pointers are moved back by what the inner loop will add.
#define NNX_ELEMENTWISE(symbol, count) \
    extern "C" int symbol(long long size, long long dimensions, const long long* shape, char* const* data, \
                          const long long* strides) { \
        const long long inner = shape[dimensions - 1]; \
        long long step[count]; \
        for (int p = 0; p < count; ++p) step[p] = strides[p * dimensions + dimensions - 1]; \
        for (long long first = 0; first < size; first += inner) { \
            char* at[count]; \
            for (int p = 0; p < count; ++p) { \
                at[p] = data[p] - first * step[p]; \
                long long rest = first / inner; \
                for (long long axis = dimensions - 2; axis >= 0; --axis) { \
                    at[p] += rest % shape[axis] * strides[p * dimensions + axis]; \
                    rest /= shape[axis]; \
                } \
            } \
            for (long long i = first; i < first + inner; ++i) body(i, at, step); \
        } \
        return 0; \
    }
