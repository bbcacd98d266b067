// numpy.random.default_rng(seed).random(), bit for bit: a SeedSequence that seeds PCG64 (XSL-RR).

const MASK_64 = (1n << 64n) - 1n;
const MASK_128 = (1n << 128n) - 1n;
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;

/** Draws float64 numbers in [0, 1). `seed` is a BigInt of at least 0. */
export class Generator {
  constructor(seed) {
    const [high, low, sequenceHigh, sequenceLow] = seedState(seed);
    this.increment = ((((sequenceHigh << 64n) | sequenceLow) << 1n) | 1n) & MASK_128;
    this.state = 0n;
    this.advance();
    this.state = (this.state + ((high << 64n) | low)) & MASK_128;
    this.advance();
  }

  random() {
    this.advance();
    const mixed = (this.state >> 64n) ^ (this.state & MASK_64);
    const turn = this.state >> 122n;
    const bits = ((mixed >> turn) | (mixed << (64n - turn))) & MASK_64;
    return Number(bits >> 11n) / 2 ** 53;
  }

  advance() {
    this.state = (this.state * MULTIPLIER + this.increment) & MASK_128;
  }
}

/** Four 64-bit words of numpy.random.SeedSequence(seed): each pair the higher half first. */
function seedState(seed) {
  const pool = mixedPool(words(seed));
  let constant = 0x8b51f9dd;
  const halves = [];
  for (let index = 0; index < 8; index++) {
    let value = pool[index % 4] ^ constant;
    constant = Math.imul(constant, 0x58f38ded);
    value = Math.imul(value, constant);
    halves.push(BigInt((value ^ (value >>> 16)) >>> 0));
  }
  return [0, 2, 4, 6].map((index) => (halves[index + 1] << 32n) | halves[index]);
}

function mixedPool(entropy) {
  let constant = 0x43b0d7e5;
  const hash = (word) => {
    let value = word ^ constant;
    constant = Math.imul(constant, 0x931e8875);
    value = Math.imul(value, constant);
    return value ^ (value >>> 16);
  };
  const mix = (first, second) => {
    const value = Math.imul(0xca01f9dd, first) - Math.imul(0x4973f715, second);
    return value ^ (value >>> 16);
  };
  const pool = [0, 1, 2, 3].map((index) => hash(entropy[index] ?? 0));
  for (let source = 0; source < 4; source++) {
    for (let target = 0; target < 4; target++) {
      if (source !== target) pool[target] = mix(pool[target], hash(pool[source]));
    }
  }
  for (const word of entropy.slice(4)) {
    for (let target = 0; target < 4; target++) pool[target] = mix(pool[target], hash(word));
  }
  return pool;
}

/** 32 bits a word, the lowest first. */
function words(seed) {
  const found = [];
  for (let left = seed; left > 0n; left >>= 32n) found.push(Number(left & 0xffffffffn));
  return found.length ? found : [0];
}
