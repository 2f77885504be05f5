// The console: asks the node every two seconds and shows what it says.
// Callers choose much of that text, so it only ever becomes textContent; class names come from fixed lists alone.
"use strict";

const PERIOD_MS = 2000;
const TREND_POINTS = 120;
const ROWS = 100;
const ACTIONS = ["accept", "tag", "divert", "reject", "drop"];
const BASES = {
  analytics: "Suspicious behaviour",
  dno: "Do not originate",
  invalid: "Number that cannot exist",
  subscriber: "Callee's own wish",
  policy: "Operator's list or order",
  overload: "Overload",
  security: "Security",
};

const byId = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat();
const tenth = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const trend = [];
let before = null;
let show = "all";
let paused = false;
let latest = [];
const opened = new Set();

// ------------------------------------------------------------------------------------------------ pieces of a page

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined && text !== null) made.textContent = text;
  return made;
}

function setText(id, text) {
  const at = byId(id);
  if (at.textContent !== text) at.textContent = text;
}

function fill(id, items) {
  byId(id).replaceChildren(...items);
  byId(`no-${id}`).hidden = items.length > 0;
}

function row(name, value, dot) {
  const made = element("li");
  const label = element("span", "name");
  if (dot) label.append(element("i", `dot ${dot}`));
  label.append(name);
  made.append(label, element("span", "value", value));
  return made;
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

// --------------------------------------------------------------------------------------------------- state of a node

function showStatus(status) {
  setText("node", status.node);
  setText("generation", `#${status.generation}`);
  setText("uptime", duration(status.uptime_s));
  setText("version", status.version);
  setHealth(status.healthy ? "good" : "warn", status.healthy ? "healthy" : "degraded");
  fill("workers", status.workers.map((worker) => row(`Worker ${worker.worker}`, `configuration #${worker.generation}`, "up")));
  fill("gateways", gatewayRows(status.workers));
}

function setHealth(className, text) {
  byId("health").className = `pill ${className}`;
  setText("health", text);
}

// Each worker sees for itself whether a target answers.
function gatewayRows(workers) {
  const targets = new Map();
  for (const seen of workers.flatMap((worker) => worker.targets)) {
    const key = JSON.stringify([seen.gateway, seen.target]);
    const known = targets.get(key) ?? { gateway: seen.gateway, target: seen.target, up: 0, all: 0 };
    known.all += 1;
    known.up += seen.up ? 1 : 0;
    targets.set(key, known);
  }
  return [...targets.values()].map(({ gateway, target, up, all }) => {
    const state = up === all ? "up" : up === 0 ? "down" : "partly";
    return row(`${gateway} · ${target}`, state === "partly" ? `up for ${up} of ${all} workers` : state, state);
  });
}

// ------------------------------------------------------------------------------------------------------------ counters

function showCounters(counters) {
  const calls = Object.fromEntries(ACTIONS.map((action) => [action, 0]));
  const bases = new Map();
  for (const { action, basis, calls: count } of counters.verdicts) {
    calls[action] += count;
    if (action === "reject") bases.set(basis, (bases.get(basis) ?? 0) + count);
  }
  const all = Object.values(calls).reduce((sum, count) => sum + count, 0);
  for (const action of ["accept", "tag", "reject"]) {
    setText(`count-${action}`, whole.format(calls[action]));
    setText(`share-${action}`, all ? `${tenth.format((100 * calls[action]) / all)} % of ${whole.format(all)}` : "");
  }
  const workers = Object.values(counters.workers);
  setText("in-progress", whole.format(workers.reduce((sum, worker) => sum + (worker.calls ?? 0), 0)));
  showRate(all);
  showBases(bases);
}

function showRate(all) {
  const now = performance.now();
  if (before !== null && all >= before.all) {
    trend.push((1000 * (all - before.all)) / (now - before.now));
    if (trend.length > TREND_POINTS) trend.shift();
    setText("rate", tenth.format(trend[trend.length - 1]));
    drawTrend();
  }
  before = { all, now };
}

function drawTrend() {
  const highest = Math.max(...trend, 1);
  const points = trend.map((rate, i) => {
    const x = 120 - (trend.length - 1 - i) * (120 / (TREND_POINTS - 1));
    return `${x.toFixed(2)},${(31 - (28 * rate) / highest).toFixed(2)}`;
  });
  const line = `M${points.join("L")}`;
  byId("trend-line").setAttribute("d", line);
  byId("trend-area").setAttribute("d", `${line}V32H${points[0].split(",")[0]}Z`);
}

function showBases(bases) {
  const sorted = [...bases].sort((one, other) => other[1] - one[1]);
  const most = sorted.length ? sorted[0][1] : 1;
  fill("bases", sorted.map(([basis, count]) => {
    const made = row(BASES[basis] ?? basis, whole.format(count));
    const bar = element("div", "bar");
    const part = element("span");
    part.style.width = `${(100 * count) / most}%`;
    bar.append(part);
    made.append(bar);
    return made;
  }));
}

// ----------------------------------------------------------------------------------------------------------- decisions

function showDecisions() {
  const shown = latest.filter((decision) => show === "all" || decision.action === show);
  fill("decisions", shown.flatMap(decisionRows));
  setText("no-decisions", latest.length ? "None of the latest calls." : "No call has been screened yet.");
}

function decisionRows(decision) {
  const made = element("tr", "call");
  made.tabIndex = 0;
  const verdict = element("td");
  const status = decision.action === "reject" && decision.status ? ` ${decision.status}` : "";
  verdict.append(element("span", `verdict ${ACTIONS.includes(decision.action) ? decision.action : ""}`, decision.action + status));
  made.append(
    element("td", "time", new Date(decision.time).toLocaleTimeString()),
    element("td", "number", decision.caller === "invalid" ? decision.presented : decision.caller),
    element("td", "number", decision.callee),
    verdict,
    element("td", "", why(decision)),
    element("td", "trunk", decision.trunk),
  );
  const toggle = () => {
    if (!opened.delete(decision.call)) opened.add(decision.call);
    showDecisions();
  };
  made.addEventListener("click", toggle);
  made.addEventListener("keydown", (event) => {
    if (event.key === "Enter") toggle();
  });
  return opened.has(decision.call) ? [made, detailRow(decision)] : [made];
}

function why(decision) {
  const said = [];
  if (decision.rule) said.push(decision.rule);
  if (decision.label) said.push(`“${decision.label}”`);
  for (const { name, points } of decision.reasons) {
    if (points) said.push(`${name} ${points > 0 ? "+" : ""}${points}`);
    else if (name !== decision.rule) said.push(name);
  }
  if (!said.length && decision.basis !== "none") said.push(BASES[decision.basis] ?? decision.basis);
  return said.join(", ");
}

function detailRow(decision) {
  const facts = {
    "Presented as": decision.presented,
    "From address": decision.source,
    "User agent": decision.user_agent,
    "Call-ID": decision.call_id,
    Score: String(decision.score),
    "Would have been": decision.observed === decision.action ? "" : decision.observed,
    Gateway: decision.gateway,
    "Redress id": decision.redress_id,
    Configuration: `#${decision.generation}`,
  };
  const list = element("dl", "details");
  for (const [name, value] of Object.entries(facts)) {
    if (value) list.append(element("dt", "", name), element("dd", "", value));
  }
  const cell = element("td");
  cell.colSpan = 6;
  cell.append(list);
  const made = element("tr", "detail");
  made.append(cell);
  return made;
}

// ------------------------------------------------------------------------------------------------------------- polling

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function refresh() {
  try {
    const [status, counters, decisions] = await Promise.all([
      ask("/v1/status"),
      ask("/v1/counters"),
      ask(`/v1/decisions?limit=${ROWS}`),
    ]);
    showStatus(status);
    showCounters(counters);
    if (!paused && decisions[0]?.call !== latest[0]?.call) {
      latest = decisions;
      for (const call of opened) if (!latest.some((decision) => decision.call === call)) opened.delete(call);
      showDecisions();
    }
  } catch {
    setHealth("bad", "no answer");
  }
  setTimeout(refresh, PERIOD_MS);
}

for (const button of document.querySelectorAll("button[data-show]")) {
  button.addEventListener("click", () => {
    show = button.dataset.show;
    for (const other of document.querySelectorAll("button[data-show]")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    showDecisions();
  });
}

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
});

refresh();
