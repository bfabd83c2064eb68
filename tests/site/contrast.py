"""Contrast of a page's texts by WCAG 2.2, computed in the browser."""

# Level AA: 4.5, or 3 for large text. Colors with alpha lie on what is behind them.
TOO_FAINT = """
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const rgba = (color) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
const ground = (node) => {
  const own = rgba(getComputedStyle(node).backgroundColor);
  if (own[3] === 1) return own;
  return over(own, node.parentElement ? ground(node.parentElement) : [255, 255, 255, 1]);
};
const light = (color) => {
  const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const [r, g, b] = color.slice(0, 3).map((c) => linear(c / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
};
const faint = new Map();
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const node = texts.currentNode.parentElement;
  const text = texts.currentNode.data.trim();
  if (!text || !node.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
  if (!node.getClientRects().length || node.closest("script, style, .md-search, .headerlink")) continue;
  const style = getComputedStyle(node);
  const under = ground(node);
  const [a, b] = [light(over(rgba(style.color), under)), light(under)];
  const ratio = Math.max(a, b) / Math.min(a, b);
  const size = parseFloat(style.fontSize);
  const is_large = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700);
  if (ratio < (is_large ? 3 : 4.5)) {
    faint.set(`${node.tagName}.${node.className} ${style.color}`, `${ratio.toFixed(2)}: ${text.slice(0, 30)}`);
  }
}
return [...faint];
"""
