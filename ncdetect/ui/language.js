// The language of this page: English at /, any other at its code. Sentences as in language.py.
(() => {
  const nc = window.ncdetect;
  const last = location.pathname.replace(/\/+$/, "").split("/").pop();
  nc.language = last in nc.words ? last : "en";
  document.documentElement.lang = nc.language;

  // A sentence in the page's language; its gaps are filled as {name}.
  nc.say = (template, values = {}) => (nc.words[nc.language][template] || template)
    .replace(/{(\w+)}/g, (gap, name) => (name in values ? values[name] : gap));

  nc.number = (value, options) => value.toLocaleString(nc.language, options);
})();
