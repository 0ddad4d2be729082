// What an accessibility checker looks for, by hand: returns one line for each fault of the page.
() => {
  const faults = [];
  const say = (what, element) => faults.push(`${what}: ${element ? element.outerHTML.slice(0, 120) : ""}`);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const shown = (e) => e.checkVisibility() && e.getClientRects().length > 0;
  const name = (e) => (e.getAttribute("aria-label") || e.textContent || e.getAttribute("alt") || "").trim();

  if (!document.documentElement.lang) say("no language");
  if (!document.title.trim()) say("no title");
  if (all("h1").length !== 1) say("not one h1");
  if (all("main").length !== 1) say("not one main");
  if (!document.querySelector('a.skip[href="#main"]') || !document.getElementById("main")) say("no skip link");
  let level = 0;
  for (const h of all("h1,h2,h3")) {
    // The error summary stands above the heading on purpose.
    if (h.closest(".summary")) continue;
    const now = Number(h.tagName[1]);
    if (now > level + 1) say("a heading level is skipped", h);
    level = now;
  }
  const ids = new Set();
  for (const e of all("[id]")) {
    if (ids.has(e.id)) say("an id twice", e);
    ids.add(e.id);
  }
  for (const e of all("[aria-describedby],[aria-labelledby]"))
    for (const id of `${e.getAttribute("aria-describedby") || ""} ${e.getAttribute("aria-labelledby") || ""}`.trim().split(/\s+/))
      if (!ids.has(id)) say(`describes by ${id}, which is not there`, e);
  for (const e of all("input:not([type=hidden]),select,textarea"))
    if (![...(e.labels || [])].some((l) => l.textContent.trim()) && !e.getAttribute("aria-label")) say("no label", e);
  for (const e of all("fieldset")) if (!e.querySelector(":scope > legend")) say("no legend", e);
  for (const e of all("a,button,summary")) if (shown(e) && !name(e)) say("no name", e);
  for (const e of all("img")) if (!e.hasAttribute("alt")) say("no alt", e);
  for (const e of all("a[href^='#']")) if (!ids.has(e.getAttribute("href").slice(1))) say("leads nowhere", e);
  for (const e of all("[tabindex]")) if (Number(e.getAttribute("tabindex")) > 0) say("its own tab order", e);

  // WCAG 2.5.8: 24 px, links within a sentence excepted.
  for (const e of all("a,button,summary,select,textarea,input:not([type=hidden])")) {
    if (!shown(e) || (e.tagName === "A" && e.closest("p,li,.skip"))) continue;
    const box = e.getBoundingClientRect();
    if (box.width < 24 || box.height < 24) say(`a target of ${box.width}x${box.height}`, e);
  }
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) say("scrolls sideways");

  // WCAG 1.4.3: contrast of text against the nearest painted ground.
  const parse = (c) => { const n = c.match(/[\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const light = (c) => {
    const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c[3] > 0.99) return c;
    }
    return [255, 255, 255, 1];
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !shown(e) || e.closest(".unseen,.skip,select")) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(parse(style.color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const px = parseFloat(style.fontSize);
    const large = px >= 24 || (px >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) say(`contrast ${ratio.toFixed(2)}`, e);
  }
  return faults;
}
