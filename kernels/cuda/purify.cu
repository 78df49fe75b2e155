// Band purification: which coefficients of a half spectrum a band keeps, and K masked copies of it.

// A band in 0..1 on one axis as its first and last index, both kept. Rounded as float32, since floor(value *
// length) differs in wider arithmetic; a band that does not end after its start, or is NaN, is index 0.
static __device__ int2 indices(float start, float end, int length) {
    const float first = end > start ? start : 0.0f, last = end > start ? end : 0.0f;
    const float top = (float)(length - 1);
    return make_int2((int)fminf(fmaxf(floorf(first * length), 0.0f), top),
                     (int)fminf(fmaxf(floorf(last * length), 0.0f), top));
}

// bands (count, 4): row start, row end, column start, column end -> crosses (count): first and last row, first
// and last column.
extern "C" __global__ void band_indices(const float* bands, int4* crosses, int count, int height, int columns) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const float* band = bands + 4 * (size_t)i;
    const int2 row = indices(band[0], band[1], height), column = indices(band[2], band[3], columns);
    crosses[i] = make_int4(row.x, row.y, column.x, column.y);
}

static __device__ bool inside(int4 cross, int row, int column) {
    return (row >= cross.x && row <= cross.y) || (column >= cross.z && column <= cross.w);
}

static __device__ float2 masked(float2 value, float modulus, bool amplitude, bool phase) {
    if (!amplitude) return make_float2(0.0f, 0.0f);
    return phase ? value : make_float2(modulus, 0.0f);
}

// spectrum (batch, channels, height, columns), amplitude and phase crosses (batch, channels, count) -> masked
// copies (batch, count, channels, height, columns), times `scale`.
//
// A thread reads one coefficient and writes it `count` times. Column 0, and the last one of an even width, are
// their own mirror: a real image needs X(-u) = conj X(u) there, which a cross breaks and cuFFT relies on, so
// the Hermitian part (X(u) + conj X(-u)) / 2 is written. It is the part that other libraries' transforms use.
extern "C" __global__ void masked_spectra(const float2* spectrum, const int4* amplitude, const int4* phase,
                                          float2* copies, int blocks_per_plane, int channels, int count,
                                          int height, int columns, int even_width, int irrelevant,
                                          float scale) {
    const int plane = blockIdx.x / blocks_per_plane;
    const int cell = (blockIdx.x % blocks_per_plane) * blockDim.x + threadIdx.x;
    const int size = height * columns;
    if (cell >= size) return;
    const int row = cell / columns, column = cell % columns;

    const float2* source = spectrum + (size_t)plane * size;
    float2 value = source[cell];
    value = make_float2(value.x * scale, value.y * scale);
    const float modulus = hypotf(value.x, value.y);

    const bool self_mirrored = column == 0 || (even_width && column == columns - 1);
    const int mirror_row = row == 0 ? 0 : height - row;
    float2 mirror = value;
    if (self_mirrored) {
        mirror = source[mirror_row * columns + column];
        mirror = make_float2(mirror.x * scale, mirror.y * scale);
    }
    const float mirror_modulus = hypotf(mirror.x, mirror.y);

    const int batch = plane / channels, channel = plane % channels;
    const size_t step = (size_t)channels * size;
    float2* target = copies + ((size_t)batch * count * channels + channel) * size + cell;
    amplitude += (size_t)plane * count;
    phase += (size_t)plane * count;
    for (int k = 0; k < count; ++k, target += step) {
        const int4 a = amplitude[k], p = phase[k];
        float2 kept = masked(value, modulus, inside(a, row, column) != irrelevant,
                             inside(p, row, column) != irrelevant);
        if (self_mirrored) {
            const float2 other = masked(mirror, mirror_modulus, inside(a, mirror_row, column) != irrelevant,
                                        inside(p, mirror_row, column) != irrelevant);
            kept = make_float2(0.5f * (kept.x + other.x), 0.5f * (kept.y - other.y));
        }
        *target = kept;
    }
}
