// What the film draws over the page: caption, cursor, a note; and an ear for what the page plays.
(() => {
  const ARROW = "M2 1.5v19.2l5.2-4.7 3.1 7.1 3.5-1.5-3.1-7 6.9-.5z";
  const LOOK = `
    :host { all: initial; }
    div { position: fixed; z-index: 2147483647; pointer-events: none; font-family: system-ui, "Segoe UI", Roboto, Arial, sans-serif; }
    .caption { left: 50%; bottom: 22px; transform: translateX(-50%); width: max-content; max-width: 1060px; box-sizing: border-box;
      padding: 11px 24px 12px; border-radius: 14px; background: rgb(15 23 42 / 93%); color: #fff; font-size: 25px; font-weight: 600;
      line-height: 1.3; letter-spacing: -.01em; text-align: center; text-wrap: balance; box-shadow: 0 6px 26px rgb(15 23 42 / 30%); }
    .note { right: 18px; top: 14px; padding: 6px 14px; border-radius: 99px; background: rgb(15 23 42 / 93%); color: #fff; font-size: 16px; font-weight: 600; }
    .cursor { left: 0; top: 0; width: 30px; height: 30px; }
    .cursor svg { width: 100%; height: 100%; overflow: visible; filter: drop-shadow(0 2px 3px rgb(15 23 42 / 45%)); }
    .cursor i { position: absolute; left: -18px; top: -18px; width: 40px; height: 40px; border-radius: 50%; background: rgb(108 182 255 / 45%); border: 2px solid #1565b0; box-sizing: border-box; }
    [hidden] { display: none; }`;
  let parts = null;

  const stage = () => {
    if (parts) return parts;
    const host = document.createElement("div"), root = host.attachShadow({ mode: "open" });
    host.setAttribute("aria-hidden", "true");
    root.innerHTML = `<style>${LOOK}</style><div class="caption" hidden></div><div class="note" hidden>waiting left out</div>` +
      `<div class="cursor"><i hidden></i><svg viewBox="0 0 24 24"><path d="${ARROW}" fill="#0f172a" stroke="#fff" stroke-width="1.6"/></svg></div>`;
    document.documentElement.append(host);
    const find = (selector) => root.querySelector(selector);
    parts = { caption: find(".caption"), note: find(".note"), cursor: find(".cursor"), press: find("i") };
    return parts;
  };

  // One frame of the film.
  window.filmFrame = ({ x, y, pressed, scroll, note }) => {
    const { cursor, press, note: sign } = stage();
    cursor.style.transform = `translate(${x}px, ${y}px)`;
    press.hidden = !pressed;
    sign.hidden = !note;
    if (scroll !== null) window.scrollTo({ top: scroll, behavior: "instant" });
  };
  window.filmCaption = (text) => {
    const { caption } = stage();
    caption.textContent = text;
    caption.hidden = !text;
  };

  // The ear: tells when something starts or stops, and what it was.
  let count = 0;
  const text = async (blob) => new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(",")[1] || "");
    reader.readAsDataURL(blob);
  });
  const heard = new WeakMap();
  const starts = (source, offset) => {
    heard.set(source, ++count);
    window.filmHear({ key: count, starts: true, offset });
    return count;
  };
  const stops = (source) => {
    if (heard.has(source)) window.filmHear({ key: heard.get(source), starts: false });
  };

  const { play, pause } = HTMLMediaElement.prototype;
  HTMLMediaElement.prototype.play = function () {
    const key = starts(this, this.ended ? 0 : this.currentTime);
    fetch(this.currentSrc || this.src).then((answer) => answer.blob()).then(text)
      .then((data) => window.filmSound({ key, data, rate: 0, length: 0 }));
    return play.call(this);
  };
  HTMLMediaElement.prototype.pause = function () {
    if (!this.paused && !this.ended) stops(this);
    return pause.call(this);
  };

  const { start, stop } = AudioBufferSourceNode.prototype;
  const ends = new WeakMap();
  AudioBufferSourceNode.prototype.start = function (...when) {
    const key = starts(this, 0), { buffer, context } = this, now = context.currentTime;
    const samples = Int16Array.from(buffer.getChannelData(0), (value) => 32767 * Math.max(-1, Math.min(1, value)));
    // Whoever starts a loop says right after it when it ends.
    queueMicrotask(async () => window.filmSound({ key, data: await text(new Blob([samples])), rate: buffer.sampleRate,
      length: ends.has(this) ? ends.get(this) - now : buffer.duration }));
    return start.apply(this, when);
  };
  AudioBufferSourceNode.prototype.stop = function (...when) {
    if (when[0] > this.context.currentTime) ends.set(this, when[0]);
    else stops(this);
    return stop.apply(this, when);
  };
})();
