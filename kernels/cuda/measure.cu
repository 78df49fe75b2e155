// Measures of images of different sizes, counted in whole numbers, so that the order of threads does not matter.
// One thread takes a block of 8 x 8 pixels of a tile: pixels and differences belong to where they begin.

#define TILE 64
#define ACROSS 5
#define BLOCK 8
#define BLOCKS (TILE / BLOCK * (TILE / BLOCK))
#define FAR 4

typedef unsigned long long Count;

// Of an image: blocks that are not even, repeated pixels, then squares of first and second differences along x and
// along y, of neighbours and of pixels FAR apart.
enum Sum { DETAILED, REPEATED, SQUARES, SUMS = SQUARES + 8 };

// The grid of tiles of an image.
struct Grid {
    int side, down, across;

    __device__ Grid(int height, int width) {
        side = min(TILE, min(height, width) / BLOCK * BLOCK);
        down = min(ACROSS, height / side);
        across = min(ACROSS, width / side);
    }
};

static __device__ bool alike(const unsigned char* a, const unsigned char* b) {
    return a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

// Adds the squares of the differences that begin at `pixel`; `left` is how many pixels follow it along `stride`.
static __device__ void squares(const unsigned char* pixel, long long stride, int step, int left, Count* sums) {
    if (left < step) return;
    int first = pixel[step * stride] - pixel[0];
    sums[0] += first * first;
    if (left < 2 * step) return;
    int second = pixel[2 * step * stride] - pixel[step * stride] - first;
    sums[1] += second * second;
}

// base + offsets[b] is image b, uint8 (height, width, 3); sums (images, SUMS) are zero before.
extern "C" __global__ void measure_blocks(
    unsigned long long base, const long long* __restrict__ offsets, const int* __restrict__ shapes, int images,
    unsigned long long* sums) {
    long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    int image = (int)(thread / (ACROSS * ACROSS * BLOCKS)), at = (int)(thread % (ACROSS * ACROSS * BLOCKS));
    if (image >= images) return;
    int height = shapes[2 * image], width = shapes[2 * image + 1];
    Grid grid(height, width);
    int tile = at / BLOCKS, block = at % BLOCKS, count = grid.side / BLOCK;
    if (tile >= grid.down * grid.across || block >= count * count) return;

    int high = height / grid.down, wide = width / grid.across;
    long long row = 3LL * width;
    long long top = (long long)(tile / grid.across) * high + (high - grid.side) / 2;
    long long left = (long long)(tile % grid.across) * wide + (wide - grid.side) / 2;
    const unsigned char* corner = (const unsigned char*)base + offsets[image] + top * row + left * 3;

    Count found[SUMS] = {};
    int sum = 0, square = 0;
    for (int y = block / count * BLOCK, down = 0; down < BLOCK; ++y, ++down)
        for (int x = block % count * BLOCK, across = 0; across < BLOCK; ++x, ++across) {
            const unsigned char *pixel = corner + y * row + 3 * x, *green = pixel + 1;
            int below = grid.side - 1 - y, right = grid.side - 1 - x;
            sum += *green;
            square += *green * *green;
            if (below > 0 && right > 0) found[REPEATED] += alike(pixel, pixel + 3) && alike(pixel, pixel + row);
            if (tile % 2) continue;
            squares(green, 3, 1, right, found + SQUARES);
            squares(green, row, 1, below, found + SQUARES + 2);
            squares(green, 3, FAR, right, found + SQUARES + 4);
            squares(green, row, FAR, below, found + SQUARES + 6);
        }
    found[DETAILED] = BLOCK * BLOCK * square - sum * sum > BLOCK * BLOCK * BLOCK * BLOCK;
    for (int i = 0; i < SUMS; ++i)
        if (found[i]) atomicAdd(sums + (long long)image * SUMS + i, found[i]);
}

// Mean squares of second differences over those of first ones; rounding to levels adds 1 / 12.
static __device__ double frequency(const Count* sums, double lines, int length, int step) {
    double first = sums[0] / (lines * (length - step)), second = sums[1] / (lines * (length - 2 * step));
    return (second + 1.0 / 12) / (first + 1.0 / 12);
}

// sums (images, SUMS) -> measures (images, 3): detail, repetition, fineness.
extern "C" __global__ void measure_finish(
    const int* __restrict__ shapes, const unsigned long long* __restrict__ sums, int images, float* measures) {
    int image = blockIdx.x * blockDim.x + threadIdx.x;
    if (image >= images) return;
    Grid grid(shapes[2 * image], shapes[2 * image + 1]);
    const Count* own = sums + (long long)image * SUMS;
    int side = grid.side, tiles = grid.down * grid.across, count = side / BLOCK;
    double lines = (double)((tiles + 1) / 2) * side;
    double near = frequency(own + SQUARES, lines, side, 1) + frequency(own + SQUARES + 2, lines, side, 1);
    double far = frequency(own + SQUARES + 4, lines, side, FAR) + frequency(own + SQUARES + 6, lines, side, FAR);
    measures[3 * image] = (float)(own[DETAILED] / ((double)tiles * count * count));
    measures[3 * image + 1] = (float)(own[REPEATED] / ((double)tiles * (side - 1) * (side - 1)));
    measures[3 * image + 2] = (float)(near / far);
}
