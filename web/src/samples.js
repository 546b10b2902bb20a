/** AudioWorklet: hands the samples of all channels, averaged, to the page. */

registerProcessor("samples", class extends AudioWorkletProcessor {
  process([channels]) {
    if (channels.length) {
      const mono = channels[0].slice();
      for (const channel of channels.slice(1)) channel.forEach((x, k) => (mono[k] += x));
      if (channels.length > 1) mono.forEach((x, k) => (mono[k] = x / channels.length));
      this.port.postMessage(mono, [mono.buffer]);
    }
    return true;
  }
});
