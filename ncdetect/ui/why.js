// Why: shows the explanation of the clip on the page, and plays its moments.
(() => {
  const nc = window.ncdetect;
  const RATE = 16000, ROUNDS = 2, PAUSE_S = 0.25;
  let context = null;

  nc.why = (element, props, ask, watch) => {
    const body = element.querySelector("div");
    let current = null, drawn = false, sounds = [], playing = null;

    const mark = (number, on) => {
      for (const part of body.querySelectorAll(`[data-region="${number}"]`)) {
        part.classList.toggle("nc-playing", on);
        if (part.hasAttribute("aria-pressed")) part.setAttribute("aria-pressed", on);
      }
    };

    const stop = () => {
      if (!playing) return;
      const { source, number, moves } = playing;
      playing = null;
      source.onended = null;
      source.stop();
      if (moves) moves.cancel();
      mark(number, false);
    };

    document.addEventListener("nc-hush", stop);

    const play = (number) => {
      const again = playing && playing.number === number;
      stop();
      if (again) return;
      const samples = nc.samples(sounds[number]), length = samples.length / RATE + PAUSE_S;
      context = context || new AudioContext();
      context.resume();
      const buffer = context.createBuffer(1, samples.length + PAUSE_S * RATE, RATE);
      buffer.copyToChannel(samples, 0);
      const source = context.createBufferSource();
      source.buffer = buffer;
      source.loop = true;
      source.connect(context.destination);
      source.onended = stop;
      nc.hush();
      source.start();
      source.stop(context.currentTime + ROUNDS * length);
      const line = body.querySelector(`.nc-why-mark[data-region="${number}"] i`);
      const frames = [{ left: "0%" }, { left: "100%", offset: 1 - PAUSE_S / length }, { left: "100%" }];
      const moves = nc.calm() ? null : line.animate(frames, { duration: 1000 * length, iterations: ROUNDS });
      playing = { source, number, moves };
      mark(number, true);
    };

    const write = (html) => {
      const focused = body.contains(document.activeElement);
      stop();
      body.innerHTML = html;
      // What was pressed is gone: the reader stays at this place.
      if (focused) body.querySelector("section[tabindex]:not([hidden])")?.focus({ preventScroll: true });
    };

    const show = () => {
      const value = props.value;
      if (value.state === "ready") {
        current = value.key;
        drawn = false;
        return write(value.html);
      }
      if (value.key !== current) return; // about an earlier clip
      if (!(drawn && value.check)) {
        sounds = value.sounds;
        drawn = true;
        write(value.html);
      }
      if (value.check) {
        body.querySelector(".nc-why-check").innerHTML = value.check;
        body.firstElementChild.classList.toggle("nc-why-faint", !value.clear);
        body.firstElementChild.dataset.checked = value.clear ? "clear" : "not clear";
      }
    };

    body.addEventListener("click", (event) => {
      const region = event.target.closest("[data-region]");
      if (region) return play(Number(region.dataset.region));
      if (!event.target.closest("[data-ask]")) return;
      body.querySelector(".nc-why-ask").hidden = true;
      const ghost = body.querySelector(".nc-why-ghost");
      ghost.hidden = false;
      ghost.focus({ preventScroll: true });
      ask();
    });
    watch("value", show);
    show();
  };
})();
