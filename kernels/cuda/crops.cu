// Boxes cut out of images of different sizes and stretched to one size: bilinear with aligned corners, one thread
// makes the three values of one output pixel.

// The two pixels between which output pixel `at` of `size` lies, and how far from the first. Exact but for `share`.
struct Between {
    int first, second;
    float share;

    __device__ Between(int at, int size, int start, int length) {
        long long steps = (long long)at * (length - 1);
        int spaces = max(size - 1, 1);
        int whole = (int)(steps / spaces);
        first = start + whole;
        second = start + min(whole + 1, length - 1);
        share = (float)(steps % spaces) / spaces;
    }
};

__device__ static float mix(float a, float b, float share) { return a + (b - a) * share; }

// `row` and `pixel` are the distances between vertical and horizontal neighbours of one channel.
template <class T>
__device__ static float sample(const T* image, const Between& y, const Between& x, long long row, int pixel) {
    const T *upper = image + y.first * row, *lower = image + y.second * row;
    long long left = (long long)x.first * pixel, right = (long long)x.second * pixel;
    return mix(mix(upper[left], upper[right], x.share), mix(lower[left], lower[right], x.share), y.share);
}

// base + offsets[b] elements is image b: uint8 (height, width, 3) or float32 (3, height, width).
template <class T, bool INTERLEAVED>
__device__ static void crop_resize(
    unsigned long long base, const long long* offsets, const int* shapes, const int* boxes, int crops, int patches,
    int size, const float* scale, const float* bias, float* out) {
    long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    long long area = (long long)size * size;
    if (thread >= crops * area) return;
    int index = (int)(thread / area), at = (int)(thread % area);
    int image = index / patches;
    int height = shapes[2 * image], width = shapes[2 * image + 1];
    const int* box = boxes + 4LL * index;
    int top = min(max(box[0], 0), height - 1), left = min(max(box[1], 0), width - 1);
    int bottom = min(max(box[2], top + 1), height), right = min(max(box[3], left + 1), width);
    Between y(at / size, size, top, bottom - top), x(at % size, size, left, right - left);

    const T* pixels = (const T*)(base + offsets[image] * sizeof(T));
    int pixel = INTERLEAVED ? 3 : 1;
    long long channel = INTERLEAVED ? 1 : (long long)height * width;
    for (int c = 0; c < 3; ++c) {
        float value = sample(pixels + c * channel, y, x, (long long)width * pixel, pixel);
        out[(3LL * index + c) * area + at] = scale[c] * value + bias[c];
    }
}

extern "C" __global__ void crop_resize_uint8(
    unsigned long long base, const long long* __restrict__ offsets, const int* __restrict__ shapes,
    const int* __restrict__ boxes, int crops, int patches, int size, float scale0, float scale1, float scale2,
    float bias0, float bias1, float bias2, float* __restrict__ out) {
    const float scale[3] = {scale0, scale1, scale2}, bias[3] = {bias0, bias1, bias2};
    crop_resize<unsigned char, true>(base, offsets, shapes, boxes, crops, patches, size, scale, bias, out);
}

extern "C" __global__ void crop_resize_float32(
    unsigned long long base, const long long* __restrict__ offsets, const int* __restrict__ shapes,
    const int* __restrict__ boxes, int crops, int patches, int size, float scale0, float scale1, float scale2,
    float bias0, float bias1, float bias2, float* __restrict__ out) {
    const float scale[3] = {scale0, scale1, scale2}, bias[3] = {bias0, bias1, bias2};
    crop_resize<float, false>(base, offsets, shapes, boxes, crops, patches, size, scale, bias, out);
}
