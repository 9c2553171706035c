// The language of this page: English at /, any other at its code. Sentences as in language.py.
(() => {
  const nc = window.ncdetect;
  const last = location.pathname.replace(/\/+$/, "").split("/").pop();
  nc.language = last in nc.words ? last : "en";
  document.documentElement.lang = nc.language;

  // A sentence in the page's language; its gaps are filled as {name}.
  nc.say = (template, values = {}) => (nc.words[nc.language][template] || template)
    .replace(/{(\w+)}/g, (gap, name) => (name in values ? values[name] : gap));

  // The bar at the top: its links keep the query, and Gradio's title gives way to the page's.
  nc.bar = (element) => {
    document.title = nc.say("ncdetect: is this voice real?");
    for (const link of element.querySelectorAll("a")) link.search = location.search;
  };

  // On a phone the row of tabs scrolls: the one that is chosen comes into sight. A tab that is only pressed must
  // stay under the finger, or the click meets nothing.
  const intoSight = (event) => {
    const tab = event.target.closest?.("#tabs [role=tab]");
    if (tab && (event.type === "click" || tab.matches(":focus-visible"))) {
      tab.scrollIntoView({ block: "nearest", inline: "center" });
    }
  };
  document.addEventListener("focusin", intoSight);
  document.addEventListener("click", intoSight);

  nc.number = (value, options) => value.toLocaleString(nc.language, options);
})();
