// Tab "Try yourself": plays the clips of a round, takes the answers, shows what the server says of them.
(() => {
  const nc = window.ncdetect;
  const RATE = 16000, BARS = 90;

  // Loudness of BARS stretches against the loudest, as bars about the middle.
  const wave = (samples) => {
    const step = samples.length / BARS, levels = [];
    for (let bar = 0; bar < BARS; bar++) {
      let sum = 0;
      const start = Math.floor(bar * step), end = Math.floor((bar + 1) * step);
      for (let i = start; i < end; i++) sum += samples[i] * samples[i];
      levels.push(Math.sqrt(sum / Math.max(1, end - start)));
    }
    const loudest = Math.max(...levels, 1e-6);
    return levels.map((level, bar) => {
      const height = Math.max(6, 100 * level / loudest);
      return `<rect x="${bar * 10 + 2}" y="${(100 - height) / 2}" width="6" height="${height}" rx="3"/>`;
    }).join("");
  };

  nc.quiz = (element, server) => {
    const find = (selector) => element.querySelector(selector);
    const parts = element.querySelectorAll("[data-part]"), failed = find(".nc-quiz-failed");
    const game = find(".nc-quiz-game"), stage = find(".nc-quiz-stage"), result = find(".nc-quiz-end");
    const ask = find(".nc-quiz-ask"), reveal = find(".nc-quiz-reveal");
    const picture = find(".nc-quiz-wave"), player = find("[data-play]");
    let round = null, clips = 0, number = 0, sounds = [], end = "", busy = false, asked = 0;
    let context = null, playing = null, answered = false;
    picture.setAttribute("viewBox", `0 0 ${BARS * 10} 100`);

    const part = (name) => { for (const one of parts) one.hidden = one.dataset.part !== name; };
    const speak = (text) => { find("[data-spoken]").textContent = text; };
    const fail = (text) => {
      failed.textContent = text;
      failed.hidden = !text;
      if (text) { stop(); part("kinds"); }
    };
    const call = async (name, request) => {
      let found;
      try { found = await server[name](request); } catch { found = null; }
      if (found && !found.error) return found;
      fail(found ? found.error : nc.say("The server does not answer. Start a new round."));
      return null;
    };

    const colour = (share) => {
      const upTo = Math.round(share * BARS);
      for (const [bar, rect] of [...picture.children].entries()) rect.classList.toggle("nc-heard", bar < upTo);
    };
    const stop = () => {
      if (!playing) return;
      const { source, frame } = playing;
      playing = null;
      cancelAnimationFrame(frame);
      source.onended = null;
      source.stop();
      player.classList.remove("nc-playing");
      colour(0);
    };
    const play = async () => {
      stop();
      const mine = number, sound = await sounds[mine];
      if (!sound || mine !== number || game.hidden) return;
      if (!picture.children.length) picture.innerHTML = wave(sound);
      context = context || new AudioContext();
      context.resume();
      const buffer = context.createBuffer(1, sound.length, RATE);
      buffer.copyToChannel(sound, 0);
      const source = context.createBufferSource(), start = context.currentTime;
      source.buffer = buffer;
      source.connect(context.destination);
      source.onended = stop;
      source.start();
      playing = { source, frame: 0 };
      player.classList.add("nc-playing");
      const move = () => {
        if (!playing || playing.source !== source) return;
        colour((context.currentTime - start) / buffer.duration);
        playing.frame = requestAnimationFrame(move);
      };
      move();
    };
    const fetchClip = (at) => {
      if (at >= clips || sounds[at]) return;
      sounds[at] = call("quiz_clip", { round, number: at }).then((found) => found && nc.samples(found.sound));
    };

    const question = (at) => {
      stop();
      number = at;
      answered = false;
      const place = nc.say("Clip {n} of {clips}", { n: at + 1, clips });
      find("[data-at]").textContent = place;
      picture.innerHTML = "";
      ask.hidden = false;
      reveal.hidden = true;
      reveal.innerHTML = "";
      part("game");
      stage.hidden = false;
      result.hidden = true;
      speak(place);
      stage.focus({ preventScroll: true });
      const box = stage.getBoundingClientRect();
      if (box.top < 0 || box.top > innerHeight / 2) {
        stage.scrollIntoView({ behavior: nc.calm() ? "auto" : "smooth", block: "start" });
      }
      fetchClip(at);
      play();
      sounds[at].then(() => fetchClip(at + 1));
    };
    const start = async (kind) => {
      if (busy) return;
      busy = true;
      fail("");
      const found = await call("quiz_start", { kind, before: round });
      busy = false;
      if (!found) return;
      asked += 1;
      ({ round, clips } = found);
      sounds = [];
      end = "";
      find(".nc-quiz-board").innerHTML = found.board;
      question(0);
    };
    const answer = async (said) => {
      if (busy || answered || game.hidden) return;
      busy = true;
      const mine = asked;
      stage.setAttribute("aria-busy", "true");
      const found = await call("quiz_answer", { round, number, answer: said });
      stage.removeAttribute("aria-busy");
      busy = false;
      if (!found || mine !== asked || game.hidden) return;
      answered = true;
      end = found.end;
      reveal.innerHTML = found.reveal;
      ask.hidden = true;
      reveal.hidden = false;
      find(".nc-quiz-board").innerHTML = found.board;
      speak(found.spoken);
      stage.focus({ preventScroll: true });
    };
    const next = () => {
      if (!answered) return;
      if (!end) return question(number + 1);
      stop();
      result.innerHTML = end;
      stage.hidden = true;
      result.hidden = false;
      result.focus({ preventScroll: true });
      speak(result.querySelector("h3").textContent);
    };
    const copy = async () => {
      const quote = find(".nc-quiz-share"), told = find(".nc-quiz-copied");
      try {
        await navigator.clipboard.writeText(quote.textContent);
        told.textContent = nc.say("Copied.");
      } catch {
        getSelection().selectAllChildren(quote);
        told.textContent = nc.say("Marked: copy it with your browser.");
      }
    };

    element.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return event.target.closest(".nc-quiz-player") && play();
      const { kind, answer: said } = button.dataset;
      if (kind) start(kind);
      else if (said) answer(said);
      else if ("play" in button.dataset) playing ? stop() : play();
      else if ("next" in button.dataset) next();
      else if ("copy" in button.dataset) copy();
      else if ("quit" in button.dataset) {
        stop();
        asked += 1;
        part("kinds");
        find("[data-kind]").focus({ preventScroll: true });
      }
    });
    // Only where the focus is on the stage: elsewhere a letter or the space bar means something else.
    stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      const onButton = event.target.closest("button");
      const chosen = [...ask.querySelectorAll("[data-key]")].find(
        (one) => one.dataset.key.toLowerCase() === event.key.toLowerCase());
      if (chosen) answer(chosen.dataset.answer);
      else if (event.key === " " && !onButton) play();
      else if (event.key === "Enter" && !onButton) next();
      else return;
      event.preventDefault();
    });
    // Another tab was opened.
    new ResizeObserver(() => { if (!element.clientWidth) stop(); }).observe(element);
  };
})();
