// The page of a bundle: shows, pages through and searches the records that lie in viewer/ beside it.
//
// Browsers let a page that was opened from a folder neither fetch files nor import modules, but load scripts: so
// each page of records is a script that calls dsr() with JSON lines as one text. Nothing that comes from the data
// ever becomes markup, an address outside files/, or code: only text nodes are made of it.
"use strict";
(() => {
  const index = JSON.parse(document.getElementById("index").textContent);
  const ROWS = 20;
  const COLUMNS = 8;
  const FIELDS = 50;
  const DEPTH = 12;
  const CELL = 200;
  const TEXT = 2000;
  const WHOLE = 1000000;
  const HELD = 24; // pages of records that are kept in memory
  const FILE = index.file;

  // -- words ---------------------------------------------------------------------------------------

  // The reader's own variety of the page's language, if the browser names one: it writes dates their way.
  const locale = navigator.languages.find((l) => l === index.language || l.startsWith(index.language + "-")) || index.language;
  const numbers = new Intl.NumberFormat(locale);
  const plurals = new Intl.PluralRules(index.language);
  const moments = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "long" });

  const say = (name, values = {}) => {
    let text = index.words[name];
    if (typeof text === "object") text = plurals.select(values.count) === "one" ? text.one : text.other;
    return text.replace(/\{(\w+)\}/g, (_, key) => (typeof values[key] === "number" ? numbers.format(values[key]) : values[key]));
  };

  const size = (count) => {
    let unit = 0;
    for (; count >= 1000 && unit < 4; unit++) count /= 1000;
    return `${numbers.format(Math.round(count * 10) / 10)} ${["bytes", "KB", "MB", "GB", "TB"][unit]}`;
  };

  const label = (name) => plain(name.replaceAll("_", " "));

  // Signs that turn the direction of writing could make a text read as another: they are shown as what they are.
  const plain = (text) => text.replace(/[\u202a-\u202e\u2066-\u2069]/g, (c) => `[U+${c.charCodeAt(0).toString(16).toUpperCase()}]`);

  // -- elements: attributes are ours, children are text ------------------------------------------------

  const make = (tag, attributes, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    made.append(...children.filter((c) => c !== null));
    return made;
  };

  const button = (text, press, kind = "") => {
    const made = make("button", { type: "button", class: kind }, text);
    made.addEventListener("click", () => made.getAttribute("aria-disabled") !== "true" && press(made));
    return made;
  };

  // -- pages of records --------------------------------------------------------------------------------

  const ours = (address) => {
    if (!/^viewer\/[a-z0-9_]+\/[a-z0-9_]+\/\d+\.js$/.test(address)) throw new TypeError("not an address of a page");
    return address;
  };
  const trusted = window.trustedTypes
    ? window.trustedTypes.createPolicy("dsr", { createScriptURL: ours })
    : { createScriptURL: ours };
  const awaited = new Map(); // path/number → what takes the text
  const held = new Map(); // path/number → promise of lines, the least recently used first

  Object.defineProperty(window, "dsr", {
    value: (path, number, text) => awaited.get(`${path}/${number}`)?.(text),
  });

  const load = (path, number) =>
    new Promise((resolve, reject) => {
      const name = `${path}/${number}`;
      const address = `viewer/${path.replace(".", "/")}/${number}.js`;
      const script = document.createElement("script");
      const end = () => {
        awaited.delete(name);
        script.remove();
        reject(new Error(address)); // changes nothing where the lines have come
      };
      awaited.set(name, (text) => resolve(text.split("\n").filter((line) => line)));
      script.addEventListener("load", end);
      script.addEventListener("error", end);
      script.src = trusted.createScriptURL(address);
      document.head.append(script);
    });

  const lines = (path, number) => {
    const name = `${path}/${number}`;
    const found = held.get(name) || load(path, number);
    held.delete(name);
    held.set(name, found);
    found.catch(() => held.delete(name)); // another try may find it
    if (held.size > HELD) held.delete(held.keys().next().value);
    return found;
  };

  // Numbers with more digits than JavaScript holds stay as they are written.
  const LONG = /\d{16}/;
  const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  const parse = (line) =>
    JSON.parse(LONG.test(line) ? line.replace(TOKEN, (t) => (t[0] === '"' || String(Number(t)) === t ? t : `"${t}"`)) : line);

  // -- values ------------------------------------------------------------------------------------------

  const MOMENT = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)$/;
  const PICTURE = /\.(png|jpe?g|gif|webp|avif|bmp)$/i;
  // What a browser would run, or hand to another program, is named and not linked.
  const HARMLESS = /\.(png|jpe?g|gif|webp|avif|bmp|txt|csv|pdf|mp3|m4a|ogg|wav|mp4|webm|mov)$/i;
  const INSIDE = /^files\/[^/\\]+\/[^/\\]+$/;

  const momentOf = (text) => {
    if (!MOMENT.test(text)) return null;
    const at = new Date(text.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00"));
    return Number.isNaN(at.getTime()) ? null : at;
  };

  const timeOf = (text, at) => make("time", { datetime: at.toISOString(), title: text }, moments.format(at));

  const shortened = (text, most) => plain(text.length > most ? text.slice(0, most) + "…" : text);

  const fileOf = (path, shown) => {
    const segments = path.split("/");
    if (!INSIDE.test(path) || segments.includes("..") || !HARMLESS.test(path)) return say("find_file", { path: plain(path) });
    const name = plain(segments.at(-1));
    return make("a", { href: segments.map(encodeURIComponent).join("/"), "aria-label": say("open_file", { name }) }, shown || name);
  };

  // What is simple inside is told in words, the rest as JSON.
  const inLine = (value) => {
    const entries = Object.entries(value);
    if (entries.some(([, inner]) => inner !== null && typeof inner === "object")) return JSON.stringify(value);
    return entries.map(([key, inner]) => (Array.isArray(value) ? `${inner}` : `${label(key)}: ${inner ?? ""}`)).join(", ");
  };

  const isEmpty = (value) =>
    value === null || value === "" || (typeof value === "object" && Object.keys(value).length === 0);

  const inCell = (name, value) => {
    if (value === null || value === undefined) return null;
    if (typeof value === "boolean") return say(value ? "yes" : "no");
    if (typeof value === "object") return shortened(inLine(value), CELL);
    if (typeof value !== "string") return String(value);
    if (name === FILE) return fileOf(value);
    const at = momentOf(value);
    return at ? timeOf(value, at) : shortened(value, CELL);
  };

  // The whole value, as far as anybody reads it: parts that are many or long come when asked for.
  const inFull = (name, value, kind, depth = 0) => {
    if (value === null) return make("span", { class: "none" }, say("empty"));
    if (typeof value === "object") {
      if (depth >= DEPTH) return shortened(JSON.stringify(value), TEXT);
      const listed = Array.isArray(value);
      const entries = Object.entries(value);
      if (!entries.length) return make("span", { class: "none" }, say("empty"));
      return inParts(make(listed ? "ol" : "dl"), entries, listed ? "more_items" : "more_fields", ([key, inner]) => {
        const shown = inFull(key, inner, kind, depth + 1);
        if (listed) return [make("li", { dir: "auto" }, shown)];
        return [make("dt", { dir: "auto" }, shortened(label(key), CELL)), make("dd", { dir: "auto" }, shown)];
      });
    }
    if (typeof value === "string" && name === FILE) return fileOf(value);
    if (typeof value === "string" && value.length > TEXT) return longText(value, kind);
    const at = typeof value === "string" ? momentOf(value) : null;
    if (!at) return typeof value === "string" ? plain(value) : inCell(name, value);
    return make("span", {}, timeOf(value, at), " ", make("span", { class: "as" }, `(${say("original", { value })})`));
  };

  const inParts = (target, entries, words, shown) => {
    let done = 0;
    const more = make(target.tagName === "OL" ? "li" : "dd");
    const go = () => {
      const next = entries.slice(done, (done += FIELDS * (done ? 10 : 1)));
      more.remove();
      target.append(...next.flatMap(shown));
      if (done < entries.length) {
        more.replaceChildren(button(say(words, { count: entries.length - done }), go, "plain"));
        target.append(more);
      }
    };
    go();
    return target;
  };

  const longText = (text, kind) => {
    const shown = make("span", {}, shortened(text, TEXT), " ");
    shown.append(
      button(
        say("more_text", { size: size(text.length) }),
        () => {
          shown.replaceChildren(shortened(text, WHOLE));
          if (text.length > WHOLE) shown.append(make("p", { class: "as" }, say("cut", { file: kind.files[0] })));
        },
        "plain"
      )
    );
    return shown;
  };

  // -- search ------------------------------------------------------------------------------------------

  const holds = (value, wanted) => {
    if (value === null) return false;
    if (typeof value !== "object") return String(value).toLowerCase().includes(wanted);
    return Object.values(value).some((inner) => holds(inner, wanted));
  };

  // A line that cannot hold it is not even parsed. Where JSON may write a sign in two ways, all are.
  const matcher = (asked) => {
    const wanted = asked.toLowerCase();
    const written = JSON.stringify(wanted).slice(1, -1);
    const always = /[`$]/.test(wanted);
    return (line) => {
      const small = line.toLowerCase();
      return (always || small.includes("\\u") || small.includes(written)) && holds(parse(line), wanted);
    };
  };

  // -- one kind of data ----------------------------------------------------------------------------------

  class Shelf {
    constructor(section, path) {
      this.path = path;
      this.kind = index.kinds[path];
      this.starts = [0];
      for (const count of this.kind.pages) this.starts.push(this.starts.at(-1) + count);
      this.all = this.starts.at(-1);
      this.matches = null;
      this.from = 0;
      this.turn = 0;
      this.title = section.querySelector("h2");
      this.area = section.querySelector(".records");
      this.build();
    }

    build() {
      this.status = make("p", { class: "status", role: "status" });
      this.shown = make("div");
      const find = make("input", { type: "search", id: `find-${this.title.id}`, autocomplete: "off", spellcheck: "false" });
      const form = make("form", { class: "tools", role: "search", "aria-labelledby": this.title.id },
        make("div", { class: "find" }, make("label", { for: find.id }, say("search", { title: this.kind.title })), find),
        make("button", { type: "submit" }, say("search_button")));
      this.clear = button(say("clear"), () => {
        find.value = "";
        this.search("");
        find.focus();
      });
      this.clear.hidden = true;
      form.append(this.clear);
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        this.search(find.value.trim());
      });
      const last = () => Math.floor(Math.max(0, this.count - 1) / ROWS) * ROWS;
      this.first = button(say("first"), () => this.show(0));
      this.previous = button(say("previous"), () => this.show(Math.max(0, this.from - ROWS)));
      this.next = button(say("next"), () => this.show(Math.min(last(), this.from + ROWS)));
      this.last = button(say("last"), () => this.show(last()));
      const number = make("input", { id: `go-${this.title.id}`, inputmode: "numeric", autocomplete: "off" });
      const go = make("form", { class: "go" }, make("label", { for: number.id }, say("go_to")), number);
      go.addEventListener("submit", (event) => {
        event.preventDefault();
        const at = Number(number.value.replace(/\D/g, ""));
        if (at) this.show(Math.min(last(), Math.floor((at - 1) / ROWS) * ROWS));
      });
      this.pager = make("nav", { class: "pager", "aria-label": say("pages", { title: this.kind.title }) },
        this.first, this.previous, this.next, this.last, go);
      this.area.replaceChildren(...(this.all > ROWS ? [form] : []), this.status, this.shown, this.pager);
    }

    get count() {
      return this.matches ? this.matches.length : this.all;
    }

    fail(error) {
      this.status.className = "status failed";
      this.status.textContent = say("failed", { file: error.message });
    }

    pageOf(row) {
      let low = 0;
      let high = this.kind.pages.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (this.starts[middle] <= row) low = middle;
        else high = middle - 1;
      }
      return low;
    }

    async show(from) {
      const turn = ++this.turn;
      const rows = [];
      try {
        for (let i = from; i < Math.min(from + ROWS, this.count); i++) {
          const row = this.matches ? this.matches[i] : i;
          const page = this.pageOf(row);
          rows.push([row, parse((await lines(this.path, page))[row - this.starts[page]])]);
        }
      } catch (error) {
        this.fail(error);
        return;
      }
      if (turn !== this.turn) return; // something else was asked for meanwhile
      this.from = from;
      this.draw(rows);
    }

    draw(rows) {
      const [all, to] = [this.count, this.from + rows.length];
      const found = this.matches ? say("found", { count: all }) + ". " : "";
      this.status.className = "status";
      this.status.textContent = found + (all > ROWS ? say("showing", { from: this.from + 1, to, all }) : "");
      for (const [control, off] of [[this.first, !this.from], [this.previous, !this.from], [this.next, to >= all], [this.last, to >= all]])
        control.setAttribute("aria-disabled", String(off));
      this.pager.hidden = all <= ROWS;
      this.shown.replaceChildren(...this.gallery(rows), ...(rows.length ? this.table(rows) : []));
    }

    gallery(rows) {
      const files = rows.map(([, record]) => (Object.hasOwn(record, FILE) ? record[FILE] : null)).filter((f) => typeof f === "string");
      if (!files.length) return [];
      const items = files.map((path) => {
        if (!INSIDE.test(path) || !PICTURE.test(path)) return make("li", { dir: "auto" }, fileOf(path));
        const name = plain(path.split("/").at(-1));
        const href = path.split("/").map(encodeURIComponent).join("/");
        const picture = make("img", { src: href, alt: name, loading: "lazy" });
        return make("li", { dir: "auto" }, make("figure", {}, make("a", { href }, picture), make("figcaption", { "aria-hidden": "true" }, name)));
      });
      return [make("ul", { class: "gallery" }, ...items)];
    }

    table(rows) {
      const seen = new Set(rows.flatMap(([, record]) => Object.keys(record).slice(0, 1000)));
      const ordered = [...this.kind.columns.filter((n) => seen.has(n)), ...[...seen].filter((n) => !this.kind.columns.includes(n))];
      const filled = ordered.filter((n) => rows.some(([, r]) => Object.hasOwn(r, n) && !isEmpty(r[n])));
      const names = filled.slice(0, COLUMNS);
      const head = names.map((name) => make("th", { scope: "col", role: "columnheader", dir: "auto" }, shortened(label(name), CELL)));
      head.unshift(make("th", { scope: "col", role: "columnheader" }, say("details")));
      const body = make("tbody", { role: "rowgroup" });
      for (const [number, record] of rows) body.append(this.row(number, record, names));
      const table = make("table", { class: "rows", role: "table" }, make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...head)), body);
      const more = filled.length - names.length;
      return [
        make("div", { class: "wide", role: "region", tabindex: "0", "aria-label": say("table", { title: this.kind.title }) }, table),
        more ? make("p", { class: "soft" }, say("more_columns", { count: more })) : "",
      ];
    }

    row(number, record, names) {
      const row = make("tr", { role: "row" });
      for (const name of names) {
        const value = Object.hasOwn(record, name) ? inCell(name, record[name]) : null;
        const kind = typeof record[name] === "number" ? "number" : "";
        row.append(make("td", { role: "cell", class: kind, dir: "auto", "data-label": shortened(label(name), CELL) }, value));
      }
      const more = button(say("details"), () => this.toggle(row, more, number, record, names.length + 1), "plain");
      more.setAttribute("aria-expanded", "false");
      more.setAttribute("aria-label", say("details_of", { number: number + 1 }));
      row.prepend(make("td", { role: "cell", class: "act" }, more));
      return row;
    }

    toggle(row, more, number, record, span) {
      const open = more.getAttribute("aria-expanded") === "true";
      more.setAttribute("aria-expanded", String(!open));
      more.textContent = say(open ? "details" : "close");
      if (open) {
        row.nextElementSibling.remove();
        return;
      }
      const whole = make("div", { class: "record" }, inFull("", record, this.kind));
      row.after(make("tr", { class: "detail", role: "row" }, make("td", { colspan: String(span), role: "cell" }, whole)));
    }

    async search(asked) {
      this.clear.hidden = !asked;
      if (!asked) {
        this.matches = null;
        this.show(0);
        return;
      }
      const turn = ++this.turn;
      const fits = matcher(asked);
      const matches = [];
      try {
        for (let page = 0; page < this.kind.pages.length; page++) {
          // Beside what is kept: a search goes through all and would push out what is looked at.
          const found = await (held.get(`${this.path}/${page}`) || load(this.path, page));
          if (turn !== this.turn) return;
          found.forEach((line, at) => fits(line) && matches.push(this.starts[page] + at));
          if (page % 10 === 0) this.status.textContent = say("searching", { done: this.starts[page + 1], all: this.all });
        }
      } catch (error) {
        this.fail(error);
        return;
      }
      this.matches = matches;
      this.show(0);
    }
  }

  // -- the page ------------------------------------------------------------------------------------------

  for (const time of document.querySelectorAll("time")) {
    const at = momentOf(time.getAttribute("datetime"));
    if (at) time.textContent = moments.format(at);
  }
  for (const told of document.querySelectorAll(".scripted, .unscripted")) told.hidden = told.matches(".unscripted");

  // Records are loaded when somebody comes near them.
  const near = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        near.unobserve(target);
        new Shelf(target, target.dataset.path).show(0);
      }
    },
    { rootMargin: "400px" }
  );
  for (const section of document.querySelectorAll("section[data-path]")) near.observe(section);
})();
