// Tab "Check a clip": example cards, the verdict's arrival, and the map with the clip as a star.
(() => {
  const nc = window.ncdetect;
  // An example sounds at once; Gradio's player would start by itself only when it is new.
  const voice = new Audio();
  let until = Infinity;
  let player = null, told = null;

  // Whoever is about to play something asks for silence first.
  nc.hush = () => document.dispatchEvent(new Event("nc-hush"));
  document.addEventListener("nc-hush", () => {
    voice.pause();
    player?.pause();
    document.querySelector("#clip .play-pause-button[aria-label=Pause]")?.click();
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#clip button")) voice.pause();
  }, true);

  nc.examples = (element, pick) => {
    element.addEventListener("click", (event) => {
      const card = event.target.closest("[data-clip]");
      if (!card) return;
      document.querySelectorAll(".nc-example.nc-picked").forEach((old) => old.classList.remove("nc-picked"));
      card.classList.add("nc-picked");
      nc.hush();
      until = Infinity;
      voice.src = card.dataset.url;
      voice.play().catch(() => {});
      pick({ clip: card.dataset.clip });
    });
  };

  // Gradio refuses what the browser does not call audio, such as every WebM and MP4. Whether there is sound in a
  // file is for the decoder to say, in its own words.
  const asAudio = (file) => (file.type.startsWith("audio/") ? file : new File([file], file.name, { type: "audio/webm" }));
  const chosen = (input, files) => {
    const transfer = new DataTransfer();
    for (const file of files) transfer.items.add(asAudio(file));
    input.files = transfer.files;
  };
  const uploadOf = (event) => event.target.closest?.("#clip, #pair-clip")?.querySelector("input[type=file]");
  document.addEventListener("click", (event) => {
    const input = uploadOf(event);
    if (input) input.accept = "audio/*,video/*,.amr,.opus,.m4a,.wma,.caf,.flac";
  }, true);
  document.addEventListener("change", (event) => {
    if (event.target === uploadOf(event)) chosen(event.target, [...event.target.files]);
  }, true);
  document.addEventListener("drop", (event) => {
    const input = uploadOf(event), files = event.dataTransfer ? [...event.dataTransfer.files] : [];
    if (!input || !files.length || files.every((file) => file.type.startsWith("audio/"))) return;
    event.preventDefault();
    event.stopPropagation();
    chosen(input, files.slice(0, 1));
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }, true);

  // On a phone the verdict lies below what was pressed: bring it into sight. The answer of an example stays on its card.
  nc.verdict = (element, watch) => {
    watch("value", () => {
      const card = element.querySelector(".nc-verdict"), box = card && card.getBoundingClientRect();
      const picked = document.querySelector(".nc-example.nc-picked"), truth = element.querySelector(".nc-truth");
      if (picked && truth) {
        const answer = picked.querySelector(".nc-answer"), word = picked.dataset.truth;
        answer.textContent = { part: nc.say("truth: part fake"), real: nc.say("truth: real"), fake: nc.say("truth: fake") }[word];
        answer.className = `nc-answer nc-${word === "part" ? "fake" : word}`;
        answer.hidden = false;
      } else if (picked) picked.classList.remove("nc-picked");
      if (card && !card.classList.contains("nc-empty") && box.top + 90 > window.innerHeight) {
        card.scrollIntoView({ behavior: nc.calm() ? "auto" : "smooth", block: "start" });
      }
    });
  };

  const play = (clip) => {
    if (!player) return;
    nc.hush();
    told.textContent = nc.say("Playing: {title}", clip);
    player.hidden = false;
    player.src = clip.url;
    player.play().catch(() => { told.textContent = nc.say("{title}: press play.", clip); });
  };

  // The stretch that a bar of the timeline stands for; what no browser plays, such as AMR, is said.
  voice.addEventListener("timeupdate", () => { if (voice.currentTime >= until) voice.pause(); });
  const hear = async (part) => {
    const card = part.closest(".nc-timeline"), told = card.querySelector(".nc-unheard");
    if (!card.dataset.sound) return;
    nc.hush();
    voice.src = card.dataset.sound;
    voice.currentTime = Number(part.dataset.from);
    until = Number(part.dataset.to);
    const failed = await voice.play().then(() => "", () => nc.say("Your browser cannot play this kind of file."));
    told.textContent = failed;
  };

  nc.details = (element) => {
    element.addEventListener("click", (event) => {
      const part = event.target.closest("[data-from]");
      if (part) hear(part);
      const button = event.target.closest("[data-play]");
      if (button && nc.playable && nc.playable[button.dataset.play]) play(nc.playable[button.dataset.play]);
    });
  };

  const SKETCH = nc.say("A sketch: clips that sound alike to the model lie close together. Distances on it can mislead; the bars are exact.");
  const EXACT = nc.say("Not a sketch: the true distances of each clip to both average voices. Below the dashed line a clip is nearer to the average fake voice.");
  const SEEMS = {
    real: nc.say("Here the star seems nearer to the average real voice; by the true distances it is nearer to the average fake one. The bars are exact, this map is a sketch."),
    fake: nc.say("Here the star seems nearer to the average fake voice; by the true distances it is nearer to the average real one. The bars are exact, this map is a sketch."),
  };

  const note = (map, value) => {
    if (map.view === "exact") return [EXACT, false];
    const star = map.starPlace();
    if (star && value) {
      const [real, fake] = map.views[map.view].means.map((mean) => Math.hypot(mean[0] - star[0], mean[1] - star[1]));
      const seems = real <= fake ? "real" : "fake";
      if (seems !== value.nearest) return [SEEMS[seems], true];
    }
    return [SKETCH, false];
  };

  nc.checkMap = async (element, props, server, watch) => {
    const host = element.querySelector(".nc-plot"), hint = element.querySelector(".nc-map-note");
    told = element.querySelector(".nc-told");
    player = element.querySelector("audio");
    let payload;
    try {
      [payload] = await Promise.all([server.known_clips(null), nc.plotly()]);
      if (payload.error) throw new Error(payload.error);
    } catch (error) {
      host.textContent = nc.say("The map is not available: {why}", { why: error.message });
      return;
    }
    nc.playable = Object.fromEntries(Object.values(payload.playable).map((clip) => [clip.path, clip]));
    const layers = payload.traces.map((trace) => ({ ...trace, rows: nc.unpack(trace.rows) }));
    const map = new nc.Map(host, payload, layers);
    const tell = () => {
      const [text, loud] = note(map, props.value);
      hint.textContent = text;
      hint.classList.toggle("nc-loud", loud);
    };
    map.onclip = (row) => {
      const clip = payload.playable[row];
      if (clip) return play(clip);
      player.pause();
      player.hidden = true;
      const clipWords = map.text(row).replace(/<br>/g, ", ").replace(/<[^>]*>/g, "");
      told.textContent = nc.say("{clip}. Its licence does not let us play it here.", { clip: clipWords });
    };
    const press = nc.choice(element.querySelector("[role=radiogroup]"), async (view) => {
      await map.show(view);
      tell();
    });
    element.querySelectorAll("[role=radiogroup] button").forEach((button) => {
      button.hidden = !(button.dataset.value in map.views);
    });
    press(map.view);
    element.querySelector(".nc-count").textContent = nc.number(payload.known);
    map.star = props.value ? props.value.maps : null;
    host.textContent = "";
    await map.draw();
    tell();
    watch("value", async () => {
      await map.place(props.value ? props.value.maps : null);
      tell();
    });
  };
})();
