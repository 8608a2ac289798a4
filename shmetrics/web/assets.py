# SPDX-License-Identifier: Apache-2.0
"""Style and script of the page. They are part of it, so that it needs nothing from elsewhere."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2433; --soft: #667085; --line: #e4e7ec;
  --paper: #f6f7f9; --card: #fff; --good: #067647; --bad: #b42318; --accent: #3651d4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9f0; --soft: #98a2b3; --line: #2a3140;
  --paper: #12161e; --card: #1a202b; --good: #47cd89; --bad: #f97066; --accent: #8ea2ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 24px 48px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 6px 14px; }
h1 { font-size: 26px; margin: 0; letter-spacing: -.02em; }
h2 { font-size: 16px; margin: 34px 0 10px; }
h2 small, header small { color: var(--soft); font-weight: 400; font-size: 14px; }
nav { margin-left: auto; display: flex; gap: 16px; font-size: 14px; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
.state { padding: 1px 10px; border: 1px solid; border-radius: 99px; font-size: 13px; }
.good { color: var(--good); } .bad { color: var(--bad); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
  margin: 22px 0 0; }
dl div { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px 16px; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; font-size: 24px; font-variant-numeric: tabular-nums; letter-spacing: -.01em; }
.table { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { padding: 7px 14px; text-align: left; white-space: nowrap; }
th { color: var(--soft); font-weight: 500; font-size: 13px; }
td { border-top: 1px solid var(--line); font-variant-numeric: tabular-nums; }
.n { text-align: right; }
meter { width: 84px; height: 10px; vertical-align: middle; }
p { color: var(--soft); margin: 0; padding: 12px 16px; }
"""

# The page asks for itself and takes the new <main>: one place that draws, one place that escapes,
# and without a script it is still the page.
SCRIPT = """
async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.pathname, {signal: AbortSignal.timeout(5000)});
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(fresh.querySelector("main"));
  } catch {
    const state = document.querySelector(".state");
    state.className = "state bad";
    state.textContent = "the collector does not answer";
  }
}
setInterval(refresh, 2000);
"""

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M2 9h3l2-6 3 10 2-4h2' fill='none' stroke='%233651d4' stroke-width='1.8'/%3E"
    "%3C/svg%3E"
)
