/** Speech features of a stream of sound: what `avatargpt/speech/audio.py` and `features.py` compute, number for number. */

const RATE = 16_000;
export const FPS = 30;
const QUARTERS = 4;
const BANDS = 80;
const PER_QUARTER = BANDS + 3; // energy, voicing, pitch
export const WIDTH = QUARTERS * PER_QUARTER;
const ZERO_CROSSINGS = 16; // of the resampling filter on each side
const WINDOW = 400;
const SPECTRUM = 512;
const PITCH_WINDOW = 640;
const PITCH_SPECTRUM = 1024;
const SHORTEST = Math.floor(RATE / 400);
const LONGEST = Math.floor(RATE / 60);
const FLOOR = 1e-5;
const ENERGY_FLOOR = 1e-7;
const TARGET = -20;
const FALL = 3; // dB a second by which the gain follows a quieter voice
const FIRST_FALL = 18; // and at first

const roundHalfUp = (a: number, b: number): number => Math.floor((2 * a + b) / (2 * b));
const frameEnd = (frame: number): number => roundHalfUp((frame + 1) * RATE, FPS);

/** Samples at any rate, in chunks of any size, to 16 kHz blocks, one for each video frame. */
export class FrameBlocks {
  private readonly up: number;
  private readonly down: number;
  private readonly half: number;
  private readonly filters: Float32Array[];
  private buffer: Float32Array; // starts at input sample `first`
  private first: number;
  private frame = 0;
  private samples = 0;

  constructor(readonly rate: number) {
    const common = divisor(rate, RATE);
    this.up = RATE / common;
    this.down = rate / common;
    this.half = rate === RATE ? 0 : Math.ceil((ZERO_CROSSINGS * Math.max(rate, RATE)) / RATE);
    this.filters = rate === RATE ? [] : phaseFilters(this.up, this.half, Math.min(1, RATE / rate));
    this.buffer = new Float32Array(this.half);
    this.first = -this.half;
  }

  push(pcm: Float32Array): Float32Array[] {
    const joined = new Float32Array(this.buffer.length + pcm.length);
    joined.set(this.buffer);
    for (let k = 0; k < pcm.length; k++) {
      const x = pcm[k] as number;
      joined[this.buffer.length + k] = Number.isFinite(x) ? Math.min(8, Math.max(-8, x)) : 0;
    }
    this.buffer = joined;
    this.samples += pcm.length;
    const blocks: Float32Array[] = [];
    while (this.needed(this.frame) <= this.samples) {
      const end = frameEnd(this.frame);
      blocks.push(this.resample(this.frame ? frameEnd(this.frame - 1) : 0, end));
      const keep = Math.floor((end * this.down) / this.up) - this.half;
      if (keep > this.first) {
        this.buffer = this.buffer.slice(keep - this.first);
        this.first = keep;
      }
      this.frame++;
    }
    return blocks;
  }

  /** Input samples, from the first on, that the block of a frame needs. */
  private needed(frame: number): number {
    const end = frameEnd(frame);
    return this.half ? Math.floor(((end - 1) * this.down) / this.up) + this.half + 1 : end;
  }

  private resample(start: number, end: number): Float32Array {
    if (!this.half) return this.buffer.slice(start - this.first, end - this.first);
    const out = new Float32Array(end - start);
    for (let i = start; i < end; i++) {
      const position = i * this.down;
      const at = Math.floor(position / this.up) - this.half + 1 - this.first;
      const filter = this.filters[position % this.up] as Float32Array;
      let sum = 0;
      for (let k = 0; k < filter.length; k++) sum += (filter[k] as number) * (this.buffer[at + k] as number);
      out[i - start] = sum;
    }
    return out;
  }
}

const divisor = (a: number, b: number): number => (b ? divisor(b, a % b) : a);

/** A windowed sinc (Kaiser, beta 9) for each of `up` places between two samples. */
function phaseFilters(up: number, half: number, cutoff: number): Float32Array[] {
  return Array.from({ length: up }, (_, phase) => {
    const filter = Array.from({ length: 2 * half }, (_, k) => {
      const distance = k - half + 1 - phase / up;
      const x = Math.PI * distance * cutoff * 0.94;
      return (x ? Math.sin(x) / x : 1) * bessel(9 * Math.sqrt(Math.max(0, 1 - (distance / half) ** 2)));
    });
    const total = filter.reduce((a, b) => a + b, 0);
    return Float32Array.from(filter, (x) => x / total);
  });
}

