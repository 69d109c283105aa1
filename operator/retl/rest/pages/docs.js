"use strict";
// Draws the page from openapi.json. All text goes in as text, never as markup.

const METHODS = ["get", "post", "put", "delete"];
const LONGEST_ANSWER = 200000;

function make(tag, content, attributes = {}) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...[content].flat().filter((part) => part !== undefined));
  return element;
}

const field = (id) => document.getElementById(id).value.trim();
const json = (value) => JSON.stringify(value, null, 2);

function rule(schema = {}) {
  const said = [schema.type, schema.format, schema.enum && schema.enum.join(" | ")].filter(Boolean);
  if (schema.minimum !== undefined) said.push(`from ${schema.minimum}`);
  if (schema.maximum !== undefined) said.push(`to ${schema.maximum}`);
  if (schema.maxLength !== undefined) said.push(`at most ${schema.maxLength} characters`);
  if (schema.default !== undefined) said.push(`default ${schema.default}`);
  return said.join(", ");
}

function parameterRow(parameter) {
  const input = make("input", [], { "aria-label": parameter.name, "data-in": parameter.in, "data-name": parameter.name });
  const name = [make("code", parameter.name), parameter.required ? " *" : ""];
  const about = [parameter.description || "", " ", make("small", rule(parameter.schema))];
  return make("tr", [make("td", name), make("td", make("small", parameter.in)), make("td", about), make("td", input)]);
}

function schemaOf(content, description) {
  const schema = content.schema || {};
  if (!schema.$ref) return schema;
  return schema.$ref.split("/").slice(1).reduce((place, name) => place[name], description);
}

function answers(operation) {
  const rows = [];
  for (const [status, answer] of Object.entries(operation.responses)) {
    const [media, content] = Object.entries(answer.content || {})[0] || ["", {}];
    const shown = [answer.description, " ", make("small", media)];
    if (content.example !== undefined) {
      shown.push(make("pre", typeof content.example === "string" ? content.example : json(content.example)));
    }
    rows.push(make("tr", [make("td", make("code", status)), make("td", shown)]));
  }
  return make("table", rows);
}

function request(block, method, path) {
  const headers = {};
  const query = new URLSearchParams();
  let target = path.slice(1);
  if (field("credential")) headers.Authorization = `Bearer ${field("credential")}`;
  if (field("workspace") && path.startsWith("/api/reverse-etl")) headers["X-Workspace-ID"] = field("workspace");
  for (const input of block.querySelectorAll("input[data-in]")) {
    const { in: where, name } = input.dataset;
    if (!input.value) continue;
    if (where === "path") target = target.replace(`{${name}}`, encodeURIComponent(input.value));
    if (where === "query") query.set(name, input.value);
    if (where === "header") headers[name] = input.value;
  }
  // Relative, so that the page also works under a prefix that a proxy takes away.
  const url = new URL(query.size ? `${target}?${query}` : target, new URL(".", location.href));
  const body = block.querySelector("textarea");
  if (body && body.value) headers["Content-Type"] = "application/json";
  return [url, { method: method.toUpperCase(), headers, body: body && body.value ? body.value : undefined }];
}

async function send(block, method, path) {
  const shown = block.querySelector("pre[data-answer]");
  shown.hidden = false;
  shown.textContent = "…";
  const started = performance.now();
  try {
    const answer = await fetch(...request(block, method, path));
    shown.textContent = `${answer.status} ${answer.statusText}\n`;
    for (const [name, value] of answer.headers) shown.append(`${name}: ${value}\n`);
    const text = await answer.text();
    const isJson = (answer.headers.get("content-type") || "").includes("json");
    const body = isJson && text ? json(JSON.parse(text)) : text;
    shown.append(`\n${body.slice(0, LONGEST_ANSWER)}\n\n${Math.round(performance.now() - started)} ms`);
  } catch (error) {
    shown.textContent = String(error);
  }
}

function operationBlock(description, path, method, operation) {
  const id = `${method}-${path}`.replace(/[^a-z0-9]+/gi, "-");
  const inside = make("div", []);
  const block = make(
    "details",
    [make("summary", [make("b", method.toUpperCase(), { class: `method ${method}` }), make("code", path), make("span", operation.summary || "")]), inside],
    { id, "data-words": `${method} ${path} ${operation.summary}`.toLowerCase() },
  );
  block.addEventListener("toggle", () => {
    if (!block.open || inside.childNodes.length) return;
    if (operation.description) inside.append(make("p", operation.description));
    if (operation.parameters) inside.append(make("h3", "Parameters"), make("table", operation.parameters.map(parameterRow)));
    const content = operation.requestBody && operation.requestBody.content["application/json"];
    if (content) {
      const body = make("textarea", content.example === undefined ? "" : json(content.example), { "aria-label": "Body", spellcheck: "false" });
      const schema = make("details", [make("summary", "Schema"), make("div", make("pre", json(schemaOf(content, description))))]);
      inside.append(make("h3", "Body"), body, schema);
    }
    const button = make("button", "Send", { type: "button" });
    button.addEventListener("click", () => send(block, method, path));
    inside.append(make("p", button), make("pre", [], { "data-answer": "", hidden: "" }), make("h3", "Answers"), answers(operation));
  });
  return block;
}

function find() {
  const words = field("find").toLowerCase().split(/\s+/);
  for (const block of document.querySelectorAll("[data-words]")) {
    block.hidden = !words.every((word) => block.dataset.words.includes(word));
  }
}

function draw(description) {
  document.getElementById("title").textContent = `${description.info.title} ${description.info.version}`;
  document.getElementById("about").textContent = description.info.description;
  const sections = new Map();
  for (const [path, item] of Object.entries(description.paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const tag = (item[method].tags || ["API"])[0];
      if (!sections.has(tag)) sections.set(tag, []);
      sections.get(tag).push(operationBlock(description, path, method, item[method]));
    }
  }
  for (const [tag, blocks] of sections) {
    document.getElementById("operations").append(make("h2", tag), ...blocks);
    document.getElementById("contents").append(make("h2", tag));
    for (const block of blocks) {
      const link = make("a", block.querySelector("summary").textContent, { href: `#${block.id}`, "data-words": block.dataset.words });
      link.textContent = `${block.dataset.words.split(" ")[0].toUpperCase()} ${block.querySelector("summary span").textContent}`;
      link.addEventListener("click", () => { block.open = true; });
      document.getElementById("contents").append(link);
    }
  }
  const linked = document.getElementById(location.hash.slice(1));
  if (linked) linked.open = true;
}

document.getElementById("find").addEventListener("input", find);
document.getElementById("access").addEventListener("submit", (event) => event.preventDefault());
fetch("openapi.json")
  .then((answer) => answer.json())
  .then(draw)
  .catch((error) => { document.getElementById("about").textContent = `The description cannot be read: ${error}`; });
