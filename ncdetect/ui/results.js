// Tab "Results": the measures of collapse by epoch, as plotly draws them; the rest of the tab needs no script.
(() => {
  const nc = window.ncdetect;

  nc.collapse = async (element, props) => {
    const host = element.querySelector(".nc-collapse");
    const colour = (name) => getComputedStyle(host).getPropertyValue(`--nc-${name}`).trim();

    const draw = async () => {
      const wide = host.clientWidth >= 700, { data, layout } = wide ? props.value.wide : props.value.narrow;
      const axis = { gridcolor: colour("line"), zeroline: false, automargin: true, nticks: 5, fixedrange: true };
      const themed = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true,
        margin: { l: 44, r: 12, t: 56, b: 44 }, hovermode: "x", dragmode: false,
        font: { family: getComputedStyle(host).fontFamily, color: colour("soft"), size: 12 },
        legend: { orientation: "h", x: 0, y: 1, yref: "container", yanchor: "top", xanchor: "left" },
        hoverlabel: { bgcolor: colour("ink"), font: { color: colour("surface"), size: 13 } },
        annotations: layout.annotations.map((note) => ({ ...note, font: { size: 13, color: colour("ink") } })),
        shapes: layout.shapes.map((line) => ({ ...line, line: { ...line.line, color: colour("soft") } })) };
      for (const [name, value] of Object.entries(layout)) {
        if (/^[xy]axis/.test(name)) themed[name] = { ...axis, ...value };
      }
      host.style.height = `${layout.height}px`;
      const traces = data.map((trace) => ({ ...trace, line: { ...trace.line, color: colour(trace.meta.role) } }));
      const Plotly = await nc.plotly();
      await Plotly.react(host, traces, themed, { displayModeBar: false, responsive: true });
      host.dataset.drawn = wide ? "wide" : "narrow";
    };

    try {
      await draw();
    } catch (error) {
      host.textContent = `The figure is not available: ${error.message}`;
      return;
    }
    let dark = document.body.classList.contains("dark");
    new MutationObserver(() => {
      if (document.body.classList.contains("dark") === dark) return;
      dark = !dark;
      draw();
    }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    new ResizeObserver(() => {
      if (host.clientWidth && (host.clientWidth >= 700) !== (host.dataset.drawn === "wide")) draw();
    }).observe(host);
  };
})();
