// Tab "Sampling lab". The server says which clips a setting keeps; here it is asked, and the answer drawn.
(() => {
  const nc = window.ncdetect;
  const WORDS = ["real", "fake"];
  const TOP = 12, REST_MS = 220, SLOW_MS = 350, RETRIES = 3, MOST_SEED = 999;
  const [KEPT_REAL, KEPT_FAKE, RING] = [3, 4, 5];
  const DECIMALS = { minimumFractionDigits: 3, maximumFractionDigits: 3 };
  const tidy = (value) => Number(value.toPrecision(12));

  // The map with the clusters' numbers on it and one of them ringed.
  class LabMap extends nc.Map {
    marker(layer) {
      if (!layer.ring) return super.marker(layer);
      return { symbol: "circle-open", size: 13, color: this.colour("ink"), opacity: 0.65, line: { width: 1.3 } };
    }

    shapes() {
      return super.shapes().filter((shape) => [shape.x0, shape.x1, shape.y0, shape.y1].every(Number.isFinite));
    }

    labels() {
      const labels = super.labels();
      if (!this.clusters || this.clusters.k < 2 || this.view === "exact") return labels;
      const { x, y } = this.views[this.view], { of, k } = this.clusters;
      const middle = (values) => values.sort()[values.length >> 1];
      for (let cluster = 0; cluster < k; cluster++) {
        const rows = [...of.keys()].filter((row) => of[row] === cluster);
        labels.push({ text: `<b>${cluster + 1}</b>`, showarrow: false, yshift: -24, bgcolor: this.colour("surface"), borderpad: 3,
          x: middle(nc.pick(x, rows)), y: middle(nc.pick(y, rows)), bordercolor: this.colour("fake"), borderwidth: 1.6,
          font: { size: 13, color: this.colour("ink") }, captureevents: false });
      }
      return labels;
    }
  }

  nc.lab = async (element, props, server) => {
    const find = (selector) => element.querySelector(selector);
    const note = find(".nc-lab-note"), host = find(".nc-plot"), lab = find(".nc-lab"), overlap = find(".nc-overlap");
    const select = find("#lab-rule"), seedInput = find("#lab-seed");
    const { rule, seed, ...start } = props.value;
    const shared = { rule, seed }, corpora = {}, settings = {};
    let current = null, found = null, map = null, restTimer = 0, asking = false, again = false, ringed = null;
    let turned = null;  // A kind of threshold that was clicked while no answer was there to turn.

    const setting = () => settings[current.name];
    const request = () => ({ corpus: current.name, ...shared, ...setting() });
    const option = () => select.selectedOptions[0];
    const box = (word) => find(`.nc-slider[data-label=${word}]`);

    const limits = (word) => {
      const { max = 1, step = 0.01 } = found.as[word];
      return { rate: { max: 100, step: 0.5, factor: 100, unit: "%" },
        count: { max: found.totals[word], step: 1, factor: 1, unit: "" },
        distance: { max, step, factor: 1, unit: "" } }[setting().kind];
    };

    // What the controls say of a new collection, rule or kind of threshold.
    const fill = () => {
      for (const word of WORDS) {
        const { max, step, factor, unit } = limits(word);
        for (const input of box(word).querySelectorAll("input")) {
          Object.assign(input, { min: 0, max, step: input.type === "number" && unit === "%" ? 0.1 : step });
          const value = String(tidy(setting()[word] * factor));
          if (input.value === value) continue;
          input.value = value;
          // In a box that somebody is about to type in, what comes replaces the number still.
          if (input === document.activeElement && input.type === "number") input.select();
        }
        box(word).querySelector("em").textContent = unit;
      }
      const { distance, seeded, explanation, source } = option().dataset, far = shared.rule === "farthest";
      const notes = {
        distance: far
          ? nc.say("Keeps what is at least so far away. Distances have no unit, and those of another collection's model do not compare.")
          : nc.say("Keeps what is at most so far away. Distances have no unit, and those of another collection's model do not compare."),
        rate: option().dataset.clusters
          ? nc.say("Of the fakes the share is taken in each cluster, and once more among clusters that overlap: so fewer may stay.") : "",
      };
      find(".nc-unit").textContent = notes[setting().kind] || "";
      find(".nc-explained").textContent = explanation;
      find(".nc-source").textContent = `${source[0].toUpperCase()}${source.slice(1)}.`;
      find('.nc-kinds [data-value="distance"]').setAttribute("aria-disabled", !distance);
      for (const part of element.querySelectorAll(".nc-seed :is(input, button)")) part.disabled = !seeded;
      find(".nc-seed .nc-note").textContent = seeded
        ? nc.say("Chance plays a part: another number, another choice.") : nc.say("This rule leaves nothing to chance.");
      seedInput.value = shared.seed;
    };

    const tables = (rows) => {
      const counts = Object.fromEntries(WORDS.map((word) => [word, new Map()]));
      const add = (word, row, at) => {
        const code = current.codes[row], entry = counts[word].get(code) || [0, 0];
        entry[at] += 1;
        counts[word].set(code, entry);
      };
      const barred = new Set(current.others);
      for (const word of WORDS) {
        for (const row of current.classes[word]) if (!barred.has(row)) add(word, row, 1);
        for (const row of rows[word]) add(word, row, 0);
      }
      find(".nc-tables").replaceChildren(...WORDS.map((word) => {
        const sorted = [...counts[word]].sort((a, b) => b[1][1] - a[1][1] || a[0] - b[0]);
        const table = document.createElement("table"), body = table.createTBody();
        const head = word === "real" ? nc.say("Source of reals") : nc.say("Generator");
        table.createTHead().innerHTML = `<tr><th scope="col">${head}</th><th scope="col">${nc.say("kept")}</th></tr>`;
        const line = (name, [some, total]) => {
          const cells = body.insertRow();
          cells.insertCell().textContent = name;
          cells.insertCell().innerHTML = `<span class="nc-share nc-${word}"><i style="width:${(100 * some) / total}%">` +
            `</i></span>${nc.say("<b>{kept}</b> of {total}", { kept: some, total })}`;
        };
        for (const [code, entry] of sorted.slice(0, TOP)) line(current.generators.words[code], entry);
        const rest = sorted.slice(TOP), sum = (at) => rest.reduce((total, entry) => total + entry[1][at], 0);
        if (rest.length) line(nc.say("{n} others", { n: rest.length }), [sum(0), sum(1)]);
        return table;
      }));
    };

    const clustersOf = (measured) => {
      const { clusters } = measured;
      overlap.hidden = !clusters;
      if (clusters && overlap.dataset.html !== clusters.html) {
        overlap.innerHTML = clusters.html;
        overlap.dataset.html = clusters.html;
      }
      const of = clusters ? nc.unpack(clusters.of) : null;
      const same = of && map.clusters && map.clusters.of.every((cluster, row) => cluster === of[row]);
      if (same || (!of && !map.clusters)) return showRing();
      map.clusters = of && { of, k: clusters.k };
      ringed = null;
      showRing();
      return map.draw();
    };
    const showRing = () => {
      for (const button of overlap.querySelectorAll("[data-cluster]")) {
        button.setAttribute("aria-pressed", Number(button.dataset.cluster) === ringed);
      }
      const of = map.clusters && ringed !== null ? map.clusters.of : [];
      map.layers[RING].rows = Int32Array.from([...of.keys()].filter((row) => of[row] === ringed));
      return map.listening ? map.keep({ [RING]: map.layers[RING].rows }, map.lines) : null;
    };

    const measure = async () => {
      // A collection that was opened again, or another choice, has its own measures still to come.
      if (!found) return;
      const of = found, asked = request(), measured = await server.measures(asked);
      if (of !== found || JSON.stringify(asked) !== JSON.stringify(request()) || measured.error) return;
      for (const cell of element.querySelectorAll("[data-what]")) {
        const value = measured[cell.dataset.of] && measured[cell.dataset.of][cell.dataset.what];
        cell.textContent = Number.isFinite(value) ? nc.number(value, DECIMALS) : "–";
      }
      const groups = ["before", "after"].map((of) => (measured[of] && measured[of].groups) || "–");
      find(".nc-groups").textContent = nc.say("{before}, then {after}", { before: groups[0], after: groups[1] });
      await clustersOf(measured);
      lab.dataset.measured = `${measured.kept.real},${measured.kept.fake}`;
      training.plan();
    };

    const show = async (whole) => {
      const of = found;
      const rows = Object.fromEntries(WORDS.map((word) => [word, nc.unpack(found.rows[word])]));
      const others = nc.unpack(found.others);
      for (const word of WORDS) {
        box(word).querySelector(".nc-kept").textContent = found.kept[word];
        box(word).querySelector(".nc-total").textContent = found.totals[word];
      }
      const moved = !current.others || String(others) !== String(current.others);
      current.others = others;
      tables(rows);
      nc.kept = rows;
      if (whole || moved) {
        note.textContent = nc.say(
          "{clips} train clips, seen by this collection's own model ({model}). This rule may choose among {reals} real and {fakes} fake ones.",
          { clips: current.count, model: current.model, reals: found.totals.real, fakes: found.totals.fake });
        find(".nc-cross").style.visibility = others.length ? "" : "hidden";
        const before = map, barred = new Set(others), free = (word) => current.classes[word].filter((row) => !barred.has(row));
        map = new LabMap(host, current, [
          { role: "other", strong: false, rows: others },
          { role: "real", strong: false, rows: free("real") }, { role: "fake", strong: false, rows: free("fake") },
          { role: "real", strong: true, cover: true, rows: rows.real },
          { role: "fake", strong: true, cover: true, rows: rows.fake },
          { ring: true, role: "other", strong: false, cover: true, rows: [] },
        ], before);
        if (before && before.view in map.views) map.view = before.view;
        pressView(map.view);
        map.lines = found.lines;
        await map.draw();
      } else {
        await map.keep({ [KEPT_REAL]: rows.real, [KEPT_FAKE]: rows.fake }, found.lines);
      }
      if (of !== found) return;
      lab.dataset.drawn = `${found.kept.real},${found.kept.fake}`;
      rest();
    };
    const rest = (failures = 0) => {
      clearTimeout(restTimer);
      const lost = () => { if (failures < RETRIES) rest(failures + 1); };
      restTimer = setTimeout(() => measure().catch(lost), REST_MS);
    };

    // Ask for what the setting keeps; what changes while an answer is awaited is asked for after it.
    const update = async (whole = false) => {
      again = again || (whole ? "whole" : "rows");
      if (whole) again = "whole";
      if (asking) return;
      asking = true;
      let failures = 0;
      try {
        while (again && current) {
          const all = again === "whole", asked = current;
          again = false;
          try { await choose(all, asked); } catch (error) {
            // A lost answer must not leave the page with what was asked before.
            if (asked !== current) continue;
            if (++failures > RETRIES) throw error;
            again = all || again === "whole" ? "whole" : "rows";
            await new Promise((resolve) => setTimeout(resolve, REST_MS));
          }
        }
      } finally { asking = false; }
    };

    const choose = async (all, asked) => {
      const slow = setTimeout(() => {
        note.textContent = nc.say("Choosing … this rule takes some seconds when it meets a collection for the first time.");
        lab.classList.add("nc-waiting");
      }, SLOW_MS);
      let answer, waited;
      try { answer = await server.keep(request()); } finally {
        clearTimeout(slow);
        waited = lab.classList.contains("nc-waiting");
        lab.classList.remove("nc-waiting");
      }
      if (asked !== current) { again = again || (current && "whole"); return; }
      if (answer.error) { note.textContent = nc.say("That cannot be chosen: {why}", { why: answer.error }); return; }
      found = current.found = answer;
      if (all) fill();
      if (turned) turn(turned);
      await show(all || waited);
    };

    const turn = (kind) => {
      turned = found ? null : kind;
      if (!found) return;
      if (kind === "distance" && !option().dataset.distance) {
        pressKind(setting().kind);
        return;
      }
      settings[current.name] = { kind, real: found.as.real[kind] || 0, fake: found.as.fake[kind] || 0 };
      update(true);
    };

    const chooseRule = () => {
      shared.rule = select.value;
      if (!current) return;
      // A rule without distances takes the same share instead, in every collection.
      for (const [name, one] of Object.entries(settings)) {
        if (one.kind === "distance" && !option().dataset.distance && corpora[name].found) {
          const { real, fake } = corpora[name].found.as;
          settings[name] = { kind: "rate", real: real.rate, fake: fake.rate };
        }
      }
      pressKind(setting().kind);
      update(true);
    };

    const open = async (name) => {
      note.textContent = nc.say("Loading …");
      current = found = turned = null;
      clearTimeout(restTimer);
      delete lab.dataset.drawn;
      delete lab.dataset.measured;
      try {
        if (!corpora[name]) {
          const [payload] = await Promise.all([server.corpus_map({ corpus: name }), nc.plotly()]);
          if (payload.error) throw new Error(payload.error);
          payload.classes = Object.fromEntries(WORDS.map((word) => [word, nc.unpack(payload.classes[word])]));
          payload.codes = nc.unpack(payload.generators.codes);
          corpora[name] = payload;
        }
      } catch (error) {
        note.textContent = nc.say("This collection cannot be shown: {why}", { why: error.message });
        return;
      }
      current = corpora[name];
      settings[name] = settings[name] || { ...start };
      const missing = Object.keys(current.missing);
      for (const each of select.options) {
        each.disabled = missing.includes(each.value);
        each.dataset.title = each.dataset.title || each.textContent;
        each.textContent = each.disabled ? nc.say("{rule} (not recorded here)", { rule: each.dataset.title }) : each.dataset.title;
      }
      if (missing.includes(shared.rule)) shared.rule = rule;
      select.value = shared.rule;
      find(".nc-missing").textContent = missing.length
        ? nc.say("Greyed out rules ({n}) need what training recorded of these clips, and it left no records.", { n: missing.length })
        : "";
      find(".nc-name").textContent = current.title;
      pressKind(turned || setting().kind);
      training.shown(name);
      await update(true);
    };

    const pressCorpus = nc.choice(find(".nc-corpora"), open);
    const pressKind = nc.choice(find(".nc-kinds"), turn);
    const pressView = nc.choice(find(".nc-views"), (view) => map && map.show(view));
    const training = nc.labTraining(element, server, {
      chosen: () => ({ ...shared, settings, corpus: current && current.name }),
      open: (name) => { pressCorpus(name); return open(name); },
    });
    select.addEventListener("change", chooseRule);
    const draw = (value) => {
      shared.seed = Math.min(MOST_SEED, Math.max(0, Math.round(value)));
      if (current) update();
    };
    seedInput.addEventListener("input", () => { if (seedInput.value !== "") draw(Number(seedInput.value)); });
    find("[data-seed]").addEventListener("click", () => {
      seedInput.value = (shared.seed + 1) % (MOST_SEED + 1);
      draw(Number(seedInput.value));
    });
    overlap.addEventListener("click", (event) => {
      const button = event.target.closest("[data-cluster]");
      if (!button) return;
      const cluster = Number(button.dataset.cluster);
      ringed = ringed === cluster ? null : cluster;
      showRing();
    });
    for (const word of WORDS) {
      const inputs = [...box(word).querySelectorAll("input")];
      inputs.forEach((input) => input.addEventListener("input", () => {
        if (!found || input.value === "") return;
        const { max, factor } = limits(word), value = Math.min(max, Math.max(0, Number(input.value)));
        setting()[word] = tidy(setting().kind === "count" ? Math.round(value) : value / factor);
        for (const other of inputs) if (other !== input) other.value = value;
        update();
      }));
    }
    for (const button of element.querySelectorAll("[data-all]")) {
      button.addEventListener("click", async () => {
        if (!current) return;
        const told = find(".nc-downloaded"), whole = button.dataset.all === "yes";
        const names = [...element.querySelectorAll(".nc-corpora button")].map((each) => each.dataset.value);
        told.textContent = nc.say("Gathering the clips …");
        const made = await server.database({ ...shared, settings, corpora: whole ? names : [current.name] });
        if (made.error) { told.textContent = nc.say("There is no database: {why}", { why: made.error }); return; }
        const link = document.createElement("a");
        link.href = URL.createObjectURL(new Blob([made.text], { type: "text/csv" }));
        link.download = made.name;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 10000);
        told.textContent = made.told;
      });
    }
    const first = find(".nc-corpora button").dataset.value;
    pressCorpus(first);
    await open(first);
  };
})();
