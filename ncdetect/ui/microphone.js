// Tab "Live": sends what the microphone hears, half a second after the other, and shows what comes back.
(() => {
  const nc = window.ncdetect;
  // A window ends at each half second; the server's resampler gives the end of a piece some milliseconds late.
  const STEP_S = 0.5, LATE_S = 0.05, BARS = 60;
  const EAR = `registerProcessor("nc-ear", class extends AudioWorkletProcessor {
    constructor() { super(); this.block = new Float32Array(2048); this.at = 0; }
    process([[heard]]) {
      if (!heard) return true;
      this.block.set(heard, this.at);
      this.at += heard.length;
      if (this.at === this.block.length) { this.port.postMessage(this.block.slice()); this.at = 0; }
      return true;
    }
  });`;

  const whole = (pieces) => {
    const all = new Int16Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) { all.set(piece, at); at += piece.length; }
    return all;
  };

  const base64 = (samples) => {
    const bytes = new Uint8Array(samples.buffer);
    let text = "";
    for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
    return btoa(text);
  };

  const wav = (samples, rate) => {
    const head = new DataView(new ArrayBuffer(44)), size = 2 * samples.length;
    const word = (at, text) => [...text].forEach((letter, index) => head.setUint8(at + index, letter.charCodeAt(0)));
    word(0, "RIFF"); head.setUint32(4, 36 + size, true); word(8, "WAVEfmt "); head.setUint32(16, 16, true);
    head.setUint16(20, 1, true); head.setUint16(22, 1, true); head.setUint32(24, rate, true);
    head.setUint32(28, 2 * rate, true); head.setUint16(32, 2, true); head.setUint16(34, 16, true);
    word(36, "data"); head.setUint32(40, size, true);
    return new File([head, samples], nc.say("live recording") + ".wav", { type: "audio/wav" });
  };

  const refusal = (error) => {
    if (!navigator.mediaDevices) {
      return [nc.say("The microphone is not available here"),
        nc.say("Browsers give it only to pages over https, or on this very computer. You can still bring a recording to the tab “Check a clip”.")];
    }
    if (error.name === "NotAllowedError") {
      return [nc.say("The microphone was not allowed"),
        nc.say("That is fine. To listen live, allow it by the sign beside the address of this page, and press the button again; or bring a recording to the tab “Check a clip”.")];
    }
    if (error.name === "NotFoundError") {
      return [nc.say("No microphone was found"),
        nc.say("Plug one in and press the button again, or bring a recording to the tab “Check a clip”.")];
    }
    return [nc.say("The microphone cannot be used"),
      nc.say("Perhaps another programme has it. Close that and press the button again, or bring a recording to the tab “Check a clip”.")];
  };

  const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

  nc.microphone = (element, server) => {
    const body = element.querySelector(".nc-mic"), find = (name) => body.querySelector(name);
    const button = find(".nc-mic-button"), hint = find("[data-hint]"), refused = find(".nc-mic-refused");
    const result = find(".nc-mic-result"), strip = find(".nc-mic-strip"), level = find(".nc-mic-level i");
    const now = find("[data-now]"), sofar = find("[data-sofar]"), spoken = find("[data-spoken]");
    const resting = { now: now.innerHTML, sofar: sofar.innerHTML, hint: hint.textContent };
    let run = null;
    for (let bar = 0; bar < BARS; bar++) strip.insertBefore(document.createElement("i"), strip.lastElementChild);
    const bars = [...strip.querySelectorAll("i")];

    const state = (name) => {
      body.dataset.state = name;
      const label = name === "listening" ? button.dataset.stop : button.dataset.start;
      button.setAttribute("aria-label", label);
      button.setAttribute("aria-busy", name === "starting" || name === "judging");
      find("[data-label]").textContent = { starting: nc.say("One moment …"), judging: nc.say("Judging the whole …") }[name] || label;
    };

    const turn = (part, share) => {
      part.style.transform = `rotate(${share === null ? 0 : 1.8 * (share - 50)}deg)`;
      part.classList.toggle("nc-on", share !== null);
    };

    const rest = () => {
      now.innerHTML = resting.now;
      sofar.innerHTML = resting.sofar;
      for (const part of [now, sofar]) part.classList.remove("nc-real", "nc-fake", "nc-undecided");
      turn(find("[data-needle]"), null);
      turn(find("[data-all]"), null);
      for (const bar of bars) { bar.className = ""; bar.style.height = ""; }
      for (const row of body.querySelectorAll("[data-distance]")) {
        row.querySelector("output").textContent = "-";
        row.querySelector(".nc-bar i").style.width = "0";
        row.classList.remove("nc-nearer");
      }
      find("[data-clock]").textContent = "0:00";
    };

    const dress = (part, word) => {
      part.classList.remove("nc-real", "nc-fake", "nc-undecided");
      if (word) part.classList.add(`nc-${word}`);
    };

    // A bar for each half second, also where none was judged.
    const draw = (mine) => {
      const end = Math.round(mine.until / STEP_S);
      bars.forEach((bar, place) => {
        const step = end - BARS + 1 + place, share = mine.past.get(step);
        bar.className = share === undefined ? (step > 2 && step <= end ? "nc-none" : "") : share > 50 ? "nc-fake" : "nc-real";
        bar.style.height = share === undefined ? "" : `${share}%`;
      });
    };

    const show = (mine, found) => {
      mine.until = found.until;
      hint.textContent = found.hint;
      turn(find("[data-needle]"), found.last ? found.last.share : null);
      turn(find("[data-all]"), found.so_far ? found.so_far.share : null);
      if (found.last) {
        mine.past.set(Math.round(found.until / STEP_S), found.last.share);
        dress(now, found.last.word);
        now.querySelector(".nc-mic-word").innerHTML = found.last.shape + "<h3></h3>";
        now.querySelector("h3").textContent = found.last.headline;
        now.querySelector("[data-words]").textContent = found.last.words;
      } else if (found.state === "quiet") {
        now.innerHTML = resting.now;
        dress(now, null);
        now.querySelector("h3").textContent = nc.say("A pause");
      }
      if (found.so_far) {
        dress(sofar, found.so_far.word);
        sofar.querySelector("b").innerHTML = found.so_far.shape + "<span></span>";
        sofar.querySelector("b span").textContent = `${found.so_far.headline}, ${found.so_far.words}`;
        if (mine.word !== found.so_far.word) spoken.textContent = nc.say("So far: {verdict}", { verdict: found.so_far.headline });
        mine.word = found.so_far.word;
        for (const [label, distance] of Object.entries(found.distances)) {
          const row = find(`[data-distance="${label}"]`);
          row.querySelector("output").textContent = distance.value;
          row.querySelector(".nc-bar i").style.width = `${distance.width}%`;
          row.classList.toggle("nc-nearer", found.nearest === label);
        }
      }
      draw(mine);
    };

    // Ends the microphone's use, at once and whatever comes after.
    const close = (mine) => {
      mine.heard?.getTracks().forEach((track) => { track.onended = null; track.stop(); });
      mine.context?.close().catch(() => {});
      level.style.width = "0";
      button.style.removeProperty("--nc-loud");
    };

    const forget = (mine) => {
      close(mine);
      if (run === mine) run = null;
      if (mine.id) server.live_drop({ id: mine.id }).catch(() => {});
    };

    const fail = (mine, title, text) => {
      forget(mine);
      state("idle");
      hint.textContent = resting.hint;
      refused.innerHTML = "<h3></h3><p></p>";
      refused.querySelector("h3").textContent = title;
      refused.querySelector("p").textContent = text;
      refused.hidden = false;
      result.hidden = true;
    };

    const LOST = [nc.say("The connection was lost"), nc.say("The microphone is off. Please try again.")];
    const STOPPED = nc.say("Listening has stopped");

    const pump = async (mine) => {
      if (mine.sending || run !== mine || mine.ending || mine.total / mine.rate < mine.due) return;
      const pcm = base64(whole(mine.pending.splice(0)));
      mine.due = Math.floor((mine.total / mine.rate - LATE_S) / STEP_S) * STEP_S + STEP_S + LATE_S;
      mine.sending = server.live_chunk({ id: mine.id, pcm });
      const found = await mine.sending.catch(() => null);
      mine.sending = null;
      if (run !== mine || mine.ending) return;
      if (!found) return fail(mine, ...LOST);
      if (found.error) return fail(mine, STOPPED, found.error);
      if (found.state) show(mine, found);
      pump(mine);
    };

    const take = (mine, heard) => {
      if (run !== mine || mine.ending) return;
      const samples = Int16Array.from(heard, (value) => Math.max(-32768, Math.min(32767, Math.round(32768 * value))));
      mine.pending.push(samples);
      mine.all.push(samples);
      mine.total += samples.length;
      const power = heard.reduce((sum, value) => sum + value * value, 0) / heard.length;
      const loud = Math.max(0, Math.min(1, 1 + Math.log10(power + 1e-12) / 6)); // from -60 dBFS
      level.style.width = `${100 * loud}%`;
      button.style.setProperty("--nc-loud", loud.toFixed(2));
      find("[data-clock]").textContent = nc.say("{at} of {most}", { at: clock(mine.total / mine.rate), most: clock(mine.longest) });
      if (mine.total / mine.rate >= mine.longest) return stop(mine);
      pump(mine);
    };

    const start = async () => {
      const mine = { pending: [], all: [], total: 0, due: STEP_S + LATE_S, past: new Map(), until: 0 };
      run = mine;
      nc.hush();
      rest();
      refused.hidden = result.hidden = true;
      state("starting");
      try {
        const wish = { channelCount: 1, echoCancellation: false, noiseSuppression: false };
        mine.heard = await navigator.mediaDevices.getUserMedia({ audio: wish });
      } catch (error) {
        return run === mine && fail(mine, ...refusal(error));
      }
      try {
        mine.context = new AudioContext();
        mine.rate = mine.context.sampleRate;
        const module = URL.createObjectURL(new Blob([EAR], { type: "text/javascript" }));
        const [begun] = await Promise.all([server.live_start({ rate: mine.rate }), mine.context.audioWorklet.addModule(module)]);
        URL.revokeObjectURL(module);
        mine.id = begun.id;
        if (run !== mine) return forget(mine); // left meanwhile
        if (begun.error) return fail(mine, STOPPED, begun.error);
        mine.longest = begun.longest;
        for (const [label, [left, width]] of Object.entries(begun.bands)) {
          const band = find(`[data-distance="${label}"] u`);
          band.style.left = `${left}%`;
          band.style.width = `${Math.min(width, 100 - left)}%`;
        }
        const ear = new AudioWorkletNode(mine.context, "nc-ear", { channelCount: 1, channelCountMode: "explicit" });
        ear.port.onmessage = ({ data }) => take(mine, data);
        mine.context.createMediaStreamSource(mine.heard).connect(ear);
        ear.connect(mine.context.destination); // it stays silent; what leads nowhere is not asked
        await mine.context.resume();
        mine.heard.getTracks().forEach((track) => { track.onended = () => stop(mine); });
        state("listening");
        hint.textContent = nc.say("Listening …");
      } catch {
        if (run === mine) fail(mine, ...LOST);
      }
    };

    const stop = async (mine) => {
      if (run !== mine || mine.ending) return;
      mine.ending = true;
      close(mine);
      state("judging");
      hint.textContent = "";
      result.innerHTML = '<div class="nc-card nc-mic-ghost" aria-busy="true"><p></p><i></i><i></i><i></i></div>';
      result.querySelector("p").textContent = nc.say("Judging the whole recording of {seconds} s …", { seconds: Math.round(mine.total / mine.rate) });
      result.hidden = false;
      await mine.sending?.catch(() => {});
      const rest = base64(whole(mine.pending.splice(0)));
      const found = await server.live_stop({ id: mine.id, pcm: rest }).catch(() => null);
      if (run !== mine) return;
      mine.id = null;
      if (!found) return fail(mine, ...LOST);
      if (found.error) return fail(mine, nc.say("This recording cannot be judged"), found.error);
      run = null;
      state("idle");
      hint.textContent = nc.say("This is the verdict on the whole recording. Press the button to listen again.");
      result.innerHTML = found.card;
      const more = document.createElement("div");
      more.className = "nc-mic-more";
      more.innerHTML = '<p class="nc-note"></p><button type="button" class="nc-button"></button>';
      more.firstChild.textContent = nc.say("The map, the moments that moved the score, and the report are in the tab “Check a clip”: there the recording becomes a file like any other.");
      more.lastChild.textContent = nc.say("Check this recording");
      more.lastChild.addEventListener("click", () => hand(wav(whole(mine.all), mine.rate), more.firstChild));
      result.append(more);
      spoken.textContent = found.spoken;
      result.focus({ preventScroll: true });
      if (result.getBoundingClientRect().top + 120 > innerHeight) result.scrollIntoView({ behavior: nc.calm() ? "auto" : "smooth", block: "start" });
    };

    // The recording goes to the first tab as if it had been chosen there.
    const hand = (file, note) => {
      document.querySelector("#tabs [role=tab]").click();
      scrollTo(0, 0);
      const chosen = () => document.querySelector("#clip input[type=file]");
      if (!chosen()) document.querySelector("#clip .icon-button-wrapper button:last-of-type")?.click();
      const give = (left) => {
        const input = chosen();
        if (!input && left) return requestAnimationFrame(() => give(left - 1));
        if (!input) { note.textContent = nc.say("Remove the clip in the tab “Check a clip” first."); return; }
        const transfer = new DataTransfer();
        transfer.items.add(file);
        input.files = transfer.files;
        input.dispatchEvent(new Event("change", { bubbles: true }));
      };
      give(120);
    };

    // Whoever leaves is not listened to any more.
    const leave = () => {
      if (!run || run.ending) return;
      fail(run, STOPPED, nc.say("You left this tab, so the microphone was switched off and the sound forgotten."));
    };
    document.addEventListener("visibilitychange", () => { if (document.hidden) leave(); });
    window.addEventListener("pagehide", leave);
    new ResizeObserver(() => { if (!element.clientWidth) leave(); }).observe(element);

    button.addEventListener("click", () => {
      if (!run) start();
      else if (body.dataset.state === "listening") stop(run);
    });
    rest();
  };
})();
