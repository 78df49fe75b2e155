// Window scores, their greedy selection, and boxes in the image. Sums, products and quotients that an index depends
// on are rounded one by one in float32, in the order of the CPU form: a fused multiply-add could pick another cell.

// activation (batch, height, width) -> out (batch, height-k+1, width-k+1), one thread a score.
extern "C" __global__ void window_scores(
    const float* __restrict__ activation, int batch, int height, int width, int window, float* __restrict__ out) {
    long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    int rows = height - window + 1, columns = width - window + 1;
    if (thread >= (long long)batch * rows * columns) return;
    int column = (int)(thread % columns), row = (int)(thread / columns % rows);
    const float* corner = activation + (thread / columns / rows * height + row) * width + column;
    float total = 0.0f;
    for (int y = 0; y < window; ++y)
        for (int x = 0; x < window; ++x) total = __fadd_rn(total, corner[(long long)y * width + x]);
    out[thread] = __fdiv_rn(total, (float)(window * window));
}

// scores (batch, height, width), overwritten -> out (batch, count, 2) row and column, one thread an image: a map has
// a few dozen cells.
extern "C" __global__ void select_windows(
    float* __restrict__ scores, int batch, int height, int width, int count, int* __restrict__ out) {
    long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= batch) return;
    int cells = height * width;
    float* map = scores + thread * cells;
    const float marked = nanf("");
    for (int turn = 0; turn < count; ++turn) {
        int pick = 0;
        for (int cell = 1; cell < cells; ++cell)
            if (map[cell] > map[pick]) pick = cell;
        float best = map[pick];
        out[2 * (thread * count + turn)] = pick / width;
        out[2 * (thread * count + turn) + 1] = pick % width;

        // A neighbourhood's maximum is the global one exactly where a neighbour has that value. Those are marked
        // first, then what touches them is erased, then they are.
        for (int cell = 0; cell < cells; ++cell)
            if (map[cell] == best) map[cell] = marked;
        for (int cell = 0; cell < cells; ++cell) {
            if (isnan(map[cell])) continue;
            int row = cell / width, column = cell % width;
            for (int y = max(row - 1, 0); y <= min(row + 1, height - 1); ++y)
                for (int x = max(column - 1, 0); x <= min(column + 1, width - 1); ++x)
                    if (isnan(map[y * width + x])) map[cell] = 0.0f;
        }
        for (int cell = 0; cell < cells; ++cell)
            if (isnan(map[cell])) map[cell] = 0.0f;
    }
}

// windows (batch, count, 2), sizes (batch, 2) height and width -> out (batch, count, 4) top, left, bottom, right,
// one thread an axis of a window.
extern "C" __global__ void patch_boxes(
    const int* __restrict__ windows, const int* __restrict__ sizes, int batch, int count, int window, int map_size,
    int patch, int* __restrict__ out) {
    long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= 2LL * batch * count) return;
    long long item = thread / 2;
    int axis = (int)(thread % 2);
    const int* size = sizes + item / count * 2;
    int side = size[axis], square = min(size[0], size[1]);
    float fraction = __fdiv_rn((float)(2 * windows[thread] + window), (float)(2 * map_size));
    float centre = __fadd_rn((float)((side - square) / 2), __fmul_rn((float)square, fraction));
    int start = max((int)centre - patch / 2, 0);
    start = max(start - max(start + patch - side, 0), 0);
    out[4 * item + axis] = start;
    out[4 * item + 2 + axis] = min(start + patch, side);
}
