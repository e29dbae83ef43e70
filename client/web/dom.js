// SPDX-License-Identifier: MIT
/** The only two ways in which this page makes nodes: from names in our own code, and from text. */

/** @param {string} id @returns {any} the element, of whatever kind the page gave it */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) {
    throw new Error(`the page has no #${id}`);
  }
  return node;
}

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children strings become text nodes, whatever they say
 */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** Writes only what changed: an untouched text node is not announced, and not laid out again. */
export function setText(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}
