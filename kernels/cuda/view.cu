// Views of images of different sizes: one thread makes the three values of one output pixel.
// Bilinear with Pillow's taps. Where a tap lies is exact integer arithmetic, so float32 is enough for its weight.

enum Resize { NONE = 0, SHORT_SIDE = 1, EXACT = 2 };

// The taps of one output pixel along one axis: input pixels first..last and what their weights depend on.
struct Taps {
    int first, last, whole;
    float part, inverse;

    // Output pixel `at` of `source` pixels scaled to `target`; its centre lies at whole + part input pixels.
    __device__ Taps(int at, int source, int target, bool antialias) {
        long long twice = (2LL * at + 1) * source;
        whole = (int)(twice / (2LL * target));
        part = (float)(twice % (2LL * target)) / (2.0f * target);
        float support = antialias ? max((float)source / target, 1.0f) : 1.0f;
        inverse = 1.0f / support;
        first = max(whole + (int)floorf(part - support + 0.5f), 0);
        last = min(whole + (int)floorf(part + support + 0.5f), source);
    }

    __device__ float weight(int pixel) const {
        return max(1.0f - fabsf((pixel - whole) + 0.5f - part) * inverse, 0.0f);
    }
};

// base + offsets[b] is image b, (shapes[b][0], shapes[b][1], 3) in uint8. A view's top left comes from `offsets_yx`
// (images, crops, 2) where given, else from `fractions` (crops, 2). Out: (views, 3, size, size).
extern "C" __global__ void view(
    unsigned long long base, const long long* __restrict__ offsets, const int* __restrict__ shapes,
    const double* __restrict__ fractions, const int* __restrict__ offsets_yx,
    int views, int crops, int size, int resize, int wrap, int antialias, int bgr,
    float scale0, float scale1, float scale2, float bias0, float bias1, float bias2, float* __restrict__ out) {
    long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    long long area = (long long)size * size;
    if (thread >= views * area) return;
    int index = (int)(thread / area);
    int y = (int)(thread % area) / size, x = (int)(thread % area) % size;
    int image = index / crops, crop = index % crops;

    const unsigned char* pixels = (const unsigned char*)(base + offsets[image]);
    int height = shapes[2 * image], width = shapes[2 * image + 1];
    int rows = height, columns = width;  // after scaling
    int side = min(height, width);
    if (resize == EXACT) {
        rows = columns = size;
    } else if (resize == SHORT_SIDE || (side < size && !wrap)) {
        rows = (int)((long long)size * height / side);
        columns = (int)((long long)size * width / side);
    }
    side = min(rows, columns);
    int free_y = rows - size, free_x = columns - size;
    if (side < size) {  // after wrapping
        free_y = (int)(((long long)rows * size + side - 1) / side) - size;
        free_x = (int)(((long long)columns * size + side - 1) / side) - size;
    }
    if (offsets_yx) {
        y += min(max(offsets_yx[2 * index], 0), free_y);
        x += min(max(offsets_yx[2 * index + 1], 0), free_x);
    } else {
        y += (int)(fractions[2 * crop] * free_y);
        x += (int)(fractions[2 * crop + 1] * free_x);
    }

    float sum0 = 0.0f, sum1 = 0.0f, sum2 = 0.0f;
    if (rows == height && columns == width) {
        const unsigned char* pixel = pixels + 3 * ((long long)(y % height) * width + x % width);
        sum0 = pixel[0], sum1 = pixel[1], sum2 = pixel[2];
    } else {
        Taps down(y, height, rows, antialias), across(x, width, columns, antialias);
        float total_y = 0.0f, total_x = 0.0f;
        for (int u = across.first; u < across.last; ++u) total_x += across.weight(u);
        for (int v = down.first; v < down.last; ++v) {
            float row0 = 0.0f, row1 = 0.0f, row2 = 0.0f;
            const unsigned char* pixel = pixels + 3 * ((long long)v * width + across.first);
            for (int u = across.first; u < across.last; ++u, pixel += 3) {
                float weight = across.weight(u);
                row0 += weight * pixel[0], row1 += weight * pixel[1], row2 += weight * pixel[2];
            }
            float weight = down.weight(v);
            total_y += weight;
            sum0 += weight * row0, sum1 += weight * row1, sum2 += weight * row2;
        }
        float share = 1.0f / (total_y * total_x);
        sum0 *= share, sum1 *= share, sum2 *= share;
    }
    float* target = out + 3 * area * index + thread % area;
    target[0] = scale0 * (bgr ? sum2 : sum0) + bias0;
    target[area] = scale1 * sum1 + bias1;
    target[2 * area] = scale2 * (bgr ? sum0 : sum2) + bias2;
}