/** The modified Bessel function of order 0. */
function bessel(x: number): number {
  let [sum, term] = [1, 1];
  for (let k = 1; term > 1e-17 * sum; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}

/** A complex Fourier transform of a power of two, in place. */
class Fourier {
  private readonly cos: Float64Array;
  private readonly sin: Float64Array;
  private readonly order: Uint16Array;

  constructor(readonly size: number) {
    const angles = Float64Array.from({ length: size / 2 }, (_, k) => (2 * Math.PI * k) / size);
    this.cos = angles.map(Math.cos);
    this.sin = angles.map(Math.sin);
    this.order = new Uint16Array(size);
    for (let k = 0; k < size; k++) this.order[k] = ((this.order[k >> 1] as number) >> 1) | (k & 1 ? size >> 1 : 0);
  }

  transform(real: Float64Array, imaginary: Float64Array): void {
    const { size, cos, sin, order } = this;
    for (let k = 0; k < size; k++) {
      const j = order[k] as number;
      if (j <= k) continue;
      [real[k], real[j]] = [real[j] as number, real[k] as number];
      [imaginary[k], imaginary[j]] = [imaginary[j] as number, imaginary[k] as number];
    }
    for (let half = 1; half < size; half *= 2) {
      const step = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const c = cos[k * step] as number;
          const s = sin[k * step] as number;
          const a = start + k;
          const b = a + half;
          const x = c * (real[b] as number) + s * (imaginary[b] as number);
          const y = c * (imaginary[b] as number) - s * (real[b] as number);
          real[b] = (real[a] as number) - x;
          imaginary[b] = (imaginary[a] as number) - y;
          real[a] = (real[a] as number) + x;
          imaginary[a] = (imaginary[a] as number) + y;
        }
      }
    }
  }

  /** Power spectra of two real signals, which lie in `a` and `b`, in their place: one transform does for both. */
  powers(a: Float64Array, b: Float64Array): void {
    const n = this.size;
    this.transform(a, b);
    for (let k = 0; k <= n / 2; k++) {
      const j = (n - k) % n;
      const [x, y, u, v] = [a[k] as number, b[k] as number, a[j] as number, b[j] as number];
      a[k] = a[j] = ((x + u) ** 2 + (y - v) ** 2) / 4;
      b[k] = b[j] = ((y + v) ** 2 + (u - x) ** 2) / 4;
    }
  }

  /** Autocorrelations of two real signals in their place: the transform of a symmetric spectrum is real. */
  autocorrelations(a: Float64Array, b: Float64Array): void {
    this.powers(a, b);
    this.transform(a, b);
    for (let k = 0; k < this.size; k++) {
      a[k] = (a[k] as number) / this.size;
      b[k] = (b[k] as number) / this.size;
    }
  }
}

interface Band {
  from: number;
  weights: Float32Array;
}

/** Triangles of height 1 from 20 to 7600 Hz on the mel scale, each at least one bin wide. */
function melBands(): Band[] {
  const mel = (hz: number): number => 2595 * Math.log10(1 + hz / 700);
  const [low, high] = [mel(20), mel(7600)];
  const edges = Array.from({ length: BANDS + 2 }, (_, k) => 700 * (10 ** ((low + ((high - low) * k) / (BANDS + 1)) / 2595) - 1));
  const width = RATE / SPECTRUM;
  return Array.from({ length: BANDS }, (_, k) => {
    const [left, centre, right] = edges.slice(k, k + 3) as [number, number, number];
    const weights = Float32Array.from({ length: SPECTRUM / 2 + 1 }, (_, bin) =>
      Math.max(0, Math.min((bin * width - left) / Math.max(centre - left, width), (right - bin * width) / Math.max(right - centre, width))),
    );
    if (weights.reduce((a, b) => a + b, 0) < 0.2) weights[Math.round(centre / width)] = 1;
    const from = weights.findIndex((x) => x > 0);
    return { from, weights: weights.slice(from, weights.findLastIndex((x) => x > 0) + 1) };
  });
}

/** Follows the level of the loud frames of speech. */
class RunningGain {
  private level = -26;
  private floor = -60;
  private fall = FIRST_FALL;

  /** Mean square of a frame to the factor on power for this frame. */
  next(energy: number): number {
    const db = 10 * Math.log10(energy + 1e-10);
    this.floor += db < this.floor ? 0.3 * (db - this.floor) : Math.min(2 / FPS, db - this.floor);
    const speaks = db > this.floor + 10;
    if (db > this.level) this.level += 0.3 * (db - this.level);
    else if (speaks) this.level -= Math.min(this.fall / FPS, this.level - db);
    if (speaks) this.fall += (FALL - this.fall) / FPS;
    this.level = Math.min(0, Math.max(-65, this.level));
    return 10 ** ((TARGET - this.level) / 10);
  }
}

