// The map of known clips, shared by the tabs. Plotly comes from the wheel; nothing is fetched from elsewhere.
(() => {
  const nc = window.ncdetect;
  const TYPES = { f4: Float32Array, f8: Float64Array, i4: Int32Array };
  const SYMBOLS = { real: "circle", fake: "diamond", other: "x" };
  const AXES = [nc.say("distance to the average real voice"), nc.say("distance to the average fake voice")];
  const MEANS = [nc.say("average real voice"), nc.say("average fake voice")], CLIP = nc.say("this clip");
  let loading = null;

  nc.plotly = () => {
    loading = loading || new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = nc.plotlyUrl;
      script.onload = () => done(window.Plotly);
      script.onerror = () => failed(new Error(nc.say("the plotting script could not be loaded")));
      document.head.appendChild(script);
    });
    return loading;
  };

  nc.unpack = (packed) => {
    const text = atob(packed.bdata);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return new TYPES[packed.dtype](bytes.buffer);
  };

  nc.pick = (values, rows) => {
    const picked = new Float32Array(rows.length);
    for (let i = 0; i < rows.length; i++) picked[i] = values[rows[i]];
    return picked;
  };
  nc.calm = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  // Redraw when the theme changes, which is a class "dark" on the body.
  const themed = new Set();
  let dark = null;
  const watchTheme = () => {
    if (dark !== null) return;
    dark = document.body.classList.contains("dark");
    new MutationObserver(() => {
      if (document.body.classList.contains("dark") === dark) return;
      dark = !dark;
      themed.forEach((map) => map.recolour());
    }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  };

  nc.Map = class {
    // layers: [{role: real|fake|other, strong: bool, rows, cover: bool}], drawn in this order
    // before: the map that this host showed until now
    constructor(host, payload, layers, before = null) {
      this.host = host;
      themed.delete(before);
      this.layers = layers;
      this.payload = payload;
      this.texts = payload.texts.words;
      this.codes = nc.unpack(payload.texts.codes);
      this.views = {};
      for (const [name, view] of Object.entries(payload.views)) {
        this.views[name] = { x: nc.unpack(view.x), y: nc.unpack(view.y), means: view.means };
      }
      this.view = Object.keys(this.views)[0];
      this.star = null;
      this.lines = null;
      watchTheme();
      themed.add(this);
    }

    text(row) { return this.texts[this.codes[row]]; }

    colour(name) { return getComputedStyle(this.host).getPropertyValue(`--nc-${name}`).trim(); }

    marker(layer) {
      const small = this.payload.count > 6000;
      const marker = {
        symbol: SYMBOLS[layer.role],
        color: this.colour(layer.role === "other" ? "muted" : layer.role),
        size: layer.strong ? (small ? 6 : 7.5) : small ? 4 : 5,
        opacity: layer.strong ? 0.85 : layer.role === "other" ? 0.35 : 0.28,
      };
      if (layer.strong) marker.line = { width: 0.6, color: this.colour("surface") };
      return marker;
    }

    points(layer) {
      const { x, y } = this.views[this.view];
      return { x: nc.pick(x, layer.rows), y: nc.pick(y, layer.rows) };
    }

    traces() {
      const clouds = this.layers.map((layer) => ({
        type: "scattergl", mode: "markers", ...this.points(layer), marker: this.marker(layer),
        // A cover lies on points that answer for themselves: it is redrawn at every move of a slider.
        ...(layer.cover ? { hoverinfo: "skip" } : { hoverinfo: "text", customdata: Array.from(layer.rows),
          text: Array.from(layer.rows, (row) => this.text(row)) }),
      }));
      const means = this.views[this.view].means;
      const [cross, star] = [this.colour("ink"), this.starPlace()];
      // In WebGL like the clouds: plotly puts that canvas above everything drawn as SVG.
      return [...clouds,
        { type: "scattergl", mode: "markers", hoverinfo: "text", text: MEANS,
          x: means.map((m) => m[0]), y: means.map((m) => m[1]),
          marker: { symbol: ["circle-cross", "diamond-cross"], size: [20, 23],
            color: [this.colour("real"), this.colour("fake")], line: { width: 2.5, color: this.colour("surface") } } },
        { type: "scattergl", mode: "markers", hoverinfo: "text", text: [CLIP],
          x: star ? [star[0]] : [], y: star ? [star[1]] : [],
          marker: { symbol: "star", size: 29, color: this.colour("clip"),
            line: { width: 3, color: this.colour("surface") } } }];
    }

    starPlace() { return this.star && this.star[this.view] ? this.star[this.view] : null; }

    // Where labels go: beside their marks, on neither a mark nor another label, as far as that can be had.
    labels() {
      const { x, y, means } = this.views[this.view], star = this.starPlace();
      const wide = (text) => 8 * text.length;
      const marks = MEANS.map((text, k) => [text, means[k], this.colour(["real", "fake"][k]), wide(text)]);
      if (star) marks.push([`<b>${CLIP}</b>`, star, this.colour("clip"), wide(CLIP)]);
      const reach = (values, at) => {
        let low = Infinity, high = -Infinity;
        for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
        for (const mark of marks) { low = Math.min(low, mark[1][at]); high = Math.max(high, mark[1][at]); }
        return [low, high - low || 1];
      };
      const [[left, across], [low, tall]] = [reach(x, 0), reach(y, 1)];
      const { clientWidth: width, clientHeight: height } = this.host;
      const place = (at) => [0.05 * width + 0.9 * width * (at[0] - left) / across, height * (0.95 - 0.9 * (at[1] - low) / tall)];
      const box = (middle, w, h) => [middle[0] - w / 2, middle[1] - h / 2, middle[0] + w / 2, middle[1] + h / 2];
      const common = (a, b) => Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) *
        Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
      const taken = marks.map((mark) => box(place(mark[1]), 34, 34));
      const inside = [0, 0, width, height];
      return marks.map(([text, at, colour, w]) => {
        const middle = place(at), side = w / 2 + 26;
        const badness = ([dx, dy]) => {
          const wanted = box([middle[0] + dx, middle[1] + dy], w, 30);
          return taken.reduce((sum, other) => sum + common(wanted, other), 0) + 3 * (w * 30 - common(wanted, inside));
        };
        const shifts = [[0, -40], [0, 40], [side, 0], [-side, 0], [side, -40], [-side, -40], [side, 40], [-side, 40]];
        const best = shifts.reduce((a, b) => (badness(b) < badness(a) - 1 ? b : a));
        taken.push(box([middle[0] + best[0], middle[1] + best[1]], w, 30));
        return { text, x: at[0], y: at[1], showarrow: true, arrowhead: 0, arrowwidth: 1.2, arrowcolor: colour,
          standoff: 12, ax: best[0], ay: best[1], bgcolor: this.colour("surface"), bordercolor: colour, borderwidth: 1.4,
          borderpad: 4, font: { size: 12.5, color: this.colour("ink") }, captureevents: false };
      });
    }

    layout() {
      const exact = this.view === "exact", annotations = this.labels();
      const axis = (title) => ({ showgrid: exact, zeroline: false, showticklabels: exact, ticks: "",
        gridcolor: this.colour("line"), fixedrange: false, automargin: true,
        title: { text: exact ? title : "", font: { size: 12.5 }, standoff: 8 } });
      return { annotations, shapes: this.shapes(), uirevision: this.view, showlegend: false, hovermode: "closest",
        dragmode: window.matchMedia("(pointer: coarse)").matches ? false : "pan",
        margin: exact ? { l: 46, r: 8, t: 8, b: 42 } : { l: 4, r: 4, t: 4, b: 4 },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true,
        font: { family: getComputedStyle(this.host).fontFamily, color: this.colour("soft") },
        hoverlabel: { bgcolor: this.colour("ink"), font: { color: this.colour("surface"), size: 13 }, align: "left" },
        xaxis: axis(AXES[0]), yaxis: axis(AXES[1]) };
    }

    shapes() {
      if (this.view !== "exact") return [];
      const { x, y } = this.views.exact;
      let top = 0;
      for (let i = 0; i < x.length; i++) top = Math.max(top, Math.min(x[i], y[i]));
      if (this.starPlace()) top = Math.max(top, Math.min(...this.starPlace()));
      const line = (x0, y0, x1, y1, colour, dash) =>
        ({ type: "line", x0, y0, x1, y1, layer: "above", line: { color: colour, width: 1.6, dash } });
      const shapes = [line(0, 0, 1.08 * top, 1.08 * top, this.colour("ink"), "dash")];
      if (this.lines) {
        const [realAt, fakeAt] = this.lines, high = (values) => values.reduce((a, b) => Math.max(a, b), 0);
        shapes.push(line(realAt, 0, realAt, high(y), this.colour("real"), "dot"),
          line(0, fakeAt, high(x), fakeAt, this.colour("fake"), "dot"));
      }
      return shapes;
    }

    async draw() {
      const Plotly = await nc.plotly();
      await Plotly.react(this.host, this.traces(), this.layout(), {
        displaylogo: false, responsive: true, scrollZoom: false, doubleClick: "reset",
        modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "toImage", "pan2d", "zoom2d"],
      });
      this.host.dataset.view = this.view;
      if (!this.listening) {
        this.listening = true;
        this.host.removeAllListeners("plotly_click");
        this.host.on("plotly_click", (event) => {
          const row = event.points[0] && event.points[0].customdata;
          if (Number.isInteger(row) && this.onclip) this.onclip(row);
        });
      }
      this.told();
    }

    told() {
      const star = this.starPlace();
      if (star) this.host.dataset.star = star.map((value) => value.toFixed(3)).join(",");
      else delete this.host.dataset.star;
    }

    async show(view) { this.view = view; await this.draw(); }

    async place(star) {
      this.star = star;
      if (!this.listening) return this.draw();
      const at = this.starPlace(), index = this.layers.length + 1, Plotly = await nc.plotly();
      const { annotations, shapes } = this.layout();
      await Plotly.update(this.host, { x: [at ? [at[0]] : []], y: [at ? [at[1]] : []] }, { annotations, shapes }, [index]);
      this.told();
    }

    // Change the rows of some covers: only their coordinates are drawn anew.
    async keep(rowsOfLayer, lines) {
      const indices = Object.keys(rowsOfLayer).map(Number), Plotly = await nc.plotly();
      for (const index of indices) this.layers[index].rows = rowsOfLayer[index];
      this.lines = lines;
      const points = indices.map((index) => this.points(this.layers[index]));
      await Plotly.update(this.host, { x: points.map((p) => p.x), y: points.map((p) => p.y) },
        { shapes: this.shapes() }, indices);
    }

    recolour() { if (this.listening) this.draw(); }
  };

  // A row of buttons of which one is pressed; arrow keys move between them.
  nc.choice = (host, chosen) => {
    const buttons = [...host.querySelectorAll("button")];
    const choose = (button, told = true) => {
      for (const other of buttons) {
        other.setAttribute("aria-checked", other === button);
        other.tabIndex = other === button ? 0 : -1;
      }
      if (told) chosen(button.dataset.value);
    };
    buttons.forEach((button, index) => {
      button.addEventListener("click", () => choose(button));
      button.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        const next = buttons[(index + step + buttons.length) % buttons.length];
        next.focus();
        choose(next);
      });
    });
    return (value) => choose(buttons.find((button) => button.dataset.value === value) || buttons[0], false);
  };
})();
