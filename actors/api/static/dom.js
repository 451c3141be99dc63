// A small virtual tree: `h` describes, `patch` changes what differs, so that focus, selection and charts stay.
// Text is only ever set as text; no string becomes markup.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "circle", "rect", "line", "polygon", "title"]);

export function h(tag, props, ...children) {
  return { tag, props: props ?? {}, children: children.flat(Infinity).filter((child) => child != null && child !== false) };
}

export function patch(parent, wanted) {
  const kept = new Map();
  for (const node of parent.childNodes) if (node.key !== undefined) kept.set(node.key, node);
  let at = parent.firstChild;
  for (const child of wanted.flat(Infinity).filter((one) => one != null && one !== false)) {
    const node = fit(typeof child === "object" && child.props.key !== undefined ? kept.get(child.props.key) : at, child);
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
  }
  while (at) {
    const next = at.nextSibling;
    forget(at);
    at.remove();
    at = next;
  }
}

function fit(node, wanted) {
  if (typeof wanted !== "object") {
    const text = String(wanted);
    if (node?.nodeType !== Node.TEXT_NODE) return document.createTextNode(text);
    if (node.data !== text) node.data = text;
    return node;
  }
  const owned = Boolean(wanted.props.own);  // what draws itself is never made of what does not
  const same = node?.tag === wanted.tag && node.key === wanted.props.key && node.owned === owned;
  const element = same ? node : make(wanted);
  set(element, wanted.props);
  if (wanted.props.own) element.view = wanted.props.own(element, element.view);
  else patch(element, wanted.children);
  return element;
}

function make({ tag, props }) {
  const element = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  Object.assign(element, { tag, key: props.key, owned: Boolean(props.own), had: {} });
  return element;
}

function set(element, props) {
  const had = element.had;
  for (const name of Object.keys(had)) if (!(name in props)) assign(element, name, null);
  for (const [name, value] of Object.entries(props)) {
    if (name === "key" || name === "own" || had[name] === value) continue;
    assign(element, name, value);
  }
  element.had = props;
}

function assign(element, name, value) {
  if (name.startsWith("on")) element[name] = value;
  else if (name === "vars") for (const [key, one] of Object.entries(value ?? {})) element.style.setProperty(key, one);
  else if (name === "value" || name === "open" || name === "selected") element[name] = value;
  else if (value == null || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : value);
}

function forget(node) {
  node.view?.destroy?.();
  for (const child of node.childNodes ?? []) forget(child);
}
