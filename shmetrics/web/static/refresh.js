// SPDX-License-Identifier: Apache-2.0
// The page asks for itself and takes the new <main>: one place that draws, one place that escapes,
// and without a script it is still the page.
const lines = new Map(); // the last values of what is drawn as a line, by data-line

// Draws what has data-line as a line over the looks of this page, the newest to the right.
function draw() {
  for (const cell of document.querySelectorAll("[data-line]")) {
    const values = lines.get(cell.dataset.line) ?? [];
    values.push(Number(cell.dataset.value));
    lines.set(cell.dataset.line, values.slice(-60));
    const low = Math.min(...values), high = Math.max(...values);
    const points = values.map((v, i) => `${i * 2},${17 - 16 * (v - low) / (high - low || 1)}`);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("width", "120");
    svg.setAttribute("height", "18");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    line.setAttribute("points", points.join(" "));
    line.setAttribute("fill", "none");
    line.setAttribute("stroke", "currentColor");
    svg.append(line);
    cell.replaceChildren(svg);
  }
}

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.pathname, {signal: AbortSignal.timeout(5000)});
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(fresh.querySelector("main"));
    draw();
  } catch {
    const state = document.querySelector(".state");
    state.className = "state bad";
    state.textContent = "the collector does not answer";
  }
}
draw();
setInterval(refresh, 2000);
