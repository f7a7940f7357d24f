// The map's hover, filter and zoom: everything else on the page works without it.
(() => {
  "use strict";
  document.documentElement.classList.add("js");
  const source = document.getElementById("map-data");
  const svg = document.querySelector("svg.map");
  if (!source || !svg) return;
  const data = JSON.parse(source.textContent);
  const frame = svg.parentElement, tip = frame.querySelector(".tip");
  const [picture, name, words] = [tip.querySelector("img"), tip.querySelector(".badge span"), tip.querySelector(".words")];
  const whole = svg.getAttribute("viewBox").split(" ").map(Number);
  let view = [...whole], drag = null;
  const hidden = new Set();

  const ring = document.createElementNS(svg.namespaceURI, "circle");
  ring.setAttribute("class", "ring");
  ring.setAttribute("visibility", "hidden");
  svg.append(ring);

  const toMap = (event) => {
    const box = svg.getBoundingClientRect();
    return [view[0] + ((event.clientX - box.left) / box.width) * view[2], view[1] + ((event.clientY - box.top) / box.height) * view[3]];
  };
  const unit = () => view[2] / svg.getBoundingClientRect().width;

  const hide = () => { tip.hidden = true; ring.setAttribute("visibility", "hidden"); };
  const show = (i) => {
    const thumb = data.thumbs[i];
    picture.hidden = !thumb;
    if (thumb) picture.src = thumb;
    name.textContent = data.names[data.r[i]];
    name.parentElement.className = "badge " + data.css[data.r[i]];
    words.textContent = data.captions[i] || "";
    ring.setAttribute("cx", data.x[i]);
    ring.setAttribute("cy", data.y[i]);
    ring.setAttribute("r", 8 * unit());
    ring.setAttribute("visibility", "visible");
    tip.hidden = false;
    const x = (data.x[i] - view[0]) / view[2] * frame.clientWidth, y = (data.y[i] - view[1]) / view[3] * frame.clientHeight;
    const left = x + 16 + tip.offsetWidth > frame.clientWidth ? x - 16 - tip.offsetWidth : x + 16;
    tip.style.left = Math.max(0, Math.min(left, frame.clientWidth - tip.offsetWidth)) + "px";
    tip.style.top = Math.max(0, Math.min(y - tip.offsetHeight / 2, frame.clientHeight - tip.offsetHeight)) + "px";
  };

  const zoom = (factor, x, y) => {
    const w = Math.min(whole[2], Math.max(whole[2] / 24, view[2] / factor)), h = w * whole[3] / whole[2];
    const move = (at, size, from, old, max) => Math.max(0, Math.min(max - size, at - (at - from) * size / old));
    view = [move(x, w, view[0], view[2], whole[2]), move(y, h, view[1], view[3], whole[3]), w, h];
    svg.setAttribute("viewBox", view.join(" "));
    svg.classList.toggle("zoomed", w < whole[2]);
    hide();
  };

  const look = (event) => {
    const [x, y] = toMap(event), reach = (14 * unit()) ** 2;
    let best = -1, nearest = reach;
    for (let i = 0; i < data.x.length; i++) {
      if (hidden.has(data.r[i])) continue;
      const d = (data.x[i] - x) ** 2 + (data.y[i] - y) ** 2;
      if (d < nearest) { nearest = d; best = i; }
    }
    if (best < 0) hide(); else show(best);
  };

  svg.addEventListener("pointerdown", (event) => {
    look(event);
    if (svg.classList.contains("zoomed")) { drag = toMap(event); svg.setPointerCapture(event.pointerId); }
  });
  svg.addEventListener("pointermove", (event) => {
    if (!drag) return look(event);
    const [x, y] = toMap(event);
    view[0] = Math.max(0, Math.min(whole[2] - view[2], view[0] + drag[0] - x));
    view[1] = Math.max(0, Math.min(whole[3] - view[3], view[1] + drag[1] - y));
    svg.setAttribute("viewBox", view.join(" "));
    hide();
  });
  for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => { drag = null; });
  svg.addEventListener("pointerleave", () => { if (!drag) hide(); });
  svg.addEventListener("dblclick", (event) => { event.preventDefault(); zoom(2, ...toMap(event)); });
  document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => {
    const [x, y] = [view[0] + view[2] / 2, view[1] + view[3] / 2];
    zoom({ in: 2, out: 0.5, reset: 1e-6 }[button.dataset.zoom], x, y);
  }));
  document.querySelectorAll(".filter input").forEach((box) => {
    const apply = () => {
      const i = Number(box.id.slice(1));
      box.checked ? hidden.delete(i) : hidden.add(i);
      svg.querySelector("path.m" + i).style.display = box.checked ? "" : "none";
      hide();
    };
    box.addEventListener("change", apply);
    apply();
  });
  document.querySelector(".zoom").hidden = false;
})();
