// What the server packed (ui/sound.py), ready to be played.
window.ncdetect.samples = (text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return Float32Array.from(new Int16Array(bytes.buffer), (value) => value / 32768);
};
