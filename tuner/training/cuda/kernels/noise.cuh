// The normals of `tuner.training.random_streams`, bit for bit.
#pragma once
#include "device.cuh"

__device__ __forceinline__ uint32 rotate(uint32 word, int left) {
  return (word << left) | (word >> (32 - left));
}

// Threefry 4x32, 20 rounds: the random words of the counter (block, visit, 0, 0).
__device__ __forceinline__ void threefry(uint32 low, uint32 high, uint32 block, uint32 visit,
                                         uint32 words[4]) {
  const int rotations[8][2] = {{10, 26}, {11, 21}, {13, 27}, {23, 5}, {6, 20}, {17, 11}, {25, 10}, {18, 20}};
  const uint32 keys[5] = {low, high, 0, 0, low ^ high ^ 0x1BD11BDAu};
  uint32 a = block + keys[0], b = visit + keys[1], c = keys[2], d = keys[3];
#pragma unroll
  for (int round = 0; round < 20; ++round) {
    const int one = rotations[round % 8][0], other = rotations[round % 8][1];
    if (round % 2 == 0) {
      a += b, b = rotate(b, one) ^ a;
      c += d, d = rotate(d, other) ^ c;
    } else {
      a += d, d = rotate(d, one) ^ a;
      c += b, b = rotate(b, other) ^ c;
    }
    if (round % 4 == 3) {
      const int number = round / 4 + 1;
      a += keys[number % 5], b += keys[(number + 1) % 5];
      c += keys[(number + 2) % 5], d += keys[(number + 3) % 5] + number;
    }
  }
  words[0] = a, words[1] = b, words[2] = c, words[3] = d;
}

// Two independent standard normals from two random words, like `random_streams.box_muller`.
__device__ __forceinline__ void box_muller(uint32 first, uint32 second, float *one, float *other) {
  const float u = multiply(add((float)(int)(first >> 8), 0.5f), 5.9604644775390625e-08f);
  const int bits = float_to_bits(u), exponent = (bits - 0x3f3504f3) >> 23;
  const float m = bits_to_float(bits - (exponent << 23));
  const float s = divide(add(m, -1.f), add(m, 1.f));
  float square = multiply(s, s), series = 2.f / 9;
  const float logarithm[] = {2.f / 7, 2.f / 5, 2.f / 3, 2.f};
  for (float term : logarithm) series = add(multiply(series, square), term);
  const float log_u = add(multiply((float)exponent, 0.693147182464599609375f), multiply(series, s));
  const float radius = root(multiply(-2.f, log_u));

  const float angle = multiply(multiply((float)(int)(second ^ 0x80000000u), 1.46291807926715968105e-09f), 0.5f);
  square = multiply(angle, angle);
  float sine = -1.f / 39916800, cosine = 1.f / 479001600;
  const float sines[] = {1.f / 362880, -1.f / 5040, 1.f / 120, -1.f / 6, 1.f};
  for (float term : sines) sine = add(multiply(sine, square), term);
  sine = multiply(sine, angle);
  const float cosines[] = {-1.f / 3628800, 1.f / 40320, -1.f / 720, 1.f / 24, -0.5f, 1.f};
  for (float term : cosines) cosine = add(multiply(cosine, square), term);
  *one = multiply(radius, add(multiply(cosine, cosine), -multiply(sine, sine)));
  *other = multiply(radius, multiply(multiply(2.f, sine), cosine));
}