const hann = (size: number): Float32Array => Float32Array.from({ length: size }, (_, k) => 0.5 - 0.5 * Math.cos((2 * Math.PI * k) / size));

/** 16 kHz blocks of one video frame to 332 numbers each. */
export class SpeechFeatures {
  private readonly gain = new RunningGain();
  private readonly bands = melBands();
  private readonly narrow = hann(WINDOW);
  private readonly wide = hann(PITCH_WINDOW);
  private readonly short = new Fourier(SPECTRUM);
  private readonly long = new Fourier(PITCH_SPECTRUM);
  private readonly untaper: Float32Array;
  private past: Float32Array = new Float32Array(PITCH_WINDOW);
  private frame = 0;

  constructor() {
    const [taper, none] = [new Float64Array(PITCH_SPECTRUM), new Float64Array(PITCH_SPECTRUM)];
    taper.set(this.wide);
    this.long.autocorrelations(taper, none);
    this.untaper = Float32Array.from({ length: LONGEST + 1 }, (_, k) => (taper[0] as number) / (taper[k] as number));
  }

  next(block: Float32Array): Float32Array {
    const start = this.frame ? frameEnd(this.frame - 1) : 0;
    const signal = new Float32Array(PITCH_WINDOW + block.length);
    signal.set(this.past);
    signal.set(block, PITCH_WINDOW);
    const power = this.gain.next(block.reduce((a, x) => a + x * x, 0) / block.length);
    const out = new Float32Array(WIDTH);
    const ends = Array.from({ length: QUARTERS }, (_, k) => roundHalfUp((QUARTERS * this.frame + k + 1) * RATE, FPS * QUARTERS) - start);
    for (let pair = 0; pair < QUARTERS; pair += 2) {
      const windows = [0, 1].map((k) => signal.subarray(ends[pair + k] as number, (ends[pair + k] as number) + PITCH_WINDOW));
      this.spectra(windows, out, pair, power);
      this.pitch(windows, out, pair);
    }
    this.past = signal.slice(-PITCH_WINDOW);
    this.frame++;
    return out;
  }

  /** Bands and energy of two quarter frames. */
  private spectra(windows: Float32Array[], out: Float32Array, pair: number, power: number): void {
    const skip = PITCH_WINDOW - WINDOW;
    const both = windows.map((x) => {
      const sharp = new Float64Array(SPECTRUM);
      for (let k = 0; k < WINDOW; k++) {
        sharp[k] = ((x[skip + k] as number) - 0.97 * (x[skip + k - 1] as number)) * (this.narrow[k] as number);
      }
      return sharp;
    }) as [Float64Array, Float64Array];
    this.short.powers(...both);
    both.forEach((spectrum, q) => {
      const at = (pair + q) * PER_QUARTER;
      this.bands.forEach(({ from, weights }, b) => {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += (weights[k] as number) * (spectrum[from + k] as number);
        out[at + b] = Math.log(sum * power + FLOOR);
      });
      const energy = (windows[q] as Float32Array).subarray(skip).reduce((a, x) => a + x * x, 0);
      out[at + BANDS] = Math.log((energy * power) / WINDOW + ENERGY_FLOOR);
    });
  }

  /** Voicing and pitch of two quarter frames: the highest normalised autocorrelation, and it times log(pitch / 150). */
  private pitch(windows: Float32Array[], out: Float32Array, pair: number): void {
    const both = windows.map((x) => {
      const mean = x.reduce((a, y) => a + y, 0) / PITCH_WINDOW;
      const centred = new Float64Array(PITCH_SPECTRUM);
      for (let k = 0; k < PITCH_WINDOW; k++) centred[k] = ((x[k] as number) - mean) * (this.wide[k] as number);
      return centred;
    }) as [Float64Array, Float64Array];
    this.long.autocorrelations(...both);
    both.forEach((correlation, q) => {
      let [best, lag, voicing] = [-Infinity, SHORTEST, 0];
      for (let k = SHORTEST; k <= LONGEST; k++) {
        const ratio = ((correlation[k] as number) * (this.untaper[k] as number)) / ((correlation[0] as number) + 1e-6);
        // a multiple of the period scores nearly as high: the shortest is preferred
        const score = ratio - (0.1 * (k - SHORTEST)) / (LONGEST - SHORTEST);
        if (score > best) [best, lag, voicing] = [score, k, ratio];
      }
      voicing = Math.min(1, Math.max(0, voicing));
      const at = (pair + q) * PER_QUARTER + BANDS + 1;
      out[at] = voicing;
      out[at + 1] = voicing * Math.log(RATE / lag / 150);
    });
  }
}
