// Tab "Sampling lab": the sliders cut the clips of each class, which come sorted by distance, and redraw at once.
(() => {
  const nc = window.ncdetect;
  const WORDS = ["real", "fake"];
  const TOP = 12;

  // The number of kept clips of those at these sorted distances: Threshold.size of the library.
  nc.keptCount = (kind, value, distances) => {
    const total = distances.length;
    if (kind === "count") return Math.min(value, total);
    if (kind === "rate") return Math.ceil(Number((value * total).toFixed(9)));
    let low = 0, high = total;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (distances[middle] <= value) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  const roundStep = (largest) => 10 ** Math.floor(Math.log10(Math.max(largest, 1e-6) / 150));
  const tidy = (value) => Number(value.toPrecision(12));

  nc.lab = async (element, props, server) => {
    const find = (selector) => element.querySelector(selector);
    const note = find(".nc-lab-note"), host = find(".nc-plot");
    const start = { ...props.value }, corpora = {}, settings = {};
    let current = null, map = null, timer = 0, asked = 0;

    const setting = () => settings[current.name];
    const rowsKept = (word) => {
      const { rows, distances } = current.classes[word];
      return rows.subarray(0, nc.keptCount(setting().kind, setting()[word], distances));
    };

    const limits = (word) => {
      const { distances } = current.classes[word], total = distances.length;
      const largest = total ? distances[total - 1] : 1;
      const step = roundStep(largest);
      return {
        rate: { max: 100, step: 0.5, factor: 100, unit: "%" },
        count: { max: total, step: 1, factor: 1, unit: "" },
        distance: { max: tidy(Math.ceil(largest / step) * step), step, factor: 1, unit: "" },
      }[setting().kind];
    };

    const fill = () => {
      for (const word of WORDS) {
        const box = find(`.nc-slider[data-label=${word}]`), { max, step, factor, unit } = limits(word);
        for (const input of box.querySelectorAll("input")) {
          Object.assign(input, { min: 0, max, step: input.type === "number" && unit === "%" ? 0.1 : step });
          input.value = tidy(setting()[word] * factor);
        }
        box.querySelector("em").textContent = unit;
        box.querySelector(".nc-total").textContent = current.classes[word].rows.length;
      }
      find(".nc-unit").textContent = setting().kind === "distance"
        ? "Distances have no unit; those of another collection's model do not compare." : "";
    };

    const tables = (kept) => {
      find(".nc-tables").replaceChildren(...WORDS.map((word) => {
        const all = new Map();
        current.classes[word].rows.forEach((row, index) => {
          const code = current.generatorCodes[row], entry = all.get(code) || [0, 0];
          entry[1] += 1;
          if (index < kept[word]) entry[0] += 1;
          all.set(code, entry);
        });
        const sorted = [...all].sort((a, b) => b[1][1] - a[1][1] || a[0] - b[0]);
        const table = document.createElement("table"), body = table.createTBody();
        table.createTHead().innerHTML = `<tr><th scope="col">${word === "real" ? "Source of reals" : "Generator"}</th>` +
          '<th scope="col">kept</th></tr>';
        for (const [code, [some, total]] of sorted.slice(0, TOP)) {
          const line = body.insertRow();
          line.insertCell().textContent = current.generators.words[code];
          line.insertCell().innerHTML = `<span class="nc-share nc-${word}"><i style="width:${(100 * some) / total}%"></i></span>` +
            `<b>${some}</b> of ${total}`;
        }
        if (sorted.length > TOP) {
          const rest = sorted.slice(TOP), sum = (at) => rest.reduce((total, entry) => total + entry[1][at], 0);
          const line = body.insertRow();
          line.insertCell().textContent = `${rest.length} others`;
          line.insertCell().innerHTML = `<span class="nc-share nc-${word}"><i style="width:${(100 * sum(0)) / sum(1)}%"></i></span>` +
            `<b>${sum(0)}</b> of ${sum(1)}`;
        }
        return table;
      }));
    };

    const measure = async () => {
      const ticket = ++asked, found = await server.measures({ corpus: current.name, ...setting() });
      if (ticket !== asked) return;
      for (const cell of element.querySelectorAll("[data-what]")) {
        const values = found[cell.dataset.of];
        cell.textContent = values ? values[cell.dataset.what].toFixed(3) : "–";
      }
      element.querySelector(".nc-lab").dataset.measured = found.kept ? `${found.kept.real},${found.kept.fake}` : "";
    };

    // What a slider changes: counts, tables and map now, the measures once it rests.
    const update = async () => {
      const rows = Object.fromEntries(WORDS.map((word) => [word, rowsKept(word)]));
      const kept = { real: rows.real.length, fake: rows.fake.length };
      for (const word of WORDS) find(`.nc-slider[data-label=${word}] .nc-kept`).textContent = kept[word];
      tables(kept);
      nc.kept = rows;
      clearTimeout(timer);
      timer = setTimeout(() => measure().catch(() => {}), 180);
      const radius = (word) => (kept[word] ? current.classes[word].distances[kept[word] - 1] : 0);
      if (map && map.listening) await map.keep({ 3: rows.real, 4: rows.fake }, [radius("real"), radius("fake")]);
      element.querySelector(".nc-lab").dataset.drawn = `${kept.real},${kept.fake}`;
    };

    const turn = (kind) => {
      const kept = Object.fromEntries(WORDS.map((word) => [word, rowsKept(word).length]));
      settings[current.name] = { kind };
      for (const word of WORDS) {
        const { distances } = current.classes[word], total = distances.length, last = distances[kept[word] - 1] || 0;
        const step = roundStep(total ? distances[total - 1] : 1);
        setting()[word] = { rate: total ? Math.round((1000 * kept[word]) / total) / 1000 : 0, count: kept[word],
          distance: tidy(Math.ceil(last / step) * step) }[kind];
      }
      fill();
      return update();
    };

    const open = async (name) => {
      note.textContent = "Loading …";
      try {
        if (!corpora[name]) {
          const [payload] = await Promise.all([server.corpus_map(name), nc.plotly()]);
          if (payload.error) throw new Error(payload.error);
          for (const word of WORDS) {
            const entry = payload.classes[word];
            payload.classes[word] = { rows: nc.unpack(entry.rows), distances: nc.unpack(entry.distances) };
          }
          payload.generatorCodes = nc.unpack(payload.generators.codes);
          corpora[name] = payload;
        }
      } catch (error) {
        note.textContent = `This collection cannot be shown: ${error.message}`;
        return;
      }
      current = corpora[name];
      settings[name] = settings[name] || { ...start };
      const { real, fake } = current.classes;
      note.textContent = `${current.count} train clips, seen by this collection's own model (${current.model}); ` +
        `${real.rows.length} real and ${fake.rows.length} fake ones can be chosen.`;
      find(".nc-name").textContent = name;
      pressKind(setting().kind);
      fill();
      const view = map ? map.view : null;
      map = new nc.Map(host, current, [
        { role: "other", strong: false, rows: nc.unpack(current.others) },
        { role: "real", strong: false, rows: real.rows }, { role: "fake", strong: false, rows: fake.rows },
        { role: "real", strong: true, cover: true, rows: rowsKept("real") },
        { role: "fake", strong: true, cover: true, rows: rowsKept("fake") },
      ], map);
      if (view in map.views) map.view = view;
      pressView(map.view);
      await map.draw();
      await update();
    };

    const pressCorpus = nc.choice(find(".nc-corpora"), open);
    const pressKind = nc.choice(find(".nc-kinds"), turn);
    const pressView = nc.choice(find(".nc-views"), (view) => map && map.show(view));
    for (const word of WORDS) {
      const box = find(`.nc-slider[data-label=${word}]`), inputs = [...box.querySelectorAll("input")];
      inputs.forEach((input) => input.addEventListener("input", () => {
        if (!current || input.value === "") return;
        const { max, factor } = limits(word), value = Math.min(max, Math.max(0, Number(input.value)));
        setting()[word] = tidy(setting().kind === "count" ? Math.round(value) : value / factor);
        for (const other of inputs) if (other !== input) other.value = value;
        update();
      }));
    }
    for (const button of element.querySelectorAll("[data-all]")) {
      button.addEventListener("click", async () => {
        const told = find(".nc-downloaded"), whole = button.dataset.all === "yes";
        const found = await server.database({ corpus: whole ? null : current.name, settings });
        if (found.error) { told.textContent = found.error; return; }
        const link = document.createElement("a");
        link.href = URL.createObjectURL(new Blob([found.text], { type: "text/csv" }));
        link.download = found.name;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 10000);
        told.textContent = `${found.name}: ${found.clips} clips.`;
      });
    }
    const first = element.querySelector(".nc-corpora button").dataset.value;
    pressCorpus(first);
    await open(first);
  };
})();
