// Inside the model: the clips at each moment of a training on a canvas, measures that move along, error curves.
(() => {
  const nc = window.ncdetect;
  const PACE = 1.3, GLIDE_S = 0.35; // moments a second; seconds that a jump takes
  const NEAR = 14; // pixels within which a clip is pointed at
  const PATHS = { play: "M8 5.5v13l11-6.5z", pause: "M8 6h3.2v12H8zM12.8 6H16v12h-3.2z" };

  const numbers = (text) => new Int16Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
  const refuse = (answer) => {
    if (answer.error) throw new Error(answer.error);
    return answer;
  };

  // A class is a colour and a shape, drawn once and then stamped.
  const outline = (pen, fake, x, y, r) => {
    pen.beginPath();
    if (!fake) return pen.arc(x, y, r, 0, 2 * Math.PI);
    pen.moveTo(x, y - 1.25 * r);
    for (const [dx, dy] of [[1.25, 0], [0, 1.25], [-1.25, 0]]) pen.lineTo(x + dx * r, y + dy * r);
    pen.closePath();
  };

  const stamp = (ratio, fake, r, fill, opacity, rim) => {
    const canvas = document.createElement("canvas"), size = Math.ceil(2.5 * r + 4);
    canvas.width = canvas.height = Math.ceil(size * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    outline(pen, fake, size / 2, size / 2, r);
    pen.globalAlpha = opacity;
    pen.fillStyle = fill;
    pen.fill();
    if (rim) {
      pen.globalAlpha = 1;
      pen.strokeStyle = rim;
      pen.lineWidth = 1.2;
      pen.stroke();
    }
    return { canvas, size };
  };

  class Stage {
    constructor(host, told) {
      this.host = host;
      this.canvas = host.querySelector("canvas");
      this.fake = numbers(told.fake);
      this.told = told;
      this.views = {};
      this.side = "all";
      this.time = 0;
      this.pointed = -1;
      this.recolour();
    }

    add(answer) { this.views[answer.view] = { ...answer, at: numbers(answer.at) }; }

    recolour() {
      const style = getComputedStyle(this.host);
      this.colour = (name) => style.getPropertyValue(`--nc-${name}`).trim();
      this.ratio = Math.min(2, window.devicePixelRatio || 1);
      const both = (r, opacity, rim) => ["real", "fake"].map((word, fake) => stamp(this.ratio, fake, r, this.colour(word), opacity, rim));
      this.stamps = { train: both(2.6, 0.42, null), held: both(3.6, 0.95, this.colour("ink")) };
    }

    size() {
      const { clientWidth: width, clientHeight: height } = this.host;
      this.width = width;
      this.height = height;
      this.canvas.width = Math.round(width * this.ratio);
      this.canvas.height = Math.round(height * this.ratio);
    }

    // From a place in the view to pixels: one scale for both directions.
    fitted() {
      const [left, right, low, high] = this.views[this.view].box, exact = this.view === "exact";
      const pads = exact ? [44, 14, 40, 14] : [18, 18, 18, 18]; // left, right, below, above
      const wide = this.width - pads[0] - pads[1], tall = this.height - pads[2] - pads[3];
      const scale = Math.min(wide / (right - left), tall / (high - low));
      const x0 = pads[0] + (exact ? 0 : (wide - scale * (right - left)) / 2);
      const y0 = this.height - pads[2] - (exact ? 0 : (tall - scale * (high - low)) / 2);
      return [(x) => x0 + scale * (x - left), (y) => y0 - scale * (y - low), scale];
    }

    // Where a clip is at a time, by axis: between two moments it goes straight.
    places(time) {
      const { at, unit, means } = this.views[this.view], count = 2 * this.fake.length;
      const before = Math.floor(time), share = time - before;
      const from = count * before, to = count * Math.min(before + 1, means.length - 1);
      return (clip, axis) => unit * ((1 - share) * at[from + 2 * clip + axis] + share * at[to + 2 * clip + axis]);
    }

    mean(label, time) {
      const { means } = this.views[this.view], before = Math.floor(time), share = time - before;
      const after = Math.min(before + 1, means.length - 1);
      return [0, 1].map((axis) => (1 - share) * means[before][label][axis] + share * means[after][label][axis]);
    }

    seen(clip) { return this.side === "all" || (clip < this.told.train) === (this.side === "train"); }

    draw() {
      if (!this.width || !this.views[this.view]) return;
      const pen = this.canvas.getContext("2d"), [px, py] = this.fitted(), count = this.fake.length;
      pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      pen.clearRect(0, 0, this.width, this.height);
      if (this.view === "exact") this.axes(pen, px, py);
      const place = this.places(this.time);
      for (const [kind, from, to] of [["train", 0, this.told.train], ["held", this.told.train, count]]) {
        if (this.side !== "all" && this.side !== kind) continue;
        for (let clip = from; clip < to; clip++) {
          const { canvas, size } = this.stamps[kind][this.fake[clip]];
          pen.drawImage(canvas, px(place(clip, 0)) - size / 2, py(place(clip, 1)) - size / 2, size, size);
        }
      }
      if (this.pointed >= 0) this.path(pen, px, py);
      [0, 1].forEach((label) => this.trail(pen, px, py, label));
      [0, 1].forEach((label) => this.average(pen, px, py, label));
    }

    line(pen, points, colour, width) {
      pen.beginPath();
      points.forEach(([x, y], index) => (index ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.lineJoin = pen.lineCap = "round";
      pen.stroke();
    }

    trail(pen, px, py, label) {
      const times = [...Array(Math.ceil(this.time)).keys(), this.time];
      const points = times.map((time) => this.mean(label, time)).map(([x, y]) => [px(x), py(y)]);
      this.line(pen, points, this.colour("surface"), 5);
      this.line(pen, points, this.colour(label ? "fake" : "real"), 2.4);
    }

    average(pen, px, py, label) {
      const [x, y] = this.mean(label, this.time), at = [px(x), py(y)];
      outline(pen, label, ...at, 9);
      pen.fillStyle = this.colour(label ? "fake" : "real");
      pen.fill();
      pen.strokeStyle = this.colour("surface");
      pen.lineWidth = 2.5;
      pen.stroke();
      this.line(pen, [[at[0] - 5, at[1]], [at[0] + 5, at[1]]], this.colour("surface"), 2);
      this.line(pen, [[at[0], at[1] - 5], [at[0], at[1] + 5]], this.colour("surface"), 2);
      const text = label ? nc.say("average of the fakes") : nc.say("average of the real clips");
      pen.font = `550 13px ${getComputedStyle(this.host).fontFamily}`;
      const width = pen.measureText(text).width + 16, height = 25;
      // Neither covers the other, nor, where the averages lie on the axes, what these say.
      const exact = this.view === "exact", below = label && !exact;
      const left = Math.max(4, Math.min(this.width - width - 4, exact && !label ? at[0] + 16 : at[0] - width / 2));
      const up = exact && !label ? at[1] - height / 2 : at[1] - 20 - height;
      const top = Math.max(4, Math.min(this.height - height - 4, below ? at[1] + 20 : up));
      pen.beginPath();
      pen.roundRect(left, top, width, height, 7);
      pen.fillStyle = this.colour("surface");
      pen.fill();
      pen.strokeStyle = this.colour(label ? "fake" : "real");
      pen.lineWidth = 1.4;
      pen.stroke();
      pen.fillStyle = this.colour("ink");
      pen.textAlign = "left";
      pen.textBaseline = "middle";
      pen.fillText(text, left + 8, top + height / 2 + 0.5);
    }

    axes(pen, px, py) {
      const end = Math.max(this.views.exact.box[1], this.views.exact.box[3]);
      pen.setLineDash([6, 5]);
      this.line(pen, [[px(0), py(0)], [px(end), py(end)]], this.colour("ink"), 1.4);
      pen.setLineDash([]);
      this.line(pen, [[px(0), 8], [px(0), py(0)], [this.width - 8, py(0)]], this.colour("soft"), 1);
      pen.font = `13px ${getComputedStyle(this.host).fontFamily}`;
      pen.fillStyle = this.colour("soft");
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.fillText(nc.say("distance to the average of the real clips"), (px(0) + this.width) / 2, this.height - 18);
      pen.save();
      pen.translate(20, py(0) / 2);
      pen.rotate(-Math.PI / 2);
      pen.fillText(nc.say("distance to the average of the fakes"), 0, 0);
      pen.restore();
    }

    // The way of the clip that is pointed at, through all moments.
    path(pen, px, py) {
      const clip = this.pointed, spot = (time) => {
        const place = this.places(time);
        return [px(place(clip, 0)), py(place(clip, 1))];
      };
      const points = this.views[this.view].means.map((_, moment) => spot(moment));
      this.line(pen, points, this.colour("surface"), 4);
      this.line(pen, points, this.colour("clip"), 1.6);
      outline(pen, this.fake[clip], ...spot(this.time), 6.5);
      pen.strokeStyle = this.colour("clip");
      pen.lineWidth = 2.4;
      pen.stroke();
    }

    nearest(x, y) {
      const [px, py] = this.fitted(), place = this.places(this.time);
      let best = -1, least = NEAR;
      for (let clip = 0; clip < this.fake.length; clip++) {
        if (!this.seen(clip)) continue;
        const away = Math.hypot(px(place(clip, 0)) - x, py(place(clip, 1)) - y);
        if (away < least) [best, least] = [clip, away];
      }
      return best;
    }
  }

  const animate = async (element, server) => {
    const find = (name) => element.querySelector(name);
    const host = find(".nc-inside-picture"), button = find(".nc-inside-play"), slider = find(".nc-inside-player input");
    const tale = find(".nc-inside-tale"), hint = find(".nc-told"), note = find(".nc-inside-note");
    const told = refuse(await server.learning(null)), stage = new Stage(host, told);
    stage.add(refuse(await server.places({ view: "plane" })));
    const { measures } = told, last = told.names.length - 1;
    find(".nc-inside-curves").innerHTML = measures.html;
    find(".nc-inside-lesson").innerHTML = told.lesson;
    find(".nc-inside-ticks").innerHTML = measures.ticks.map(([at, name]) => `<span style="left:${100 * at}%">${name}</span>`).join("");
    find(".nc-inside-wait").remove();
    slider.max = last;
    slider.disabled = button.disabled = false;
    const curves = Object.keys(measures.heights).map((name) => {
      const box = find(`[data-measure=${name}]`), part = (what, side) => box.querySelector(`${what}[data-side=${side}]`);
      return { heights: measures.heights[name], values: measures.values[name], cursor: box.querySelector("hr"),
        sides: ["train", "dev"].map((side) => ({ side, dot: part("i", side), out: part("output", side) })) };
    });
    let goal = 0, pace = PACE, playing = false, shown = -1, before = 0, asked = 0;

    const tell = () => {
      const moment = Math.round(stage.time);
      if (moment !== shown) {
        shown = moment;
        slider.value = moment;
        slider.setAttribute("aria-valuetext", told.names[moment]);
        find(".nc-inside-player > output").textContent = told.names[moment];
        tale.textContent = told.tales[moment];
        for (const { values, sides } of curves) for (const { side, out } of sides) out.textContent = values[side][moment];
        host.dataset.moment = moment;
      }
      note.textContent = stage.view === "exact" ? told.notes.exact : told.notes.plane[moment];
      const from = Math.floor(stage.time), share = stage.time - from;
      for (const { heights, cursor, sides } of curves) {
        cursor.style.left = `${100 * stage.time / last}%`;
        for (const { side, dot } of sides) {
          const own = heights[side], height = (1 - share) * own[from] + share * own[Math.min(from + 1, last)];
          dot.style.left = `${100 * stage.time / last}%`;
          dot.style.top = `${100 * height}%`;
        }
      }
    };

    const show = () => { stage.draw(); tell(); };

    const press = (on) => {
      playing = on;
      tale.setAttribute("aria-live", on ? "off" : "polite");
      button.setAttribute("aria-label", on ? nc.say("Pause") : nc.say("Play"));
      button.querySelector("path").setAttribute("d", PATHS[on ? "pause" : "play"]);
      host.dataset.playing = on;
    };

    const step = (now) => {
      asked = 0;
      // A frame may be dated before the call that asked for it.
      const passed = Math.max(0, Math.min(0.1, (now - before) / 1000)), left = goal - stage.time;
      const move = Math.sign(left) * Math.min(Math.abs(left), passed * pace);
      if (nc.calm() && playing) {
        // Without gliding: from moment to moment, each as long as it would take.
        if (now - before < 1000 / PACE) return wake(true);
        stage.time = Math.min(goal, Math.floor(stage.time) + 1);
      } else {
        stage.time = nc.calm() ? goal : stage.time + move;
      }
      before = now;
      show();
      if (stage.time !== goal) return wake(true);
      if (playing) press(false);
    };
    const wake = (running = false) => {
      if (asked) return;
      if (!running) before = performance.now();
      asked = requestAnimationFrame(step);
    };

    const play = () => {
      if (playing) {
        press(false);
        return go(Math.round(stage.time));
      }
      if (stage.time >= last) stage.time = 0;
      [goal, pace] = [last, PACE];
      press(true);
      wake();
    };
    const go = (moment) => {
      press(false);
      goal = Math.max(0, Math.min(last, moment));
      pace = Math.max(1, Math.abs(goal - stage.time)) / GLIDE_S;
      wake();
    };

    button.addEventListener("click", play);
    slider.addEventListener("input", () => go(Number(slider.value)));
    for (const keyed of [host, slider]) {
      keyed.addEventListener("keydown", (event) => {
        const steps = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (event.key !== " " && !(steps && keyed === host)) return;
        event.preventDefault();
        if (steps) go(Math.round(goal === last && playing ? stage.time : goal) + steps);
        else play();
      });
    }
    const point = (event) => {
      const box = host.getBoundingClientRect(), clip = event ? stage.nearest(event.clientX - box.left, event.clientY - box.top) : -1;
      if (clip === stage.pointed) return;
      stage.pointed = clip;
      const side = clip < told.train ? nc.say("learned from it") : nc.say("held back");
      hint.textContent = clip < 0 ? nc.say("Point at a clip to see what it is and the way it goes.")
        : `${told.texts.words[codes[clip]]} (${side})`;
      stage.draw();
    };
    const codes = nc.unpack(told.texts.codes);
    host.addEventListener("pointermove", point);
    host.addEventListener("pointerdown", point);
    host.addEventListener("pointerleave", () => point(null));
    hint.textContent = nc.say("Point at a clip to see what it is and the way it goes.");

    const chooser = (name, chosen) => nc.choice(find(`[data-choice=${name}]`), chosen);
    chooser("side", (side) => { stage.side = side; stage.draw(); })("all");
    chooser("view", async (view) => {
      try {
        if (!stage.views[view]) stage.add(refuse(await server.places({ view })));
        stage.view = view;
        host.dataset.view = view;
        show();
      } catch (error) { note.textContent = error.message; }
    })("plane");
    stage.view = host.dataset.view = "plane";
    press(false);
    new ResizeObserver(() => { stage.size(); show(); }).observe(host);
    let dark = document.body.classList.contains("dark");
    new MutationObserver(() => {
      if (document.body.classList.contains("dark") === dark) return;
      dark = !dark;
      stage.recolour();
      stage.draw();
    }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    const watch = new IntersectionObserver(([entry]) => {
      if (!entry.isIntersecting) return;
      watch.disconnect();
      if (!nc.calm() && stage.time === 0 && !playing) play();
    }, { threshold: 0.6 });
    watch.observe(host);
  };

  const failures = async (element, server) => {
    const asked = { part: "wild", by: "generator" }, filter = element.querySelector(".nc-inside-asked input");
    const room = (name) => element.querySelector(`[data-room=${name}]`);
    const sift = () => {
      const text = filter.value.trim().toLowerCase();
      for (const list of element.querySelectorAll(".nc-fails")) {
        const rows = [...list.querySelectorAll(".nc-fail")];
        for (const row of rows) row.hidden = !row.dataset.name.includes(text);
        list.parentElement.querySelector(".nc-fails-none").hidden = rows.some((row) => !row.hidden);
      }
    };
    const write = async (again) => {
      const key = JSON.stringify(asked), answer = refuse(await server.errors({ ...asked, again }));
      if (JSON.stringify(asked) !== key) return; // another was asked for meanwhile
      if (!again) room("curves").innerHTML = answer.curves;
      room("groups").innerHTML = answer.groups;
      sift();
    };
    for (const name of ["part", "by"]) {
      nc.choice(element.querySelector(`[data-choice=${name}]`), (value) => {
        asked[name] = value;
        write(true).catch((error) => { room("groups").textContent = error.message; });
      })(asked[name]);
    }
    filter.addEventListener("input", sift);
    await write(false);
  };

  nc.inside = (element, server) => {
    const alarm = (host) => (error) => {
      host.textContent = error.message;
      host.setAttribute("role", "alert");
      element.querySelector(".nc-inside").dataset.failed = "";
    };
    animate(element, server).catch(alarm(element.querySelector(".nc-inside-tale")));
    failures(element, server).catch((error) => {
      for (const room of element.querySelectorAll(".nc-inside-room")) alarm(room)(error);
    });
    element.querySelector("[data-results]").addEventListener("click", () => {
      document.getElementById("tab-results-button").click();
      window.scrollTo({ top: 0 });
    });
  };
})();
