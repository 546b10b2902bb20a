/** The clock: time on the timeline, with sounds that lead it while they play. */

export interface Sound {
  start: number;
  buffer: AudioBuffer;
}

export class Player {
  time = 0;
  playing = false;
  loop = true;
  speed = 1;
  seconds = 0;
  /** More is being made: at the end it waits. */
  more = false;
  /** A stretch that is played over and over in place of all. */
  range: [number, number] | null = null;
  readonly out: { stream: MediaStream | null } = { stream: null };
  private context: AudioContext | null = null;
  private sounds: Sound[] = [];
  private sources: AudioBufferSourceNode[] = [];
  private base = 0;
  private origin = 0;
  private listeners: (() => void)[] = [];

  onChange(listener: () => void): void {
    this.listeners.push(listener);
  }

  private changed(): void {
    for (const listener of this.listeners) listener();
  }

  audio(): AudioContext {
    this.context ??= new AudioContext();
    return this.context;
  }

  /** A stream of what is heard, for a film. */
  stream(): MediaStream {
    this.sink ??= this.audio().createMediaStreamDestination();
    return this.sink.stream;
  }
  private sink: MediaStreamAudioDestinationNode | null = null;

  setSounds(sounds: Sound[]): void {
    this.sounds = sounds;
    if (this.playing) this.restart();
  }

  get hasSound(): boolean {
    return this.sounds.length > 0;
  }

  play(from = this.time): void {
    if (!this.seconds) return;
    const [low, high] = this.bounds();
    this.time = from >= high - 1e-3 || from < low ? low : from;
    this.playing = true;
    this.restart();
    this.changed();
  }

  pause(): void {
    this.playing = false;
    this.silence();
    this.changed();
  }

  toggle(): void {
    if (this.playing) this.pause();
    else this.play();
  }

  seek(seconds: number): void {
    this.time = Math.min(Math.max(seconds, 0), this.seconds);
    if (this.playing) this.restart();
    this.changed();
  }

  private bounds(): [number, number] {
    return this.range ?? [0, this.seconds];
  }

  private silence(): void {
    for (const source of this.sources) source.stop();
    this.sources = [];
  }

  private now(): number {
    return this.sounds.length && this.context ? this.context.currentTime : performance.now() / 1000;
  }

  /** Sounds begin where the time is; from here on the clock of the sound card counts. */
  private restart(): void {
    this.silence();
    if (this.sounds.length) {
      const context = this.audio();
      void context.resume();
      const at = context.currentTime + 0.03;
      for (const { start, buffer } of this.sounds) {
        const offset = (this.time - start) * 1;
        if (offset >= buffer.duration) continue;
        const source = context.createBufferSource();
        source.buffer = buffer;
        source.playbackRate.value = this.speed;
        source.connect(context.destination);
        if (this.sink) source.connect(this.sink);
        source.start(at + Math.max(0, -offset) / this.speed, Math.max(0, offset));
        this.sources.push(source);
      }
      this.origin = at;
    } else this.origin = this.now();
    this.base = this.time;
  }

  /** The second of the timeline that is heard now, and what the ear is behind the clock. */
  heard(): number {
    const latency = this.sounds.length && this.context ? (this.context.outputLatency || 0) : 0;
    return this.base + Math.max(0, this.now() - this.origin - latency) * this.speed;
  }

  /** Move on; says whether the time has changed. */
  tick(): boolean {
    if (!this.playing) return false;
    const [low, high] = this.bounds();
    const at = this.heard();
    if (at < high) {
      this.time = at;
      return true;
    }
    if (this.more) {
      this.time = this.base = Math.max(low, high - 1e-3);
      this.origin = this.now();
    } else if (this.loop) {
      this.time = low;
      this.restart();
    } else {
      this.time = high;
      this.pause();
    }
    return true;
  }
}
