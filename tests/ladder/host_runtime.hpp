// What CUDA gives a kernel, on the host: the names it reads, and threads that wait for each other. The threads
// of a block are coroutines: each runs up to the next __syncthreads, then the next one does.
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <ucontext.h>
#include <vector>

#define __device__
#define __shared__ static thread_local

struct Index { unsigned int x, y, z; };
static thread_local Index threadIdx, blockIdx, blockDim, gridDim;

struct Block {
    ucontext_t outside;
    std::vector<ucontext_t> inside;
    std::vector<bool> ended;
    size_t current;
    void (*body)(void**);
    void** arguments;
};
static thread_local Block* running = nullptr;  // none: one thread, which waits for nobody

static void __syncthreads() {
    if (running) swapcontext(&running->inside[running->current], &running->outside);
}

static void nnx_thread() {
    running->body(running->arguments);
    running->ended[running->current] = true;
    swapcontext(&running->inside[running->current], &running->outside);
}

// One block; true where some of its threads end while others wait.
static bool nnx_block(Block& block, char* stacks, size_t stack, bool backwards) {
    const size_t count = block.inside.size();
    for (size_t t = 0; t < count; ++t) {
        getcontext(&block.inside[t]);
        block.inside[t].uc_stack.ss_sp = stacks + t * stack;
        block.inside[t].uc_stack.ss_size = stack;
        block.inside[t].uc_link = nullptr;
        makecontext(&block.inside[t], nnx_thread, 0);
        block.ended[t] = false;
    }
    for (;;) {
        size_t over = 0;
        for (size_t k = 0; k < count; ++k) {
            const size_t t = block.current = backwards ? count - 1 - k : k;
            threadIdx = {unsigned(t % blockDim.x), unsigned(t / blockDim.x % blockDim.y),
                         unsigned(t / (size_t(blockDim.x) * blockDim.y))};
            swapcontext(&block.outside, &block.inside[t]);
            over += block.ended[t];
        }
        if (over) return over != count;
    }
}

static int nnx_launch(const long long* sizes, void (*body)(void**), void** arguments) {
    gridDim = {unsigned(sizes[0]), unsigned(sizes[1]), unsigned(sizes[2])};
    blockDim = {unsigned(sizes[3]), unsigned(sizes[4]), unsigned(sizes[5])};
    const size_t count = size_t(blockDim.x) * blockDim.y * blockDim.z, stack = 32768;
    threadIdx = blockIdx = {0, 0, 0};
    Block block{{}, std::vector<ucontext_t>(count), std::vector<bool>(count), 0, body, arguments};
    char* stacks = count > 1 ? (char*)malloc(count * stack) : nullptr;
    running = count > 1 ? &block : nullptr;
    bool apart = false;
    for (blockIdx.z = 0; blockIdx.z < gridDim.z && !apart; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y && !apart; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x && !apart; ++blockIdx.x) {
                if (running) apart = nnx_block(block, stacks, stack, sizes[6]);
                else body(arguments);
            }
    running = nullptr;
    free(stacks);
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
